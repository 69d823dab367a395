"""The recipe of models/detect_running*.safetensors: is the person running? From poses, or video.

    python training/detect_running.py poses --output models/detect_running.safetensors
    python training/detect_running.py silhouettes --output models/detect_running_video.safetensors

takes motion capture (shared/data/cmu_mocap), trains in JAX on scenes of its training clips, and
writes the network with its card. `--folds` trains without one clip of each action instead, and
tells how these are answered: what the options were chosen by.
"""

import argparse
import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features import Pose, Silhouette
from training import motion
from training.drawing import View, draw_mask, roughened
from training.evaluate_running import POSES, VIDEO, evaluate, table_lines
from training.loop import Schedule, fit
from training.motion import Clip
from training.recurrent import Params, dense, dropped, gru, init_dense, init_gru, to_dense

LABELS = ["other", "running"]
HIDDEN, BATCH, SECONDS = 32, 16, 8
DROP = 0.2
EVERY = 3  # frames of a recording for one of a video: 10 in a second

Rows = NDArray[np.float32]
Scenes = Callable[[list[Clip], np.random.Generator], tuple[Rows, NDArray[np.bool_]]]


def main() -> None:
    options = parse()
    clips = motion.read_clips(options.data)
    train = [clip for clip in clips if clip.split == "train"]
    test = [clip for clip in clips if clip.split == "test"]
    scenes: Scenes = pose_scene if options.kind == "poses" else video_scene
    kind = POSES if options.kind == "poses" else VIDEO
    updates = (300, 12) if options.kind == "poses" else (200, 10)
    if options.folds:
        for fold in options.folds:
            out = [clip for clip in train if number_of(clip) in (str(fold), f"{fold}x")]
            rest = [clip for clip in train if clip not in out]
            network = learn(rest, scenes, updates, options.seed)
            print(f"without the clips of number {fold}:")
            print("\n".join(table_lines(evaluate(network, out, kind))), flush=True)
        return
    network = learn(train, scenes, updates, options.seed)
    figures = evaluate(network, test, kind)
    card = {
        "task": f"is the person running? From {options.kind}",
        "data": "CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu)",
        "split": "72 clips trained (5 of running), 24 other clips tested (1 of running)",
        "recipe": f"training/detect_running.py {options.kind}",
        "seed": options.seed,
        "rate": kind.rate,
        "test_f1": round(figures.f1, 4),
        "test_false_alarms_per_minute": round(figures.false_per_minute, 3),
        "test_seconds_to_answer": round(figures.delay, 2),
        "features": f"beam_rnn.features.{'Pose' if options.kind == 'poses' else 'Silhouette'}",
        "licence": "weights Apache-2.0",
    }
    rnn.save(dataclasses.replace(network, card=card), options.output)
    print(f"{options.output}: test")
    print("\n".join(table_lines(figures)))


def number_of(clip: Clip) -> str:
    """The part of a clip's name that tells it from others of its action."""
    return clip.name.rpartition("_")[2]


def pose_scene(clips: list[Clip], draw: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    """Vectors of poses, 30 in a second, and whether the person runs."""
    poses, runs = motion.scene(clips, SECONDS * motion.RATE, draw)
    return Pose(motion.RATE).rows(poses), runs


def video_scene(clips: list[Clip], draw: np.random.Generator) -> tuple[Rows, NDArray[np.bool_]]:
    """Vectors of silhouettes, 10 in a second: one person, seen from any side at any size."""
    poses, runs = motion.scene(clips, SECONDS * motion.RATE, draw)
    first = int(draw.integers(EVERY))
    poses, runs = poses[first::EVERY], runs[first::EVERY]
    view = View(
        degrees=draw.uniform(0, 360),
        height=float(np.exp(draw.uniform(np.log(32), np.log(130)))),
        down=draw.uniform(-5, 25),
        stout=draw.uniform(0.85, 1.5),
    )
    rough = draw.random() < 0.8
    masks = []
    for pose in poses:
        mask = draw_mask(pose, view)
        worse = roughened(mask, draw) if rough else mask
        masks.append(worse if worse.any() else mask)
    return Silhouette().rows(masks), runs


def learn(clips: list[Clip], scenes: Scenes, updates: tuple[int, int], seed: int) -> rnn.Network:
    """A network that has seen these clips."""
    total, epochs = updates
    draw = np.random.default_rng(seed)
    some = np.concatenate([scenes(clips, draw)[0] for _ in range(BATCH)])
    middle, spread = some.mean(axis=0), some.std(axis=0) + 0.05

    def batches(draw: np.random.Generator) -> Iterator[tuple[Rows, NDArray[np.int64]]]:
        for _ in range(total // epochs):
            pairs = [scenes(clips, draw) for _ in range(BATCH)]
            rows = np.stack([(rows - middle) / spread for rows, _ in pairs], axis=1)
            yield rows, np.stack([runs for _, runs in pairs], axis=1).astype(np.int64)

    def loss(params: Params, batch: tuple[jax.Array, jax.Array], key: jax.Array) -> jax.Array:
        rows, labels = batch
        first, last = jax.random.split(key)
        start = jnp.zeros((rows.shape[1], HIDDEN))
        states, _ = gru(params["cell"], dropped(rows, DROP, first), start)
        logits = dense(params["out"], dropped(states, DROP, last))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    params = fit(
        {
            "cell": init_gru(draw, HIDDEN, some.shape[1]),
            "out": init_dense(draw, len(LABELS), HIDDEN),
        },
        loss,
        batches,
        total // epochs,
        Schedule(epochs=epochs, rate=5e-3, decay=0.01, mean=0.99),
        seed,
    )
    # What the rows are divided by goes into the weights.
    cell = dict(params["cell"])
    cell["W_x"] = (cell["W_x"] / spread).astype(np.float32)
    cell["b"] = (cell["b"] - cell["W_x"] @ middle).astype(np.float32)
    layers = [rnn.GRU(**cell), to_dense(params["out"], "softmax")]
    return rnn.Network(layers, labels=LABELS)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=["poses", "silhouettes"])
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--output", help="file of weights to write")
    group.add_argument("--folds", type=int, nargs="+", help="numbers of clips to leave out")
    parser.add_argument("--data", type=Path, default=motion.DATA, help="the motion capture")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
