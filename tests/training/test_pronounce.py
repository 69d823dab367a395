"""g2p-en as an EncoderDecoder: what the package's own code says, and the published figures."""

import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import beam_rnn as rnn
from training import pronounce

MODEL = Path(__file__).parents[2] / "models" / "pronounce.safetensors"


@cache
def dictionary() -> dict[str, list[pronounce.Spoken]]:
    """CMUdict."""
    try:
        return pronounce.read_dictionary()
    except subprocess.CalledProcessError:
        pytest.skip(f"{pronounce.DICTIONARY} is not in the cache and cannot be downloaded")


def model() -> rnn.EncoderDecoder:
    loaded = rnn.load(MODEL)
    assert isinstance(loaded, rnn.EncoderDecoder)
    return loaded


def plainly(g2p: rnn.EncoderDecoder, word: str) -> list[str]:
    """``g2p_en.G2p.predict``: one word, one letter after the other, in its own arithmetic."""

    def step(x: np.ndarray, h: np.ndarray, cell: rnn.GRU) -> np.ndarray:
        H = len(h)
        b_n = np.zeros(H) if cell.b_n is None else cell.b_n
        p, q = cell.W_x @ x + cell.b, cell.W_a @ h
        r, z = np.split(1 / (1 + np.exp(-(p[: 2 * H] + q[: 2 * H]))), 2)
        n = np.tanh(p[2 * H :] + r * (q[2 * H :] + b_n))
        return (1 - z) * n + z * h

    embedding, cell = g2p.encoder.layers
    h = np.zeros(256)
    for letter in [*word, "</s>"]:
        h = step(embedding.E[pronounce.LETTERS.index(letter)], h, cell)
    embedding, cell, head = g2p.decoder.layers
    said: list[str] = []
    id = g2p.start
    while len(said) < 20:
        h = step(embedding.E[id], h, cell)
        id = int((head.W_y @ h + head.b_y).argmax())
        if id == g2p.stop:
            break
        said.append(pronounce.PHONEMES[id])
    return said


def test_a_few_words() -> None:
    words = ["activationist", "beam", "stream", "a", "zzz"]
    said = pronounce.in_batch(model(), words, width=1)
    assert said == [plainly(model(), word) for word in words]
    assert " ".join(said[1]) == "B IY1 M"


@pytest.mark.slow
def test_the_figures_of_the_card() -> None:
    words = pronounce.draw_words(dictionary())
    phonemes, whole = pronounce.errors(words, pronounce.in_batch(model(), words, 1), dictionary())
    assert f"{100 * phonemes:.2f} {100 * whole:.2f}" == "9.76 68.80"
    phonemes, whole = pronounce.errors(words, pronounce.in_batch(model(), words, 8), dictionary())
    assert f"{100 * phonemes:.2f} {100 * whole:.2f}" == "9.13 69.87"


@pytest.mark.slow
def test_the_committed_model_is_that_of_the_package() -> None:
    try:
        weights = pronounce.fetch()
    except subprocess.CalledProcessError:
        pytest.skip(f"{pronounce.PACKAGE} is not in the cache and cannot be downloaded")
    assert pronounce.model(weights).fingerprint == model().fingerprint


@pytest.mark.parametrize(
    ("one", "other", "distance"), [("abc", "abc", 0), ("", "ab", 2), ("kitten", "sitting", 3)]
)
def test_edits(one: str, other: str, distance: int) -> None:
    assert pronounce.edits(list(one), list(other)) == distance
