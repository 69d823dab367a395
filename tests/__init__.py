"""The tests of beam_rnn; their folders mirror the package."""
