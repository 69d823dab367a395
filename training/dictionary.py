"""Word by word: each English word as the Spanish one that it most often stands for."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

WORDS = re.compile(r"[^\W\d_]+|[^\w\s]")
_ROUNDS = 6
_BEFORE = re.compile(r"\s+([,.;:?!)’])")
_BEHIND = re.compile(r"([¿¡(])\s+")


def learn(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The most probable translation of each word: Model 1 of Brown et al. (1993), with NULL.

    Args:
      pairs: (English, Spanish) sentences that translate each other.
    """
    english, spanish = {"": 0}, dict[str, int]()
    of, to, asked = [], [], []  # of each pair of words: English, Spanish, which Spanish one it is
    count = 0
    for one, other in pairs:
        e = [0, *(english.setdefault(w, len(english)) for w in WORDS.findall(one))]
        s = [spanish.setdefault(w, len(spanish)) for w in WORDS.findall(other)]
        of.append(np.tile(np.array(e), len(s)))
        to.append(np.repeat(np.array(s), len(e)))
        asked.append(count + np.repeat(np.arange(len(s)), len(e)))
        count += len(s)
    E, S, word = np.concatenate(of), np.concatenate(to), np.concatenate(asked)
    both, pair = np.unique(E * len(spanish) + S, return_inverse=True)
    e_of = both // len(spanish)
    p = np.ones(len(both))
    for _ in range(_ROUNDS):
        share = p[pair]
        share /= np.bincount(word, share)[word]
        p = np.bincount(pair, share)
        p /= np.bincount(e_of, p)[e_of]
    best = np.lexsort((p, e_of))
    last = np.append(np.flatnonzero(np.diff(e_of[best])), len(best) - 1)
    names, words = list(english), list(spanish)
    found = both[best[last]]
    return {
        names[i // len(words)]: words[i % len(words)] for i in found.tolist() if i >= len(words)
    }


def translate(text: str, words: dict[str, str]) -> str:
    """Word by word; one that is not known stays as it is."""
    return joined([words.get(word, word) for word in WORDS.findall(text)])


def joined(words: Sequence[str]) -> str:
    """Words and signs as a text."""
    return _BEHIND.sub(r"\1", _BEFORE.sub(r"\1", " ".join(words)))
