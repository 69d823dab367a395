"""Training of the tagger: truncated back-propagation, and the mean of the weights."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from training.streams import Text, cut_pieces, lay_out
from training.tagger import Params, State, forward, initial_state


@dataclass(frozen=True)
class Options:
    """How the tagger is trained."""

    epochs: int = 20
    rate: float = 2e-3  # Adam; rises for `warmup` updates, then falls as a cosine
    last_rate: float = 2e-4
    warmup: int = 200
    word_rate: float = 0.5  # share of the rate for the word table, which is given
    clip: float = 1.0
    batch: int = 32
    steps: int = 40  # of back-propagation
    split: float = 0.1  # share of sentences that begin a piece of their own
    keep: float = 0.3  # share of pieces that begin with the state of the piece before
    mean: float = 0.998  # of the weights: how much of it stays at each update
    drop: dict[str, float] = field(
        default_factory=lambda: {"word": 0.15, "letter": 0.15, "input": 0.5, "hidden": 0.4}
    )


def fit(
    params: Params,
    read: Callable[[np.random.Generator], Text],
    lookahead: int,
    options: Options,
    seed: int,
) -> Params:
    """Trains from `params`; returns the running mean of the weights.

    Args:
      read: gives the text of the next epoch.
    """
    draw = np.random.default_rng(seed)
    key = jax.random.key(seed)
    text = read(draw)
    updates = int(options.epochs * len(text.rows) / (options.batch * options.steps))
    rate = optax.warmup_cosine_decay_schedule(
        0, options.rate, options.warmup, updates, options.last_rate
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(options.clip), optax.adam(rate), _slower_words(options.word_rate)
    )
    params = jax.tree.map(jnp.asarray, params)
    mean, opt_state = params, optimizer.init(params)
    update = jax.jit(partial(_update, optimizer, options))
    done, start, epoch = 0, time.time(), 0
    while done < updates:
        pieces = cut_pieces(text, options.split, draw)
        draw.shuffle(pieces)
        steps = lay_out(text, pieces, options.batch, lookahead, options.keep, draw)
        state = initial_state(params, options.batch)
        losses = []
        for at in range(0, len(steps.rows) - options.steps + 1, options.steps):
            part = steps.part(at, options.steps)
            now = jax.random.fold_in(key, done)
            params, mean, opt_state, state, loss = update(
                params, mean, opt_state, state, part.rows, part.targets, part.fresh, now, done
            )
            losses.append(loss)
            done += 1
        epoch += 1
        text = read(draw)
        loss = float(np.mean([float(loss) for loss in losses]))
        print(f"  epoch {epoch}: loss {loss:.4f}, {time.time() - start:.0f} s", flush=True)
    trained: Params = jax.tree.map(np.asarray, mean)
    return trained


def _slower_words(share: float) -> optax.GradientTransformation:
    def scale(updates: Params, state: Any, params: Params | None = None) -> tuple[Params, Any]:
        return {**updates, "word": updates["word"] * share}, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), scale)


def _update(
    optimizer: optax.GradientTransformation,
    options: Options,
    params: Params,
    mean: Params,
    opt_state: Any,
    state: State,
    rows: jax.Array,
    targets: jax.Array,
    fresh: jax.Array,
    key: jax.Array,
    done: jax.Array,
) -> tuple[Params, Params, Any, State, jax.Array]:
    def loss_of(params: Params) -> tuple[jax.Array, State]:
        logits, last = forward(params, rows, fresh, state, key, options.drop)
        answered = targets >= 0
        wanted = jnp.maximum(targets, 0)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
        return (losses * answered).sum() / answered.sum().clip(1), last

    (loss, last), gradient = jax.value_and_grad(loss_of, has_aux=True)(params)
    change, opt_state = optimizer.update(gradient, opt_state, params)
    params = optax.apply_updates(params, change)
    stays = jnp.minimum(options.mean, (1 + done) / (10 + done))  # forgets the start sooner
    mean = jax.tree.map(lambda old, new: old * stays + new * (1 - stays), mean, params)
    return params, mean, opt_state, last, loss
