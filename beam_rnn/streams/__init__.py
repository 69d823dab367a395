"""Whose event is next, and what is remembered: no Beam."""
