"""Faults: what may fail does, and no answer changes."""
