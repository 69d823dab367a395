"""Tests of the streams, without Beam."""
