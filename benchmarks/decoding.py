"""Many sequences written at once: beam search over words, streams that generate.

The peers write one sequence after the other. Words: g2p in plain NumPy, its eight hypotheses as
one batch, as a careful user would write it. Streams: our own step, one stream at a time.
"""

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import beam_rnn as rnn
from beam_rnn.nn.decode import Sampling
from beam_rnn.nn.draws import stream_numbers
from beam_rnn.nn.generate import generate
from benchmarks.measure import Results, Row, against, alternate

MODEL = Path(__file__).parents[1] / "models" / "pronounce.safetensors"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
_FIRST = 3  # the id of the letter a
WIDTH = 8


class Plain:
    """g2p with one word at a time, in plain NumPy."""

    def __init__(self, model: rnn.EncoderDecoder) -> None:
        self.model = model
        (self.read, self.encoder), (self.written, self.decoder, self.head) = (
            model.encoder.layers,
            model.decoder.layers,
        )

    def step(self, x: np.ndarray, h: np.ndarray, cell: rnn.GRU) -> np.ndarray:
        """One step of the rows x (n, D), h (n, H)."""
        H = h.shape[1]
        p, q = x @ cell.W_x.T + cell.b, h @ cell.W_a.T
        if cell.b_n is not None:
            q[:, 2 * H :] += cell.b_n
        rz = 1 / (1 + np.exp(-(p[:, : 2 * H] + q[:, : 2 * H])))
        z = rz[:, H:]
        n = np.tanh(p[:, 2 * H :] + rz[:, :H] * q[:, 2 * H :])
        return (1 - z) * n + z * h

    def log_p(self, h: np.ndarray) -> np.ndarray:
        y = h @ self.head.W_y.T + self.head.b_y
        y -= y.max(axis=1, keepdims=True)
        return y - np.log(np.exp(y).sum(axis=1, keepdims=True))

    def state(self, word: Sequence[int]) -> np.ndarray:
        h = np.zeros((1, 256), np.float32)
        for id in [*word, self.model.source_end]:
            h = self.step(self.read.E[[id]], h, self.encoder)
        return h

    def greedy(self, word: Sequence[int]) -> list[int]:
        h, last, tokens = self.state(word), self.model.start, []
        while len(tokens) < self.model.limit:
            h = self.step(self.written.E[[last]], h, self.decoder)
            last = int(self.log_p(h).argmax())
            if last == self.model.stop:
                break
            tokens.append(last)
        return tokens

    def beam(self, word: Sequence[int]) -> list[int]:
        h, last = self.state(word), np.array([self.model.start])
        live: list[tuple[float, list[int]]] = [(0.0, [])]
        ended: list[tuple[float, list[int]]] = []
        for _ in range(self.model.limit):
            h = self.step(self.written.E[last], h, self.decoder)
            log_p = self.log_p(h)
            total = np.array([[score] for score, _ in live]) + log_p
            best = np.argsort(-total, axis=None)[: 2 * WIDTH]
            rows: list[int] = []
            going: list[tuple[float, list[int]]] = []
            for rank, at in enumerate(best.tolist()):
                row, token = divmod(at, total.shape[1])
                if token == self.model.stop:
                    if rank < WIDTH:
                        ended.append((float(total[row, token]), live[row][1]))
                elif len(going) < WIDTH:
                    rows.append(row)
                    going.append((float(total[row, token]), [*live[row][1], token]))
            live = going
            if ended and max(ended)[0] >= live[0][0]:
                break
            h, last = h[rows], np.array([tokens[-1] for _, tokens in live])
        return max([*ended, *live])[1]


def draw_words(number: int) -> list[list[int]]:
    """Ids of made-up words of 3 to 12 letters, vowels and consonants in turns."""
    chance = random.Random(0)
    words = []
    for _ in range(number):
        length = chance.randint(3, 12)
        kinds = ("aeiou", "bcdfghklmnprstvwyz")
        letters = [chance.choice(kinds[(i + length) % 2]) for i in range(length)]
        words.append([_FIRST + LETTERS.index(letter) for letter in letters])
    return words


def words(rounds: int, number: int) -> list[Row]:
    """Words per second of a beam of eight."""
    model = rnn.load(MODEL)
    assert isinstance(model, rnn.EncoderDecoder)
    plain, every = Plain(model), draw_words(number)
    few = every[: max(number // 10, 1)]
    _check(model, plain, few)
    rates = alternate(
        {
            "ours": lambda: _rate(lambda: model.translate(every, width=WIDTH), number),
            "beam": lambda: _rate(lambda: [plain.beam(word) for word in few], len(few)),
            "greedy": lambda: _rate(lambda: [plain.greedy(word) for word in few], len(few)),
        },
        rounds,
    )
    what = f"words, beam of {WIDTH} (g2p, GRU 256), {number} at once"
    return [
        against(
            Row("decoding", what, "words/s", peer="NumPy, one word at a time", target=5),
            rates["ours"],
            rates["beam"],
        ),
        against(
            Row("decoding", what, "words/s", peer="NumPy, one at a time, greedy"),
            rates["ours"],
            rates["greedy"],
        ),
    ]


def _check(model: rnn.EncoderDecoder, plain: Plain, some: list[list[int]]) -> None:
    """Raises ValueError where the peer gives something else: sums differ, so a few may."""
    ours = [best.tokens.tolist() for best, *_ in model.translate(some, width=WIDTH)]
    same = sum(mine == plain.beam(word) for mine, word in zip(ours, some, strict=True))
    if same < 0.9 * len(some):
        raise ValueError(f"NumPy pronounces {len(some) - same} of {len(some)} words otherwise")


def streams(rounds: int, number: int, tokens: int, H: int = 256, V: int = 100) -> list[Row]:
    """Tokens per second of streams that generate, nucleus sampling."""
    draw = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(0, 1 / H**0.5, shape)

    network = rnn.Network(
        [
            rnn.Embedding(weights(V, 64)),
            rnn.GRU(weights(3 * H, 64), weights(3 * H, H), weights(3 * H)),
            rnn.Dense(weights(V, H), weights(V), "softmax"),
        ]
    )
    how = Sampling(top_p=0.9)
    numbers = stream_numbers([b"%d" % i for i in range(number)])

    def go_on(some: slice) -> object:
        n = len(range(*some.indices(number)))
        return generate(
            network,
            network.initial_state(n),
            np.full(n, tokens),
            how,
            seed=0,
            streams=numbers[some],
            steps=np.zeros(n, np.int64),
        )

    few = max(number // 50, 1)
    rates = alternate(
        {
            "ours": lambda: _rate(lambda: go_on(slice(None)), number * tokens),
            "alone": lambda: _rate(
                lambda: list(map(go_on, (slice(i, i + 1) for i in range(few)))), few * tokens
            ),
        },
        rounds,
    )
    what = f"tokens, {number} streams at once (GRU {H}, nucleus)"
    row = Row("decoding", what, "tokens/s", peer="ours, one stream after the other", target=8)
    return [against(row, rates["ours"], rates["alone"])]


def _rate(call: Callable[[], object], number: int) -> float:
    start = time.perf_counter()
    call()
    return number / (time.perf_counter() - start)


def run(rounds: int, number: int, tokens: int) -> Results:
    """Both."""
    return Results([*words(rounds, number), *streams(rounds, number, tokens)])
