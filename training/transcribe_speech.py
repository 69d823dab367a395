"""The recipe of models/transcribe_speech.safetensors: strings of spoken digits, by CTC.

    python training/transcribe_speech.py --output models/transcribe_speech.safetensors

takes spoken digits (shared/data/fsdd), trains in JAX on strings of them, and writes the network
with its card. `--without SPEAKER` trains without one of the speakers and tells how well all of
this speaker's recordings are heard; `--left-out` notes the mean of these on the card.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from pipelines.speech import RATE
from training import digits
from training.digits import LABELS, Recording
from training.evaluate_speech import word_error
from training.loop import Schedule, fit
from training.recurrent import Params, dense, dropped, gru, init_dense, init_gru, to_dense, to_gru
from training.voices import synthetic

HIDDEN, BATCH, SECONDS = 128, 32, 6.0
DROP = 0.2
STEPS, MOST = int(SECONDS / 0.03), 32
EPOCH = 100  # updates


@dataclass(frozen=True)
class Stage:
    """A part of the training."""

    epochs: int
    rate: float
    lead: float = 0.3  # seconds before the first digit, at most
    gaps: tuple[float, ...] = (0.1, 0.4, 0.8)  # seconds behind each digit, at most: one of these
    synthetic: float = 0.0  # share of the strings by voices that are none


FIRST = Stage(24, 3e-3)
# Long silence, and voices unlike those of the recordings.
SECOND = Stage(10, 1e-3, 2.0, (0.1, 0.4, 0.8, 2.5), 0.3)


def main() -> None:
    options = parse()
    recordings = digits.read_recordings(options.data)
    known = [one for one in recordings if one.speaker != options.without]
    train = [one for one in known if one.split == "train"]
    validation = [one for one in known if one.split == "validation"]
    if options.without:
        train += [one for one in known if one.split == "test"]
        test = [one for one in recordings if one.speaker == options.without]
    else:
        test = [one for one in known if one.split == "test"]
    chosen = digits.strings_of(validation, seed=1, rounds=1)
    asked = digits.strings_of(test, seed=0)

    def tell(epoch: int, network: rnn.Network) -> None:
        print(f"  validation: {word_error(network, chosen):.2%}", flush=True)
        if options.output:
            rnn.save(network, f"{options.output}.part")

    stages = [replace(FIRST, epochs=8)] if options.without else [FIRST, SECOND]
    network = learn(train, stages, options.seed, tell)
    error = word_error(network, asked)
    print(f"test: word error {error:.2%} of {sum(len(said) for _, said in asked)} digits")
    if not options.output:
        return
    card = {
        "task": "which digits are said",
        "data": "Free Spoken Digit Dataset (Jackson et al.), five speakers; eSpeak NG, Flite",
        "split": "recordings 0 to 4 of each digit and speaker tested, 5 to 9 for validation",
        "recipe": "training/transcribe_speech.py",
        "seed": options.seed,
        "rate": RATE,
        "test_word_error": round(error, 4),
        "cross_validated_word_error": options.left_out,
        "features": "beam_rnn.features.PCEN of 32 bands, three frames in a row",
        "licence": "weights Apache-2.0",
    }
    card = {name: value for name, value in card.items() if value is not None}
    rnn.save(replace(network, card=card), options.output)
    Path(f"{options.output}.part").unlink()


def learn(
    recordings: list[Recording],
    stages: list[Stage],
    seed: int,
    tell: Callable[[int, rnn.Network], None] = lambda epoch, network: None,
) -> rnn.Network:
    """A network that has heard these recordings."""
    people = digits.by_speaker(recordings)
    programs = [digits.by_speaker(own) for own in synthetic()] if len(stages) > 1 else []

    def string(stage: Stage, draw: np.random.Generator) -> tuple[Any, list[int]]:
        speakers = people
        if stage.synthetic and draw.random() < stage.synthetic:
            speakers = programs[draw.integers(len(programs))]
        return digits.training_string(speakers, SECONDS, stage.lead, stage.gaps, draw)

    draw = np.random.default_rng(seed)
    some = [string(stages[0], draw)[0] for _ in range(100)]
    middle, spread = np.concatenate(some).mean(axis=0), np.concatenate(some).std(axis=0)

    def batches(stage: Stage, draw: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        for _ in range(EPOCH):
            x = np.zeros((STEPS, BATCH, len(middle)), np.float32)
            behind = np.ones((BATCH, STEPS), np.float32)
            labels = np.zeros((BATCH, MOST), np.int32)
            for place in range(BATCH):
                rows, said = string(stage, draw)
                x[: len(rows), place] = digits.masked((rows - middle) / spread, draw)
                behind[place, : len(rows)] = 0
                labels[place, : len(said)] = np.add(said, 1)[:MOST]
            yield x, behind, labels

    def loss(params: Params, batch: tuple[Any, ...], key: jax.Array) -> jax.Array:
        x, behind, labels = batch
        keys = jax.random.split(key, 3)
        start = jnp.zeros((BATCH, HIDDEN))
        states, _ = gru(params["first"], dropped(x, DROP / 2, keys[0]), start)
        states, _ = gru(params["second"], dropped(states, DROP, keys[1]), start)
        logits = dense(params["out"], dropped(states, DROP, keys[2])).swapaxes(0, 1)
        losses = optax.ctc_loss(logits, behind, labels, (labels == 0).astype(jnp.float32))
        return (losses / (labels > 0).sum(axis=1)).mean()

    def network_of(params: Params) -> rnn.Network:
        # What the rows are divided by goes into the weights.
        first = {name: np.asarray(value) for name, value in params["first"].items()}
        first["W_x"] = (first["W_x"] / spread).astype(np.float32)
        first["b"] = (first["b"] - first["W_x"] @ middle).astype(np.float32)
        cells = [rnn.GRU(**first), to_gru(params["second"])]
        return rnn.Network([*cells, to_dense(params["out"], "softmax")], labels=LABELS)

    params: Params = {
        "first": init_gru(draw, HIDDEN, len(middle)),
        "second": init_gru(draw, HIDDEN, HIDDEN),
        "out": init_dense(draw, len(LABELS), HIDDEN),
    }
    for number, stage in enumerate(stages):
        params = fit(
            params,
            loss,
            partial(batches, stage),
            EPOCH,
            Schedule(epochs=stage.epochs, rate=stage.rate, decay=0.01, mean=0.995),
            seed + number,
            lambda epoch, mean: tell(epoch, network_of(mean)),
        )
    return network_of(params)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", help="file of weights to write")
    parser.add_argument("--without", metavar="SPEAKER", help="who is left out")
    parser.add_argument("--left-out", type=float, help="mean word error of those left out")
    parser.add_argument("--data", type=Path, default=digits.DATA, help="the recordings")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
