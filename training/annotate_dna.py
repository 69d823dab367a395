"""The recipe of models/annotate_dna.safetensors: coding strand and frame of each base of DNA.

    python training/annotate_dna.py --output models/annotate_dna.safetensors

fetches a bacterial genome (Debian r-cran-seqinr), trains in JAX on its first 70 %, and writes the
network with its card.
"""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features.dna import Nucleotides
from training import genome
from training.evaluate_dna import accuracy, table_lines
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

LOOKAHEAD = 300
SIZES = {"codon": 24, "six": 8, "stop": 4, "counts": 32, "hidden": 96}
STEPS, BATCH = 1536, 16
SIDES = 12  # six frames, behind and ahead
DROP = {"input": 0.1, "hidden": 0.2}

Batch = tuple[NDArray[np.int16], NDArray[np.int64]]


def main() -> None:
    options = parse()
    whole = genome.read_genome(options.data)
    train, valid, test = (genome.split(whole, name) for name in genome.SPLITS)
    both = [train, train.reversed()]

    def tell(epoch: int, params: Params) -> None:
        if epoch % 3 == 0 or epoch == options.epochs:
            now = accuracy(to_network(params, {}), valid, LOOKAHEAD)
            print(f"    valid: {now.strand:.2%} of strands", flush=True)

    params = fit(
        init_params(options.seed),
        loss,
        lambda draw: batches(both, draw),
        2 * len(train.text) // (STEPS * BATCH),
        Schedule(epochs=options.epochs, rate=3e-3),
        options.seed,
        tell,
    )
    network = to_network(params, {})
    card = {
        "task": "coding strand and reading frame of each base of bacterial DNA",
        "data": "Chlamydia trachomatis D/UW-3/CX (AE001273), 895 CDS, from Debian r-cran-seqinr",
        "split": "first 70 % of the genome trained, 70 to 80 % validation, last 20 % test",
        "recipe": "training/annotate_dna.py",
        "seed": options.seed,
        "lookahead": LOOKAHEAD,
        "valid_strand": round(accuracy(network, valid, LOOKAHEAD).strand, 4),
        "test_strand": round(accuracy(network, test, LOOKAHEAD).strand, 4),
        "features": "beam_rnn.features.Nucleotides",
        "licence": "weights Apache-2.0",
    }
    rnn.save(dataclasses.replace(network, card=card), options.output)
    print(f"{options.output}: test")
    print("\n".join(table_lines(network, test)))


def batches(strands: list[genome.Sequence], draw: np.random.Generator) -> Iterator[Batch]:
    """Pieces of both strands from a random start on, each with a look-ahead of its own.

    Half of the pieces see all of it, the others less: so one network serves any look-ahead, and
    knows the ends of reads.
    """
    starts = [
        (strand, start)
        for strand in strands
        for start in range(int(draw.integers(STEPS)), len(strand.text) - STEPS, STEPS)
    ]
    order = draw.permutation(len(starts))
    for first in range(0, len(order) - BATCH + 1, BATCH):
        rows = np.empty((STEPS, BATCH, Nucleotides.width), np.int16)
        labels = np.empty((STEPS, BATCH), np.int64)
        for b, at in enumerate(order[first : first + BATCH]):
            strand, start = starts[at]
            less = draw.random() < 0.5
            lookahead = int(draw.integers(LOOKAHEAD + 1)) if less else LOOKAHEAD
            text = strand.text[start : start + STEPS + LOOKAHEAD]
            rows[:, b] = Nucleotides(lookahead).rows(text)[:STEPS]
            labels[:, b] = strand.part(start, start + STEPS).labels
        yield rows, labels


def init_params(seed: int) -> Params:
    draw = np.random.default_rng(seed)
    ids, size = Nucleotides.columns, SIZES
    width = size["codon"] + size["six"] + SIDES * size["stop"] + size["counts"]
    counts = init_dense(draw, size["counts"], 3 * 64)
    counts["W"] *= 0.3  # counts are up to 100
    return {
        "codon": init_table(draw, ids[0], size["codon"]),
        "six": init_table(draw, ids[1], size["six"]),
        "stop": [init_table(draw, n, size["stop"]) for n in ids[2 : 2 + SIDES]],
        "counts": counts,
        "cell": init_gru(draw, size["hidden"], width),
        "out": init_dense(draw, len(genome.LABELS), size["hidden"]),
    }


def forward(params: Params, rows: jax.Array, key: jax.Array | None = None) -> jax.Array:
    """Logits (T, B, 7) of rows (T, B, 206), from a fresh state."""
    rows = rows.astype(jnp.int32)
    keys = (None, None) if key is None else jax.random.split(key)
    parts = [params["codon"][rows[..., 0]], params["six"][rows[..., 1]]]
    parts += [table[rows[..., 2 + i]] for i, table in enumerate(params["stop"])]
    parts.append(jnp.tanh(dense(params["counts"], rows[..., 2 + SIDES :].astype(jnp.float32))))
    x = dropped(jnp.concatenate(parts, axis=-1), DROP["input"], keys[0])
    start = jnp.zeros((rows.shape[1], params["cell"]["W_a"].shape[1]))
    states, _ = gru(params["cell"], x, start)
    return dense(params["out"], dropped(states, DROP["hidden"], keys[1]))


def loss(params: Params, batch: Batch, key: jax.Array) -> jax.Array:
    rows, labels = batch
    logits = forward(params, rows, key)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def to_network(params: Params, card: dict[str, object]) -> rnn.Network:
    """The trained weights as a network of beam_rnn."""
    tables = [params["codon"], params["six"], *params["stop"]]
    branches: list[tuple[int, list[object]]] = [
        (1, [rnn.Embedding(np.asarray(table))]) for table in tables
    ]
    branches.append((3 * 64, [to_dense(params["counts"], "tanh")]))
    layers = [rnn.Columns(branches), to_gru(params["cell"]), to_dense(params["out"], "softmax")]
    return rnn.Network(layers, labels=genome.LABELS, card=card)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", required=True, help="file of weights to write")
    parser.add_argument("--data", type=Path, default=genome.FOLDER, help="where the package is")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
