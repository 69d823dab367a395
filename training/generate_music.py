"""The recipe of models/generate_music.safetensors: which note comes next in a tune.

    python training/generate_music.py --output models/generate_music.safetensors

fetches the tunes (PyPI music21), trains in JAX, and writes the network with its card; then
`training/evaluate_music.py` tells the figures beside those of an n-gram model.
"""

import argparse
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import tunes as abc
from training import tunes
from training.evaluate_music import bits_of
from training.loop import Schedule, fit
from training.recurrent import (
    Params,
    dense,
    dropped,
    init_dense,
    init_lstm,
    init_table,
    lstm,
    to_dense,
    to_lstm,
)

WIDTH, HIDDEN, SECOND = 64, 160, 256
BATCH, STEPS = 16, 256  # rows of an update, tokens of a row
COUNTERS = 4
OWN_KEY = 0.4  # of the tunes stay in their key
DROP = {"token": 0.05, "hidden": 0.2, "last": 0.3, "weight": 0.15}
STAGES = (
    (Schedule(epochs=24, rate=4e-3, decay=0.02, mean=0.99), 1.0),
    (Schedule(epochs=28, rate=3e-3, decay=0.02, mean=0.99, last=18), 0.5),
)
"""The second one goes on from the weights of the first, with another share of what is dropped."""
RARE = 3  # a token that occurs less often is read as its characters

Ids = NDArray[np.int32]
"""Of a tune (T,), of a batch (T, B)."""


def main() -> None:
    options = parse()
    data = tunes.split(tunes.read(options.data)[0])
    keys = tunes.keys_of(data.train)
    vocabulary = make_vocabulary(data.train, keys)
    reader = abc.Abc(vocabulary)
    whole = [text for text in data.train if tunes.is_complete(text)]
    forms = [forms_of(text, keys, reader) for text in whole]
    print(f"{len(vocabulary)} tokens; {len(forms):,} tunes, {sum(map(len, forms)):,} with keys")

    def tell(epoch: int, params: Params) -> None:
        if epoch % 3 == 0:
            network = to_network(params, vocabulary, {})
            print(f"    valid {bits_of(network, data.valid[::3]).each:.4f} bits", flush=True)
            rnn.save(network, options.output)

    params = init_params(vocabulary, options.seed)
    updates = sum(len(own[0]) for own in forms) // (BATCH * (STEPS + 50))
    for stage, (schedule, share) in enumerate(STAGES):
        params = fit(
            params,
            partial(loss, share=share),
            lambda draw: batches(forms, draw),
            updates,
            schedule,
            options.seed + stage,
            tell,
        )
    save(to_network(params, vocabulary, {}), data.test, options)


def save(network: rnn.Network, test: list[str], options: argparse.Namespace) -> None:
    """Writes the network with its card, and tells its figure."""
    bits = bits_of(network, test).each
    card = {
        "task": "the next token of a tune in ABC notation",
        "data": "Ryan's Mammoth Collection, O'Neill's, Aird's Airs (PyPI music21 10.5.1)",
        "split": "a tenth of the groups of tunes that share a title or a melody",
        "recipe": "training/generate_music.py",
        "seed": options.seed,
        "test_bits_per_character": round(bits, 4),
        "features": "beam_rnn.features.tunes",
        "licence": "weights Apache-2.0",
    }
    rnn.save(dataclasses.replace(network, card=card), options.output)
    print(f"{options.output}: test {bits:.4f} bits per character", flush=True)


def make_vocabulary(texts: list[str], keys: dict[str, list[abc.Key]]) -> list[str]:
    """ "", the tokens of the tunes in all their keys, and the characters of rarer ones."""
    everything = [moved for text in texts for moved in tunes.in_keys(text, keys)]
    counts = Counter(token for text in everything for token in abc.tokens(text))
    often = {token for token, count in counts.items() if count >= RARE}
    return ["", *sorted(often | {c for token in counts for c in token})]


def forms_of(text: str, keys: dict[str, list[abc.Key]], reader: abc.Abc) -> list[Ids]:
    """The ids of a tune as it is, and in the other keys of its mode."""
    return [np.array(reader.ids(moved), np.int32) for moved in tunes.in_keys(text, keys)]


def batches(forms: list[list[Ids]], draw: np.random.Generator) -> Iterator[Ids]:
    """Every tune once, in a key that is drawn: a zero, tunes end to end, the last one cut."""
    rows: list[Ids] = []
    row = [np.zeros(1, np.int32)]
    for i in draw.permutation(len(forms)):
        own = forms[i]
        stays = len(own) == 1 or draw.random() < OWN_KEY
        row.append(own[0 if stays else draw.integers(1, len(own))])
        if sum(map(len, row)) > STEPS:
            rows.append(np.concatenate(row)[: STEPS + 1])
            row = row[:1]
    for at in range(0, len(rows) - BATCH + 1, BATCH):
        yield np.stack(rows[at : at + BATCH], axis=1)


def counted(vocabulary: list[str]) -> NDArray[np.float32]:
    """What the counters add at each token (V, 4), and where they begin anew (V, 4).

    They count the units that have passed in the bar, those that a bar has, the bars of the
    section, and the bars of the tune.
    """
    adds, anew = np.zeros((2, len(vocabulary), COUNTERS))
    for i, token in enumerate(vocabulary):
        adds[i, 0] = float(abc.units_of(token)) / 20
        bar = token in abc.LINES
        head = token.startswith("M:")
        anew[i, 0] = bar or head
        if head:
            adds[i, 1] = float(abc.bar_of(token)) / 20
        anew[i, 1] = head
        adds[i, 2] = bar and token in ("|", "|1", "|2") and 1 / 16
        anew[i, 2] = head or (bar and not adds[i, 2])
        adds[i, 3] = bar / 64
        anew[i, 3] = head
    adds = np.arctanh(adds.clip(-0.99, 0.99))
    return np.concatenate([adds, anew], axis=1).astype(np.float32)


def init_params(vocabulary: list[str], seed: int) -> Params:
    draw = np.random.default_rng(seed)
    first = init_lstm(draw, HIDDEN, WIDTH)
    second = init_lstm(draw, SECOND, HIDDEN + COUNTERS)
    second["W_x"][:, HIDDEN:] *= 10  # counters move in small steps
    first["W_c"] = init_dense(draw, 4 * HIDDEN, COUNTERS)["W"] * 4
    return {
        "token": init_table(draw, len(vocabulary), WIDTH),
        "counts": counted(vocabulary),
        "first": first,
        "second": second,
        "out": init_dense(draw, len(vocabulary), SECOND),
    }


def with_counters(cell: Params) -> Params:
    """The first cell and units beside it that count: their weights are fixed.

    i and o are 1, f is 0 where a counter begins anew, g is what it adds.
    """
    H, K = HIDDEN, COUNTERS
    gates = {"i": 0.0, "f": -60.0, "g": 0.0, "o": 0.0}
    W_x, W_a, b = [], [], []
    for n, gate in enumerate(gates):
        own = slice(n * H, (n + 1) * H)
        fixed = jnp.zeros((K, WIDTH + 2 * K))
        if gate == "f":
            fixed = fixed.at[:, WIDTH + K :].set(-60 * jnp.eye(K))
        if gate == "g":
            fixed = fixed.at[:, WIDTH : WIDTH + K].set(jnp.eye(K))
        W_x += [jnp.pad(cell["W_x"][own], ((0, 0), (0, 2 * K))), fixed]
        W_a += [jnp.concatenate([cell["W_a"][own], cell["W_c"][own]], 1), jnp.zeros((K, H + K))]
        b += [cell["b"][own], jnp.full(K, 0.0 if gate == "g" else 30.0)]
    return {"W_x": jnp.concatenate(W_x), "W_a": jnp.concatenate(W_a), "b": jnp.concatenate(b)}


def forward(
    params: Params, ids: jax.Array, key: jax.Array | None = None, share: float = 1.0
) -> jax.Array:
    """Logits (T, B, V) of ids (T, B); ``share``: of DROP."""
    drop = {name: share * rate for name, rate in DROP.items()}
    keys = [None] * 5 if key is None else list(jax.random.split(key, 5))
    first, second = dict(params["first"]), dict(params["second"])
    if keys[0] is not None:
        for cell, own in ((first, keys[0]), (second, keys[1])):
            stays = jax.random.bernoulli(own, 1 - drop["weight"], cell["W_a"].shape)
            cell["W_a"] = cell["W_a"] * stays / (1 - drop["weight"])
    x = dropped(params["token"][ids], drop["token"], keys[2])
    counts = jax.lax.stop_gradient(params["counts"])[ids]
    h = lstm(with_counters(first), jnp.concatenate([x, counts], -1))
    h = jnp.concatenate([dropped(h[..., :HIDDEN], drop["hidden"], keys[3]), h[..., HIDDEN:]], -1)
    h = dropped(lstm(second, h), drop["last"], keys[4])
    return dense(params["out"], h)


def loss(params: Params, ids: jax.Array, key: jax.Array, share: float = 1.0) -> jax.Array:
    """Mean cross entropy of the tokens."""
    logits = forward(params, ids[:-1], key, share)
    return optax.softmax_cross_entropy_with_integer_labels(logits, ids[1:]).mean()


def to_network(params: Params, vocabulary: list[str], card: dict[str, object]) -> rnn.Network:
    """The trained weights as a network of beam_rnn."""
    table = np.concatenate([params["token"], params["counts"]], 1)
    layers = [
        rnn.Embedding(table.astype(np.float32)),
        to_lstm(with_counters(params["first"])),
        to_lstm(params["second"]),
        to_dense(params["out"], "softmax"),
    ]
    return rnn.Network(layers, vocabulary=vocabulary, card=card)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", required=True, help="file of weights to write")
    parser.add_argument("--data", type=Path, default=tunes.FOLDER, help="where the package is")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
