"""Speech for tests: each letter is a tone, and a network that hears tones writes them down."""

from __future__ import annotations

from typing import Any

import numpy as np

import beam_rnn as rnn
from beam_rnn.features import Frames
from beam_rnn.nn.ctc import CTC, Heard
from beam_rnn.nn.decode import log_probabilities

RATE, SIZE = 8000, 80  # frames of 10 ms
LABELS = ["", "a", "b", "c", " "]
HERTZ = {"a": 500, "b": 1000, "c": 1700, " ": 2600}
FRAMES = Frames(RATE, SIZE, SIZE)


def sound(text: str, seed: int = 0, pause: int = 2) -> np.ndarray:
    """int16: 30 ms of a tone for each letter ("-": 100 ms of silence), 20 ms of pause, noise."""
    parts = []
    for letter in text:
        frames = 10 if letter == "-" else 3
        t = np.arange(frames * SIZE) / RATE
        parts.append(np.sin(2 * np.pi * HERTZ.get(letter, 0) * t))
        parts.append(np.zeros(pause * SIZE))
    samples = np.concatenate([*parts, np.zeros(0)]) * 10_000
    noise = np.random.default_rng(seed).normal(0, 200, len(samples))
    return (samples + noise).astype(np.int16)


def network(**options: Any) -> rnn.Network:
    """Magnitudes of the tones in a frame and the sample before it -> P of each label."""
    phase = 2 * np.pi * np.array(list(HERTZ.values()))[:, None] * np.arange(SIZE) / RATE
    tones = np.concatenate([np.cos(phase), np.sin(phase)])[:, :, None].astype(np.float32)
    loud = 3 * np.eye(5, dtype=np.float32)[:, 1:]
    none = np.zeros(8, np.float32)
    return rnn.Network(
        [
            rnn.Context(1, (SIZE,)),
            rnn.Conv1d(tones, none, padding=(0, 0), stride=SIZE),
            rnn.Magnitude(),
            rnn.Flatten(),
            rnn.Dense(loud, np.array([12, 0, 0, 0, 0], np.float32), "softmax"),
        ],
        labels=LABELS,
        **options,
    )


def said(
    net: rnn.Network, x: np.ndarray, decoder: CTC, endpoint: rnn.Endpoint, seconds: float = 0.01
) -> list[tuple[int, str, bool, list[float]]]:
    """What is to be said of one sequence of inputs, with emit="change": (step, text, final, times).

    Of the last frame as at the end of the sequence.
    """
    zeros = np.zeros((net.lookahead, *x.shape[1:]), x.dtype)
    y = net.unroll(np.concatenate([x, zeros]))[0][net.lookahead :]
    answers, heard, begin, quiet, told = [], Heard(), 0, 0, ""
    best = y.argmax(axis=1).tolist()
    for t, frame in enumerate(decoder.frames(log_probabilities(net, y))):
        heard = decoder.hear(heard, frame)
        quiet = quiet + 1 if best[t] in (decoder.blank, LABELS.index(" ")) else 0
        last = t == len(y) - 1
        text = decoder.text(heard)
        length = (t + 1 - begin) * seconds
        patience = endpoint.after_speech if text.text else endpoint.silence
        over = length > endpoint.longest - 1e-9 or quiet * seconds > patience - 1e-9
        if over or last:
            text = decoder.text(heard, final=True)
        if last or (over and text.text) or (not over and text.text != told):
            times = [(begin + at) * seconds for at in text.at]
            answers.append((t + 1, text.text, over or last, times))
        told = "" if over else text.text
        if over:
            heard, begin, quiet = Heard(), t + 1, 0
    return answers
