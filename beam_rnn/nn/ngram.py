"""An n-gram model with back-off: how probable a word is after the words before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from beam_rnn.errors import ModelError

Gram = tuple[str, ...]

_LN_10 = 2.302585092994046
_MOST = 1 << 26  # n-grams that a header may announce


@dataclass(frozen=True)
class NGram:
    """An n-gram model with back-off weights (Katz, 1987), as ARPA files hold it.

    Attributes:
      order: words of the longest n-gram.
      grams: (words) -> natural logarithms of the probability of the last one after the others,
        and of the back-off weight.
      unknown: of the probability of a word that the model does not know and that has no "<unk>".

    Raises:
      ModelError: an n-gram is longer than the order, or there is none.
    """

    order: int
    grams: Mapping[Gram, tuple[float, float]]
    unknown: float = -10 * _LN_10

    def __post_init__(self) -> None:
        if not self.grams:
            raise ModelError("an n-gram model needs at least one n-gram")
        longest = max(self.grams, key=len)
        if not 1 <= len(longest) <= self.order:
            raise ModelError(f"{longest} has {len(longest)} words, the order is {self.order}")

    @staticmethod
    def of_arpa(lines: Iterable[str]) -> NGram:
        r"""Reads the lines of an ARPA file (\data\, \1-grams:, ..., \end\).

        Raises:
          ModelError: a line is broken, by its number, or n-grams are missing.
        """
        return _read(lines)

    def log_p(self, word: str, before: Gram) -> float:
        """ln P(word | before), of which the last order - 1 words count."""
        if (word,) not in self.grams:
            if ("<unk>",) not in self.grams:
                return self.unknown
            word = "<unk>"
        context = before[max(0, len(before) - self.order + 1) :]
        weight = 0.0
        while True:
            found = self.grams.get((*context, word))
            if found is not None:
                return weight + found[0]
            weight += self.grams.get(context, (0.0, 0.0))[1]
            context = context[1:]


def _read(lines: Iterable[str]) -> NGram:
    counts: dict[int, int] = {}
    found: dict[int, int] = {}
    grams: dict[Gram, tuple[float, float]] = {}
    section: int | None = None  # 0: the header; None: before it
    for number, line in enumerate(lines, 1):
        line = line.strip()
        try:
            if not line:
                continue
            if line == "\\data\\":
                section = 0
            elif line == "\\end\\":
                break
            elif section is None:
                continue
            elif line.startswith("\\") and line.endswith("-grams:"):
                section = int(line[1:].partition("-")[0])
                if section not in counts:
                    raise ValueError("an order that the header does not announce")
            elif section == 0:
                order, _, count = line.removeprefix("ngram ").partition("=")
                counts[int(order)] = int(count)
                if not (1 <= int(order) <= 16 and 0 <= int(count) <= _MOST):
                    raise ValueError("too many n-grams")
            else:
                fields = line.split()
                if len(fields) not in (section + 1, section + 2):
                    raise ValueError(f"expected a probability and {section} words")
                rest = float(fields[section + 1]) if len(fields) > section + 1 else 0.0
                p = float(fields[0]) * _LN_10
                if not (p <= 0 and abs(rest) < float("inf")):
                    raise ValueError("expected logarithms of probabilities")
                grams[tuple(fields[1 : section + 1])] = p, rest * _LN_10
                found[section] = found.get(section, 0) + 1
        except ValueError as error:
            raise ModelError(f"ARPA, line {number}: {error}: {line[:80]!r}") from None
    if not counts or {n: found.get(n, 0) for n in counts} != counts:
        raise ModelError(f"ARPA: the header announces {counts}, found {found}")
    return NGram(max(counts), grams)
