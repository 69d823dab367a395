"""Makes digits.flac, the committed sample of speech.

    apt-get install espeak-ng
    python pipelines/sample/make_speech.py

lets eSpeak NG 1.51 say digits in three voices, with gaps and noise between them. The same program
gives the same file.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pipelines.speech import DIGITS, RATE
from training.digits import Sound, joined, with_noise

SAID = [("en-us+m3", "4096"), ("en-gb+m1", "7358"), ("en-us+m7", "2061")]


def say(word: str, voice: str) -> Sound:
    """A word, without the silence around it."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["espeak-ng", "-v", voice, "-s", "150", "-w", file.name, word]
        subprocess.run(command, check=True)
        wave, rate = soundfile.read(file.name)
    heard = np.flatnonzero(np.abs(wave) > 0.01)
    wave = wave[heard[0] : heard[-1] + 1]
    return resample_poly(wave, RATE, rate).astype(np.float32)


def main() -> None:
    """Writes the file beside this one."""
    draw = np.random.default_rng(0)
    strings = []
    for voice, digits in SAID:
        parts = [say(DIGITS[int(digit)], voice) for digit in digits]
        gaps = [0.3, *draw.uniform(0.1, 0.35, len(parts) - 1), 1.0]
        strings.append(joined(parts, list(gaps)))
    sound = with_noise(np.concatenate(strings), 22, 1, draw)
    path = Path(__file__).parent / "digits.flac"
    soundfile.write(path, sound / np.abs(sound).max() * 0.6, RATE, "PCM_16")
    print(f"{path.name}: {len(sound) / RATE:.1f} s, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
