"""``python -m beam_rnn``."""

from beam_rnn.cli import main

if __name__ == "__main__":
    main()
