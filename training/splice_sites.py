"""The recipe of models/splice_sites.safetensors: donor, acceptor or none of 60 bases of DNA.

    python training/splice_sites.py --output models/splice_sites.safetensors

fetches primate splice junctions (Debian r-cran-mlbench), trains in JAX once for each of five folds,
and writes the network that never saw the first fold, with its card. `--evaluate FILE` recomputes
its test figure instead.
"""

import argparse
import dataclasses
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features.dna import SpliceWindow
from training import packages
from training.loop import Schedule, fit
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

PACKAGE = "r-cran-mlbench"
FOLDER = packages.CACHE / "dna"
_FILE = "usr/lib/R/site-library/mlbench/data/DNA.rda"
LABELS = ["none", "donor", "acceptor"]
_CLASSES = {"n": 0, "ei": 1, "ie": 2}  # exon to intron, intron to exon
SIZES = {"place": 16, "three": 8, "hidden": 32}
DROP, BATCH = 0.4, 32
SHARED = 20  # bases in a row that two windows of one region share
FOLDS = 5


class Windows(NamedTuple):
    """Splice windows with their labels."""

    texts: list[str]
    labels: NDArray[np.int64]

    def chosen(self, which: NDArray[np.bool_]) -> "Windows":
        """Some of them."""
        return Windows([self.texts[i] for i in np.flatnonzero(which)], self.labels[which])

    def rows(self) -> NDArray[np.int64]:
        """What the network reads: (60, N, 3)."""
        return np.stack([SpliceWindow().rows(text) for text in self.texts], axis=1)


def main() -> None:
    options = parse()
    windows = read_windows(options.data)
    fold = folds(windows)
    if options.evaluate:
        network = rnn.load(options.evaluate)
        print(f"test: {accuracy(network, windows.chosen(fold == 0)):.2%}")
        return
    networks = [
        train(windows.chosen(fold != own), options.seed, options.epochs) for own in range(FOLDS)
    ]
    tested = [windows.chosen(fold == own) for own in range(FOLDS)]
    right = [accuracy(*pair) for pair in zip(networks, tested, strict=True)]
    all_right = sum(share * len(part.texts) for share, part in zip(right, tested, strict=True))
    card = {
        "task": "splice donor, acceptor or none in the middle of 60 bases",
        "data": "primate splice junctions (GenBank 64.1, UCI, StatLog), from Debian r-cran-mlbench",
        "split": "no duplicates; windows that share 20 bases in one fold; fold 0 of 5 is the test",
        "recipe": "training/splice_sites.py",
        "seed": options.seed,
        "test_accuracy": round(right[0], 4),
        "cross_validated_accuracy": round(all_right / len(windows.texts), 4),
        "features": "beam_rnn.features.SpliceWindow",
        "licence": "weights Apache-2.0",
    }
    rnn.save(dataclasses.replace(networks[0], card=card), options.output)
    print(f"{options.output}: each fold by a network that never saw it")
    print(", ".join(f"{share:.2%}" for share in right))
    print(f"all of them {card['cross_validated_accuracy']:.2%}, test (the first) {right[0]:.2%}")


def train(windows: Windows, seed: int, epochs: int) -> rnn.Network:
    """A network that has seen these windows."""
    rows = windows.rows()
    params = fit(
        init_params(seed),
        loss,
        lambda draw: batches(rows, windows.labels, draw),
        len(windows.texts) // BATCH,
        Schedule(epochs=epochs, rate=5e-3, decay=0.1, mean=0.99),
        seed,
    )
    return to_network(params, {})


def read_windows(folder: Path = FOLDER) -> Windows:
    """All windows of the package, each once."""
    import rdata

    data = packages.read_debian(packages.debian(PACKAGE, folder), _FILE)
    with tempfile.NamedTemporaryFile(suffix=".rda") as file:
        file.write(data)
        file.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an encoding that is not said: it is ASCII
            table = rdata.read_rda(file.name)["DNA"]
    marks = table.iloc[:, :-1].astype(str).to_numpy().astype(int).reshape(len(table), 60, 3)
    codes = np.where(marks.any(axis=2), marks.argmax(axis=2), 3)  # 100 A, 010 C, 001 G, 000 T
    texts = ["".join("ACGT"[code] for code in window) for window in codes]
    labels = [_CLASSES[name] for name in table["Class"].astype(str)]
    once = dict(zip(reversed(texts), reversed(labels), strict=True))  # the first label of each
    return Windows(list(once), np.array(list(once.values())))


def folds(windows: Windows) -> NDArray[np.int64]:
    """The fold of each window; windows of one region, which share bases, have one."""
    region = regions(windows.texts)
    return np.random.default_rng(0).integers(FOLDS, size=len(region))[region]


def regions(texts: list[str]) -> NDArray[np.int64]:
    """The number of the region of each window: those that share SHARED bases in a row have one."""
    region = list(range(len(texts)))

    def root(i: int) -> int:
        while region[i] != i:
            i = region[i] = region[region[i]]
        return i

    seen: dict[str, int] = {}
    for i, text in enumerate(texts):
        for at in range(len(text) - SHARED + 1):
            first = seen.setdefault(text[at : at + SHARED], i)
            region[root(i)] = root(first)
    return np.array([root(i) for i in range(len(texts))])


def accuracy(network: rnn.Network, windows: Windows) -> float:
    """The share of windows whose last answer is right."""
    y, _ = network.unroll(np.ascontiguousarray(windows.rows().swapaxes(0, 1)))
    return float((y[:, -1].argmax(axis=1) == windows.labels).mean())


def batches(
    rows: NDArray[np.int64], labels: NDArray[np.int64], draw: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The windows in a random order."""
    order = draw.permutation(len(labels))
    for first in range(0, len(order) - BATCH + 1, BATCH):
        now = order[first : first + BATCH]
        yield rows[:, now], labels[now]


def init_params(seed: int) -> Params:
    draw = np.random.default_rng(seed)
    one, two, three = SpliceWindow.columns
    width = 2 * SIZES["place"] + SIZES["three"]
    return {
        "one": init_table(draw, one, SIZES["place"]),
        "two": init_table(draw, two, SIZES["place"]),
        "three": init_table(draw, three, SIZES["three"]),
        "cell": init_gru(draw, SIZES["hidden"], width),
        "out": init_dense(draw, len(LABELS), SIZES["hidden"]),
    }


def loss(
    params: Params, batch: tuple[NDArray[np.int64], NDArray[np.int64]], key: jax.Array
) -> jax.Array:
    rows, labels = batch
    first, last = jax.random.split(key)
    tables = (params["one"], params["two"], params["three"])
    x = jnp.concatenate([table[rows[..., i]] for i, table in enumerate(tables)], axis=-1)
    x = dropped(x, DROP, first, steps=True)
    _, state = gru(params["cell"], x, jnp.zeros((x.shape[1], SIZES["hidden"])))
    logits = dense(params["out"], dropped(state[None], DROP, last)[0])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def to_network(params: Params, card: dict[str, object]) -> rnn.Network:
    """The trained weights as a network of beam_rnn."""
    tables = (params["one"], params["two"], params["three"])
    columns = rnn.Columns([(1, [rnn.Embedding(np.asarray(table))]) for table in tables])
    layers = [columns, to_gru(params["cell"]), to_dense(params["out"], "softmax")]
    return rnn.Network(layers, labels=LABELS, card=card)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--output", help="file of weights to write")
    group.add_argument("--evaluate", metavar="FILE", help="weights whose figures are recomputed")
    parser.add_argument("--data", type=Path, default=FOLDER, help="where the package is")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
