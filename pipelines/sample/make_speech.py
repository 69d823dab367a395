"""Makes digits.flac, the committed sample of speech.

    apt-get install espeak-ng
    python pipelines/sample/make_speech.py

lets eSpeak NG 1.51 say digits in three voices, with gaps and noise between them. The same program
gives the same file.
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipelines.speech import DIGITS, RATE
from training.digits import joined, with_noise
from training.voices import espeak

SAID = [("en-us+m3", "4096"), ("en-us+f3", "7358"), ("en-us+m7", "2061")]


def main() -> None:
    """Writes the file beside this one."""
    draw = np.random.default_rng(0)
    strings = []
    for voice, digits in SAID:
        parts = [espeak(DIGITS[int(digit)], voice) for digit in digits]
        gaps = [0.3, *draw.uniform(0.1, 0.35, len(parts) - 1), 1.0]
        strings.append(joined(parts, list(gaps)))
    sound = with_noise(np.concatenate(strings), 22, 1, draw)
    path = Path(__file__).parent / "digits.flac"
    soundfile.write(path, sound / np.abs(sound).max() * 0.6, RATE, "PCM_16")
    print(f"{path.name}: {len(sound) / RATE:.1f} s, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
