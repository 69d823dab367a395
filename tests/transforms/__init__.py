"""Tests of the Beam edge on the local runners."""
