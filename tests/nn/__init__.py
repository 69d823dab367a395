"""Tests of the networks, without Beam."""
