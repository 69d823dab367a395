"""Digits by synthetic voices: eSpeak NG and Flite, both of Debian."""

import subprocess
import tempfile

import numpy as np
import soundfile
from scipy.signal import resample_poly

from pipelines.speech import DIGITS, RATE
from training.digits import Recording, Sound

ACCENTS = ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan"]
VARIANTS = ["m1", "m2", "m4", "m5", "m6", "m8", "f1", "f2", "f4", "f5", "Andrea", "grandpa"]
FLITE = ["kal", "awb", "rms", "slt"]


def synthetic() -> tuple[list[Recording], list[Recording]]:
    """Each digit twice by voices of eSpeak NG, and five times by those of Flite.

    The British voice of eSpeak NG takes no variants: 24 names, 21 voices.
    """
    by_espeak, by_flite = [], []
    for digit, word in enumerate(DIGITS):
        for number in range(24):
            voice = f"{ACCENTS[number % 6]}+{VARIANTS[(number + number // 12) % 12]}"
            for speed, pitch in ((130 + 3 * number, 35 + number), (175, 62 - number)):
                sound = espeak(word, voice, speed, pitch)
                by_espeak.append(Recording(digit, voice, 10, sound))
        for voice in FLITE:
            for stretch in (0.8, 0.9, 1.0, 1.15, 1.3):
                by_flite.append(Recording(digit, voice, 10, flite(word, voice, stretch)))
    return by_espeak, by_flite


def espeak(word: str, voice: str, speed: int = 150, pitch: int = 50) -> Sound:
    """A word by eSpeak NG, without the silence around it."""
    return _said(["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w"], [word])


def flite(word: str, voice: str, stretch: float) -> Sound:
    """A word by Flite, so many times as long as it is by itself."""
    slower = f"duration_stretch={stretch}"
    return _said(["flite", "-voice", voice, "--setf", slower, "-t", word, "-o"], [])


def _said(before: list[str], after: list[str]) -> Sound:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run([*before, file.name, *after], check=True)
        wave, rate = soundfile.read(file.name)
    heard = np.flatnonzero(np.abs(wave) > 0.02 * np.abs(wave).max())
    sound: Sound = resample_poly(wave[heard[0] : heard[-1] + 1], RATE, rate).astype(np.float32)
    return sound
