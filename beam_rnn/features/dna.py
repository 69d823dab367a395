"""Nucleotides -> one row per base: its codon, the open reading frames around it, codons ahead."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beam_rnn.errors import InputError, OptionError, StateError

__all__ = ["AMBIGUOUS", "IUPAC", "Nucleotides", "SpliceWindow", "encode"]

IUPAC = "ACGTURYSWKMBDHVN"
"""The letters of nucleotides: four bases, U for T, and eleven that stand for several bases."""

AMBIGUOUS = 4
"""The code of every letter that stands for several bases; A, C, G and T are 0 to 3."""

_CODES = np.full(256, 255, np.uint8)
for _code, _letters in enumerate(["Aa", "Cc", "Gg", "TtUu", (IUPAC[5:] + IUPAC[5:].lower())]):
    _CODES[[ord(letter) for letter in _letters]] = _code
_STOPS = {"TAA", "TAG", "TGA"}
_CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
_IS_STOP = np.array([codon in _STOPS for codon in _CODONS] + [False])
_IS_STOP_REVERSED = np.array(
    [codon[::-1].translate(str.maketrans("ACGT", "TGCA")) in _STOPS for codon in _CODONS] + [False]
)
_UNKNOWN_CODON = 64
_FARTHEST = 4095  # codons since a stop, that are told apart
_BEHIND = 2  # answered bases that the next codon begins with
_AT_ONCE = 1 << 13  # bases whose codons ahead are counted together
_HEAD = struct.Struct("<B6H")


def encode(text: str) -> NDArray[np.uint8]:
    """The codes (n,) of the letters: A 0, C 1, G 2, T or U 3, other IUPAC letters AMBIGUOUS.

    Raises InputError if text is not a str or has another letter. White space is left out.
    """
    if not isinstance(text, str):
        raise InputError(f"expected nucleotides (str), got {type(text).__name__}")
    letters = "".join(text.split())
    codes = _CODES[np.frombuffer(letters.encode("ascii", "replace"), np.uint8)]
    wrong = np.flatnonzero(codes == 255)
    if wrong.size:
        at = int(wrong[0])
        raise InputError(f"{letters[at]!r} at place {at + 1} is no nucleotide: expected {IUPAC}")
    return codes


class Nucleotides:
    """A Feature: a piece of a DNA sequence -> [(letter, row), ...], one for each base.

    The row of base q is known when base q + lookahead has come, or the sequence has ended. A row
    is int64, (206,), and says of base q:

    - the codon that ends at q and the frame of its start, q mod 3;
    - the six bases from q on;
    - for each of six frames (three forward, three reversed), how many codons ago the last stop
      codon was, and how many codons ahead the next one is, on a scale of logarithms;
    - how often each codon occurs in each frame from q to q + lookahead: 192 counts. The same
      counts tell of both strands, as each codon is the reverse complement of another.

    Frames are places mod 3 from the start of the sequence. 0 is padding or "not in sight"
    everywhere. Letters that stand for several bases are in no codon.

    Args:
      lookahead: bases that may be seen after the one that is answered.

    Raises OptionError if lookahead is no number from 0 to 10,000.
    """

    echoes = str
    columns = (1 + 3 * 65, 1 + 4097, *[40] * 12, *[0] * 192)
    """How many ids each column has; 0 for the counts, which are numbers."""
    width = len(columns)

    def __init__(self, lookahead: int = 300) -> None:
        if not isinstance(lookahead, int) or not 0 <= lookahead <= 10_000:
            raise OptionError(f"lookahead is {lookahead!r}, expected a number from 0 to 10,000")
        self.lookahead = lookahead

    def feed(self, value: str, memory: bytes = b"") -> tuple[list[tuple[str, Any]], bytes]:
        """The bases that are `lookahead` before the end of `value`, with their rows; new memory.

        Raises InputError if value is not a str of IUPAC letters and white space.
        """
        return self._answer(memory, encode(value), _letters_of(value), self.lookahead)

    def finish(self, memory: bytes) -> list[tuple[str, Any]]:
        """The bases that wait for those after them, which do not come."""
        return self._answer(memory, np.zeros(0, np.uint8), "", 0)[0]

    def rows(self, text: str) -> NDArray[np.int64]:
        """The rows (T, 206) of a whole sequence."""
        codes = np.concatenate([np.full(_BEHIND, AMBIGUOUS, np.uint8), encode(text)])
        return self._rows(codes, len(codes) - _BEHIND, 0, np.zeros(6, np.int64))[0]

    def _answer(
        self, memory: bytes, codes: NDArray[np.uint8], letters: str, waits: int
    ) -> tuple[list[tuple[str, Any]], bytes]:
        phase, since, before, waiting = _read(memory)
        letters = waiting + letters
        known = np.concatenate([before, encode(waiting), codes])
        n = max(len(letters) - waits, 0)
        rows, after = self._rows(known, n, phase, since)
        left = _HEAD.pack((phase + n) % 3, *after.tolist())
        left += known[n : n + _BEHIND].tobytes() + letters[n:].encode()
        return list(zip(letters, rows, strict=False)), left

    def _rows(
        self, codes: NDArray[np.uint8], n: int, phase: int, since: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The rows of the n bases after the first two of `codes`, and `since` after them."""
        rows = np.zeros((n, self.width), np.int64)
        codon = _codons(codes)
        at = np.arange(_BEHIND, _BEHIND + n)
        frame = (phase + np.arange(len(codes)) - _BEHIND) % 3  # of the codon that begins there
        rows[:, 0] = 1 + 65 * frame[:n] + codon[:n]
        rows[:, 1] = self._six_ahead(codon, len(codes), n)
        last = np.minimum(at + self.lookahead, len(codes) - 1)
        after = since.copy()
        for f in range(3):
            first = (f - phase + _BEHIND) % 3  # where the first codon of this frame begins
            own = (np.arange(_BEHIND, _BEHIND + n + 1) - first) // 3  # the codon around a base
            for strand, stops in enumerate((_IS_STOP, _IS_STOP_REVERSED)):
                side = 3 * strand + f
                back, ahead = _stops(stops[codon[first::3]], own, int(since[side]))
                after[side] = back[-1]
                seen = first + 3 * (own[:-1] + ahead[:-1]) + 2 <= last
                rows[:, 2 + side] = _scale(back[:-1])
                rows[:, 8 + side] = np.where(seen, _scale(ahead[:-1] + 1), 0)
        self._count(rows, codes, codon, frame)
        return rows, after

    def _six_ahead(self, codon: NDArray[np.int64], length: int, n: int) -> NDArray[np.int64]:
        six = np.zeros(n, np.int64)
        m = max(min(n, length - _BEHIND - 5), 0) if self.lookahead >= 5 else 0
        one, two = codon[_BEHIND : _BEHIND + m], codon[_BEHIND + 3 : _BEHIND + 3 + m]
        whole = (one < _UNKNOWN_CODON) & (two < _UNKNOWN_CODON)
        six[:m] = 1 + np.where(whole, 64 * one + two, 4096)
        return six

    def _count(
        self,
        rows: NDArray[np.int64],
        codes: NDArray[np.uint8],
        codon: NDArray[np.int64],
        frame: NDArray[np.int64],
    ) -> None:
        """Fills in how often each codon begins in q .. q + lookahead - 2."""
        window = max(self.lookahead - 1, 0)
        for start in range(0, len(rows), _AT_ONCE):
            n = min(_AT_ONCE, len(rows) - start)
            part = slice(start + _BEHIND, min(start + _BEHIND + n + window, len(codon)))
            found = codon[part]
            counts = np.zeros((n + window + 1, 3 * 64), np.int32)
            place = np.flatnonzero(found < _UNKNOWN_CODON)
            counts[place + 1, 64 * frame[part][place] + found[place]] = 1
            np.cumsum(counts, axis=0, out=counts)
            rows[start : start + n, 14:] = counts[window : window + n] - counts[:n]


class SpliceWindow:
    """A Feature: the 60 bases around a place where a gene may be spliced -> [(letter, row), ...].

    The place is between base 30 and base 31. A row is int64, (3,): the place with its base, the
    place with its base and the one before, and the last three bases; 0 where they are not clear,
    and for places beyond 60. What the letters are read as: see `encode`.
    """

    bases = 60
    columns = (1 + 4 * bases, 1 + 16 * bases, 1 + 64)
    """How many ids each column has."""

    def feed(self, value: str, memory: bytes = b"") -> tuple[list[tuple[str, Any]], bytes]:
        """The bases of `value` with their rows, and the new memory: place, the last two bases.

        Raises InputError if value is not a str of IUPAC letters and white space.
        """
        codes = encode(value)
        place, before = 0, np.full(_BEHIND, AMBIGUOUS, np.uint8)
        if memory:
            if len(memory) != 1 + _BEHIND:
                raise StateError("the memory of SpliceWindow is broken")
            place, before = memory[0], np.frombuffer(memory, np.uint8, _BEHIND, 1)
        codes = np.concatenate([before, codes])
        rows = self._rows(codes, place)
        after = bytes([min(place + len(rows), self.bases)]) + codes[-_BEHIND:].tobytes()
        return list(zip(_letters_of(value), rows, strict=True)), after

    def finish(self, memory: bytes) -> list[tuple[str, Any]]:
        """Nothing: no base waits."""
        return []

    def rows(self, text: str) -> NDArray[np.int64]:
        """The rows (T, 3) of a whole window."""
        codes = np.concatenate([np.full(_BEHIND, AMBIGUOUS, np.uint8), encode(text)])
        return self._rows(codes, 0)

    def _rows(self, codes: NDArray[np.uint8], first: int) -> NDArray[np.int64]:
        wide = codes.astype(np.int64)
        a, b, c = wide[:-2], wide[1:-1], wide[2:]
        place = first + np.arange(len(c))
        inside = place < self.bases
        one, two = c < AMBIGUOUS, (c < AMBIGUOUS) & (b < AMBIGUOUS)
        rows = np.zeros((len(c), 3), np.int64)
        rows[:, 0] = np.where(inside & one, 1 + 4 * place + c, 0)
        rows[:, 1] = np.where(inside & two, 1 + 16 * place + 4 * b + c, 0)
        rows[:, 2] = np.where(two & (a < AMBIGUOUS), 1 + 16 * a + 4 * b + c, 0)
        return rows


def _letters_of(text: str) -> str:
    return "".join(text.split())


def _codons(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The codon that begins at each place but the last two; _UNKNOWN_CODON if it is not clear."""
    wide = codes.astype(np.int64)
    a, b, c = wide[:-2], wide[1:-1], wide[2:]
    unclear = (a == AMBIGUOUS) | (b == AMBIGUOUS) | (c == AMBIGUOUS)
    return np.where(unclear, _UNKNOWN_CODON, 16 * a + 4 * b + c)


def _stops(
    stop: NDArray[np.bool_], own: NDArray[np.int64], since: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Codons from the last stop before codon `own`, 0: none; codons to the next from it on."""
    m = int(own[-1]) + 1
    known = np.zeros(max(m, len(stop)) + 1, bool)
    known[: len(stop)] = stop
    place = np.arange(len(known))
    none = -(1 << 40)
    latest = np.maximum.accumulate(np.where(known, place, none))
    latest = np.concatenate([[-since if since else none], latest])
    latest = np.maximum(latest, latest[0])
    following = np.where(known, place, 1 << 40)
    following = np.minimum.accumulate(following[::-1])[::-1]
    back = own - latest[own]
    return np.where(back > 1 << 30, 0, np.minimum(back, _FARTHEST)), following[own] - own


def _scale(codons: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 for 0, else 1 to 37: three steps for each doubling."""
    return np.where(codons > 0, 1 + np.floor(3 * np.log2(np.maximum(codons, 1))), 0).astype(
        np.int64
    )


def _read(memory: bytes) -> tuple[int, NDArray[np.int64], NDArray[np.uint8], str]:
    if not memory:
        return 0, np.zeros(6, np.int64), np.full(_BEHIND, AMBIGUOUS, np.uint8), ""
    try:
        phase, *since = _HEAD.unpack_from(memory)
        before = np.frombuffer(memory, np.uint8, _BEHIND, _HEAD.size)
        waiting = memory[_HEAD.size + _BEHIND :].decode("ascii")
    except (struct.error, ValueError, TypeError):
        raise StateError("the memory of Nucleotides is broken") from None
    return phase, np.array(since, np.int64), before, waiting
