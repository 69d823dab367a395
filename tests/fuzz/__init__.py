"""Input that nobody vouches for: files, state, events and options, made and broken at random.

    BEAM_RNN_EXAMPLES=10000 python -m pytest tests/fuzz

tries 10,000 inputs of each kind (about 20 minutes); a usual test run tries 100.
"""
