"""Trains the translator of verses: English pieces in, Spanish pieces out, with attention.

    python training/translate_text.py --output models/translate_text.safetensors

The data are fetched with apt-get (see ``training/verses.py``).
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
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
from training.recurrent import Params, dropped, init_dense, init_gru, init_table, to_dense, to_gru

PIECES = 3000
WIDTH, HIDDEN = 256, 320
LONGEST = 60
"""Pieces of the verses with which it trains, on either side."""

START, STOP = 0, 1
SMOOTHING = 0.1
DROP = 0.1
GUIDE = 0.2
"""What it counts that attention is where Strong's numbers say."""

_BATCH = 2560  # pieces, on each side
_SCHEDULE = loop.Schedule(epochs=8, rate=2e-3, warmup=400)


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


def batches(pairs: Sequence[tuple[Coded, Coded]], draw: np.random.Generator) -> Iterator[Batch]:
    """The verses in random order, those of like length together."""
    length = np.array([max(len(s[0]), len(t[0])) for s, t in pairs])
    size = np.maximum(-(-length // 6) * 6, 18)
    parts = []
    for steps in np.unique(size).tolist():
        mine = draw.permutation(np.flatnonzero(size == steps))
        many = _BATCH // steps
        # The last batch is filled up with verses of the others, so that shapes are few.
        mine = np.concatenate([mine, np.resize(mine, -len(mine) % many)])
        parts += [(steps, part) for part in mine.reshape(-1, many)]
    for place in draw.permutation(len(parts)).tolist():
        steps, part = parts[place]
        yield _batch([pairs[i] for i in part.tolist()], steps)


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


@jax.custom_vjp
def product(x: jax.Array, W: jax.Array) -> jax.Array:
    """x W^T with factors of 16 bits (bfloat16) and sums of 32: three times as fast."""
    return _product(x, W)[0]


def _dot(a: jax.Array, b: jax.Array, axes: tuple[Sequence[int], Sequence[int]]) -> jax.Array:
    return jax.lax.dot_general(
        a.astype(jnp.bfloat16),
        b.astype(jnp.bfloat16),
        (axes, ((), ())),
        preferred_element_type=jnp.float32,
    )


def _product(x: jax.Array, W: jax.Array) -> tuple[jax.Array, Any]:
    return _dot(x, W, ((x.ndim - 1,), (1,))), (x, W)


def _gradients(kept: Any, given: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, W = kept
    outer = tuple(range(x.ndim - 1))
    return _dot(given, W, ((x.ndim - 1,), (0,))), _dot(given, x, (outer, outer))


product.defvjp(_product, _gradients)


@jax.custom_vjp
def _frozen(x: jax.Array, W: jax.Array) -> jax.Array:
    """The same, for weights that get their gradient elsewhere."""
    return _dot(x, W, ((x.ndim - 1,), (1,)))


_frozen.defvjp(
    lambda x, W: (_frozen(x, W), W),
    lambda W, given: (_dot(given, W, ((given.ndim - 1,), (0,))), None),
)


def gru(cell: Params, x: jax.Array, start: jax.Array, keep: jax.Array) -> jax.Array:
    """The states (T, B, H) behind x (T, B, D); where ``keep`` (T, B) is false they stay."""
    given = product(x, cell["W_x"]) + cell["b"]
    return _states(cell["W_a"], cell["b_n"], given, start, keep)


@jax.custom_vjp
def _states(
    W: jax.Array, b_n: jax.Array, given: jax.Array, start: jax.Array, keep: jax.Array
) -> jax.Array:
    return _states_kept(W, b_n, given, start, keep)[0]


def _states_kept(
    W: jax.Array, b_n: jax.Array, given: jax.Array, start: jax.Array, keep: jax.Array
) -> tuple[jax.Array, Any]:
    H = start.shape[-1]
    fixed = W.astype(jnp.bfloat16)

    def run(b_n: jax.Array, given: jax.Array, start: jax.Array, more: jax.Array) -> jax.Array:
        def step(h: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
            given, goes_on, more = inputs
            own = _frozen(h, fixed) + more
            r, z = jnp.split(jax.nn.sigmoid(given[:, : 2 * H] + own[:, : 2 * H]), 2, axis=1)
            n = jnp.tanh(given[:, 2 * H :] + r * (own[:, 2 * H :] + b_n))
            after = jnp.where(goes_on[:, None], (1 - z) * n + z * h, h)
            return after, after

        return jax.lax.scan(step, start, (given, keep, more))[1]

    states, back = jax.vjp(run, b_n, given, start, jnp.zeros_like(given))
    return states, (W, start, states, back)


def _states_gradients(kept: Any, wanted: jax.Array) -> Any:
    """The gradient of W is one product over all steps, not one for each."""
    _, start, states, back = kept
    b_n, given, start_too, own = back(wanted)
    before = jnp.concatenate([start[None], states[:-1]])
    return _dot(own, before, ((0, 1), (0, 1))), b_n, given, start_too, None


_states.defvjp(_states_kept, _states_gradients)


def forward(params: Params, batch: Batch, key: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Logits (T, B, V) of the target, and the weights (T, B, S) of what was read for each."""
    keys = [None] * 4 if key is None else list(jax.random.split(key, 4))
    S, B = batch.source.shape
    there = jnp.arange(S)[:, None] < batch.lengths
    x = dropped(params["source"][batch.source], DROP, keys[0], steps=True)
    memory = gru(params["encoder"], x, jnp.zeros((B, HIDDEN)), there)
    last = memory[-1]
    before = jnp.concatenate([jnp.full((1, B), START), batch.target[:-1]])
    x = dropped(params["target"][before], DROP, keys[1], steps=True)
    h = gru(params["decoder"], x, last, jnp.ones(x.shape[:2], bool))
    memory = dropped(memory, DROP, keys[2], steps=True)
    query = product(h, params["ask"]["W"]) + params["ask"]["b"]
    scores = jnp.einsum("tbc,sbc->bts", query, memory)
    weights = jax.nn.softmax(jnp.where(there.T[:, None], scores, -1e9))
    read = jnp.einsum("bts,sbc->tbc", weights, memory)
    mixed = product(jnp.concatenate([read, h], 2), params["mix"]["W"]) + params["mix"]["b"]
    mixed = dropped(jnp.tanh(mixed), DROP, keys[3], steps=True)
    return product(mixed, params["target"]) + params["b"], weights.transpose(1, 0, 2)


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
    there = jnp.log((weights * same).sum(-1) + 1e-6)
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
        "decoder": init_gru(draw, HIDDEN, WIDTH),
        "ask": init_dense(draw, HIDDEN, HIDDEN),
        "mix": init_dense(draw, WIDTH, 2 * HIDDEN),
        "b": np.zeros(targets, np.float32),
    }


def model(
    params: Params, english: Sequence[str], spanish: Sequence[str], card: dict[str, Any]
) -> rnn.EncoderDecoder:
    """The trained weights as a translator of beam_rnn."""
    table = np.asarray(params["target"])
    ask = params["ask"]
    return rnn.EncoderDecoder(
        rnn.Network(
            [rnn.Embedding(np.asarray(params["source"])), to_gru(params["encoder"])],
            vocabulary=english,
        ),
        rnn.Network(
            [
                rnn.Embedding(table),
                to_gru(params["decoder"]),
                rnn.Multiplicative(np.asarray(ask["W"]), np.asarray(ask["b"])),
                to_dense(params["mix"], "tanh"),
                rnn.Dense(table, np.asarray(params["b"])),
            ],
            vocabulary=spanish,
        ),
        start=START,
        stop=STOP,
        limit=120,
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
    train, valid = (
        [pair for pair in part if max(len(side[0]) for side in pair) <= LONGEST] for part in coded
    )
    pieces = sum(len(t[0]) for _, t in train) / len(train)
    print(f"{len(train):,} verses, {pieces:.1f} pieces each", flush=True)
    few = list(batches(valid, np.random.default_rng(0)))
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

    draw = np.random.default_rng(options.seed)
    params = initial(draw, len(english), len(spanish))
    updates = sum(1 for _ in batches(train, np.random.default_rng(0)))
    params = loop.fit(
        params, loss, lambda draw: batches(train, draw), updates, _SCHEDULE, options.seed, tell
    )
    save(params, evaluate_translation.figures_of(rnn.load(options.output), splits))


if __name__ == "__main__":
    main()
