"""An n-gram model with interpolated modified Kneser-Ney smoothing (Chen and Goodman, 1999)."""

from collections import Counter, defaultdict
from collections.abc import Iterable

START, END = "\2", "\3"


class NGrams:
    """P(symbol | the n - 1 before it) from sequences of symbols.

    Below the first order, and above it in the contexts that begin a sequence, counts are of the
    different symbols that come before (continuations). Below order one is the uniform
    distribution over the symbols that were seen and one more, for all others.

    Args:
      texts: to count.
      n: the order.
    """

    def __init__(self, texts: Iterable[str], n: int) -> None:
        self.n = n
        full: Counter[str] = Counter()
        for text in texts:
            padded = START * (n - 1) + text + END
            full.update(padded[i : i + n] for i in range(len(padded) - n + 1))
        orders = [full]
        for _ in range(n - 1):  # the next lower order: how many different symbols came before
            orders.append(Counter(gram[1:] for gram in orders[-1]))
        self.symbols = len(orders[-1]) + 1
        self.counts = orders[::-1]  # by length, from 1
        self.discounts = [_discounts(counts) for counts in self.counts]
        self.totals: list[dict[str, int]] = []
        self.kinds: list[dict[str, list[int]]] = []
        for counts in self.counts:
            total: dict[str, int] = defaultdict(int)
            kinds: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
            for gram, count in counts.items():
                total[gram[:-1]] += count
                kinds[gram[:-1]][min(count, 3) - 1] += 1
            self.totals.append(dict(total))
            self.kinds.append(dict(kinds))

    def probabilities(self, text: str) -> list[float]:
        """Of each character of a text; what comes before it counts as START."""
        padded = START * (self.n - 1) + text
        places = range(self.n - 1, len(padded))
        return [self.probability(padded[i - self.n + 1 : i], padded[i]) for i in places]

    def probability(self, context: str, symbol: str) -> float:
        """Of a symbol after at least n - 1 others."""
        p = 1 / self.symbols
        for k in range(self.n):
            before = context[len(context) - k :]
            total = self.totals[k].get(before)
            if total is None:
                break
            D = self.discounts[k]
            count = self.counts[k].get(before + symbol, 0)
            held = sum(d * kind for d, kind in zip(D, self.kinds[k][before], strict=True))
            own = max(count - (D[min(count, 3) - 1] if count else 0), 0)
            p = (own + held * p) / total
        return p


def _discounts(counts: Counter[str]) -> tuple[float, float, float]:
    """For counts of one, of two, and of three and more."""
    n1, n2, n3, n4 = (sum(c == k for c in counts.values()) for k in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return 0.5, 0.5, 0.5
    Y = n1 / (n1 + 2 * n2)
    return 1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3
