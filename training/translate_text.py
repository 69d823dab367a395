"""Trains the translator of verses: English pieces in, Spanish pieces out, with attention.

    python training/translate_text.py --output models/translate_text.safetensors

The data are fetched with apt-get (see ``training/verses.py``).
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file

import beam_rnn as rnn
from beam_rnn.features import Pieces
from training import evaluate_translation, loop, verses
from training.recurrent import (
    Params,
    dense,
    dropped,
    gru,
    init_dense,
    init_gru,
    init_table,
    to_dense,
    to_gru,
)

PIECES = 2800
WIDTH, HIDDEN = 256, 256
START, STOP = 0, 1
SCHEDULE = loop.Schedule(epochs=10, rate=2e-3, warmup=400)
LONGEST = 84  # pieces of a verse, on either side
UPDATE = 1280  # pieces of an update, on each side
DROP = 0.15  # of the units
SMOOTHING = 0.1
GUIDE = 0.2
"""What it counts that attention is where Strong's numbers say."""


class Batch(NamedTuple):
    """B verses, position first; ``numbers`` (T, B, 2) are Strong's, 0 where there is none."""

    source: NDArray[np.int32]  # (S, B), filled up with START
    numbers: NDArray[np.int32]
    lengths: NDArray[np.int32]  # (B,) with STOP
    target: NDArray[np.int32]  # (T, B) behind START, with STOP; filled up with START
    target_numbers: NDArray[np.int32]


Coded = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Ids (T,) and numbers (T, 2) of a verse in one language."""


def vocabulary(texts: Iterable[str], size: int) -> list[str]:
    """The pieces that SentencePiece finds in texts, behind the two of our own."""
    import io

    import sentencepiece

    found = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=found,
        model_type="bpe",
        vocab_size=size - 1,  # of its own three only our two stay
        character_coverage=1.0,
        normalization_rule_name="identity",
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=found.getvalue())
    pieces = [model.id_to_piece(id) for id in range(3, model.vocab_size())]
    return ["<s>", "</s>", *pieces]


def code(pieces: Pieces, side: verses.Side, known: dict[str, int]) -> Coded:
    """A verse as ids, and as numbers of ``known`` two of Strong's for each."""
    coded = verses.coded(side, pieces)
    numbers = [
        ([known.setdefault(n, len(known) + 1) for n in own[:2]] + [0, 0])[:2] for _, own in coded
    ]
    ids = [id for id, _ in coded]
    return np.array([*ids, STOP], np.int32), np.array([*numbers, [0, 0]], np.int32)


def batches(
    pairs: Sequence[tuple[Coded, Coded]], pieces: int, draw: np.random.Generator
) -> Iterator[Batch]:
    """The verses in random order, those of like length together; ``pieces`` on each side."""
    length = np.array([max(len(s[0]), len(t[0])) for s, t in pairs])
    size = np.maximum(-(-length // 6) * 6, 18)
    parts = []
    for steps in np.unique(size).tolist():
        mine = draw.permutation(np.flatnonzero(size == steps))
        many = pieces // steps
        # The last batch is filled up with verses of the others, so that shapes are few.
        mine = np.concatenate([mine, np.resize(mine, -len(mine) % many)])
        parts += [(steps, part) for part in mine.reshape(-1, many)]
    for place in draw.permutation(len(parts)).tolist():
        steps, part = parts[place]
        yield _batch([pairs[i] for i in part.tolist()], steps)


def short(pairs: Sequence[tuple[Coded, Coded]]) -> list[tuple[Coded, Coded]]:
    """The verses of at most LONGEST pieces on either side."""
    return [pair for pair in pairs if max(len(ids) for ids, _ in pair) <= LONGEST]


def _batch(pairs: Sequence[tuple[Coded, Coded]], steps: int) -> Batch:
    B = len(pairs)
    ids = np.zeros((2, steps, B), np.int32)
    numbers = np.zeros((2, steps, B, 2), np.int32)
    for b, pair in enumerate(pairs):
        for side, (own, strong) in enumerate(pair):
            ids[side, : len(own), b] = own
            numbers[side, : len(own), b] = strong
    lengths = np.array([len(s[0]) for s, _ in pairs], np.int32)
    return Batch(ids[0], numbers[0], lengths, ids[1], numbers[1])


def forward(params: Params, batch: Batch, key: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Logits (T, B, V) of the target, and the weights (2, T, B, S) of what was read for each."""
    keys = [None] * 5 if key is None else list(jax.random.split(key, 5))

    def drop(x: jax.Array, place: int) -> jax.Array:
        return dropped(x, DROP, keys[place], steps=True)

    S, B = batch.source.shape
    there = jnp.arange(S)[:, None] < batch.lengths
    x = drop(params["source"][batch.source], 0)
    memory, last = gru(params["encoder"], x, jnp.zeros((B, HIDDEN)), there)
    before = jnp.concatenate([jnp.full((1, B), START), batch.target[:-1]])
    start = jnp.split(dense(params["bridge"], last), 2, axis=-1)
    memory = drop(memory, 2)

    def read(ask: Params, h: jax.Array) -> tuple[jax.Array, jax.Array]:
        scores = jnp.einsum("tbc,sbc->bts", dense(ask, h), memory)
        weights = jax.nn.softmax(jnp.where(there.T[:, None], scores, -1e9))
        return jnp.concatenate([jnp.einsum("bts,sbc->tbc", weights, memory), h], 2), weights

    h, _ = gru(params["first"], drop(params["target"][before], 1), start[0])
    both, at_first = read(params["ask"], h)
    h, _ = gru(params["second"], drop(both, 4), start[1])
    both, again = read(params["ask_again"], h)
    mixed = drop(jnp.tanh(dense(params["mix"], both)), 3)
    weights = jnp.stack([at_first, again]).transpose(0, 2, 1, 3)
    return mixed @ params["target"].T + params["b"], weights


def losses(params: Params, batch: Batch, key: jax.Array | None, smoothing: float) -> Any:
    """Of a piece of the target: its cross entropy, and that of what was read."""
    logits, weights = forward(params, batch, key)
    behind = jnp.cumsum(batch.target == STOP, axis=0) - (batch.target == STOP)
    counts = (behind == 0).astype(jnp.float32)
    log_p = logits - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    right = jnp.take_along_axis(log_p, batch.target[..., None], -1)[..., 0]
    entropy = -(1 - smoothing) * right - smoothing * log_p.mean(-1)
    asked, has = batch.target_numbers, batch.numbers
    same = asked[:, :, None, :, None] == has.transpose(1, 0, 2)[None, :, :, None, :]
    same = (same & (asked[:, :, None, :, None] > 0)).any((-1, -2))  # (T, B, S)
    known = same.any(-1) & (counts > 0)
    there = jnp.log((weights * same).sum(-1) + 1e-6).mean(0)
    return (entropy * counts).sum() / counts.sum(), -(there * known).sum() / known.sum().clip(1)


def loss(params: Params, batch: Batch, key: jax.Array) -> jax.Array:
    """What training makes small."""
    entropy, guide = losses(params, batch, key, SMOOTHING)
    return entropy + GUIDE * guide


def initial(draw: np.random.Generator, sources: int, targets: int) -> Params:
    """The weights before training."""
    return {
        "source": init_table(draw, sources, WIDTH),
        "target": init_table(draw, targets, WIDTH),  # read, and written with
        "encoder": init_gru(draw, HIDDEN, WIDTH),
        "bridge": init_dense(draw, 2 * HIDDEN, HIDDEN),
        "first": init_gru(draw, HIDDEN, WIDTH),
        "second": init_gru(draw, HIDDEN, 2 * HIDDEN),
        "ask_again": init_dense(draw, HIDDEN, HIDDEN),
        "ask": init_dense(draw, HIDDEN, HIDDEN),
        "mix": init_dense(draw, WIDTH, 2 * HIDDEN),
        "b": np.zeros(targets, np.float32),
    }


def model(
    params: Params, english: Sequence[str], spanish: Sequence[str], card: dict[str, Any]
) -> rnn.EncoderDecoder:
    """The trained weights as a translator of beam_rnn."""
    table = np.asarray(params["target"])

    def asks(layer: Params) -> rnn.Multiplicative:
        return rnn.Multiplicative(np.asarray(layer["W"]), np.asarray(layer["b"]))

    return rnn.EncoderDecoder(
        rnn.Network(
            [rnn.Embedding(np.asarray(params["source"])), to_gru(params["encoder"])],
            vocabulary=english,
        ),
        rnn.Network(
            [
                rnn.Embedding(table),
                to_gru(params["first"]),
                asks(params["ask"]),
                to_gru(params["second"]),
                asks(params["ask_again"]),
                to_dense(params["mix"], "tanh"),
                rnn.Dense(table, np.asarray(params["b"])),
            ],
            vocabulary=spanish,
        ),
        start=START,
        stop=STOP,
        limit=120,
        bridge=[to_dense(params["bridge"])],
        source_end=STOP,
        card=card,
    )


def main() -> None:
    """Trains, and writes the model after each epoch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, help="where the model goes (safetensors)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    splits = verses.read()
    english = vocabulary((v.english.text for v in splits.train), PIECES)
    spanish = vocabulary((v.spanish.text for v in splits.train), PIECES)
    readers = Pieces(english), Pieces(spanish)
    known: dict[str, int] = {}
    coded = [
        [(code(readers[0], v.english, known), code(readers[1], v.spanish, known)) for v in part]
        for part in (splits.train, splits.valid)
    ]
    few = list(batches(short(coded[1]), 2560, np.random.default_rng(0)))
    judge = jax.jit(lambda params, batch: losses(params, batch, None, 0.0))
    card = {
        "data": "King James Version and Reina-Valera 1909, public domain (Debian sword-text-kjv, "
        "sword-text-sparv), chapters left out whole",
        "recipe": f"training/translate_text.py --seed {options.seed}",
    }

    def tell(epoch: int, mean: Params) -> None:
        found = np.mean([[float(value) for value in judge(mean, batch)] for batch in few], axis=0)
        print(f"    valid {found[0]:.4f} a piece, attention {found[1]:.4f}", flush=True)
        save(mean, {})

    def save(mean: Params, figures: dict[str, float]) -> None:
        rnn.save(model(mean, english, spanish, card | figures), options.output, half=True)

    params = initial(np.random.default_rng(options.seed), len(english), len(spanish))
    given = partial(batches, short(coded[0]), UPDATE)
    updates = sum(1 for _ in given(np.random.default_rng(0)))
    print(f"{updates} updates an epoch", flush=True)
    params = loop.fit(params, loss, given, updates, SCHEDULE, options.seed, tell)
    save(params, evaluate_translation.figures_of(rnn.load(options.output), splits))


if __name__ == "__main__":
    main()
