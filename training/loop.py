"""The loop of the recipes: Adam over batches, and the running mean of the weights."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from training.recurrent import Params


@dataclass(frozen=True)
class Schedule:
    """How the weights are updated."""

    epochs: int = 10
    rate: float = 2e-3  # rises for `warmup` updates, then falls as a cosine to a twentieth
    warmup: int = 100
    decay: float = 0.0  # of matrices, as AdamW has it
    clip: float = 1.0  # of the norm of the gradient
    mean: float = 0.998  # of the weights: how much of it stays at each update
    last: int | None = None  # epoch that is trained, where the schedule is not followed to its end


def fit(
    params: Params,
    loss: Callable[[Params, Any, jax.Array], jax.Array],
    batches: Callable[[np.random.Generator], Iterable[Any]],
    updates: int,
    schedule: Schedule,
    seed: int,
    tell: Callable[[int, Params], None] | None = None,
) -> Params:
    """Trains from ``params``; returns the running mean of the weights.

    Args:
      params: a tree of arrays.
      loss: of the weights, a batch and a key for what is drawn at random.
      batches: those of the next epoch.
      updates: how many batches an epoch has, about.
      seed: of the batches and of the keys.
      tell: given the epoch and the mean of the weights after each.
    """
    total = updates * schedule.epochs
    rate = optax.warmup_cosine_decay_schedule(
        0, schedule.rate, schedule.warmup, total, schedule.rate / 20
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(schedule.clip),
        optax.adamw(rate, weight_decay=schedule.decay, mask=_matrices),
    )

    @jax.jit
    def update(params: Params, mean: Params, state: Any, batch: Any, done: Any) -> Any:
        now = jax.random.fold_in(key, done)
        value, gradient = jax.value_and_grad(loss)(params, batch, now)
        change, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, change)
        stays = jnp.minimum(schedule.mean, (1 + done) / (10 + done))  # forgets the start sooner
        mean = jax.tree.map(lambda old, new: old * stays + new * (1 - stays), mean, params)
        return params, mean, state, value

    key, draw = jax.random.key(seed), np.random.default_rng(seed)
    params = jax.tree.map(jnp.asarray, params)
    mean, state = params, optimizer.init(params)
    done, start = 0, time.time()
    for epoch in range(1, (schedule.last or schedule.epochs) + 1):
        losses = []
        for batch in batches(draw):
            params, mean, state, value = update(params, mean, state, batch, done)
            losses.append(value)
            done += 1
        average = float(np.mean([float(value) for value in losses]))
        print(f"  epoch {epoch}: loss {average:.4f}, {time.time() - start:.0f} s", flush=True)
        if tell is not None:
            tell(epoch, mean)
    trained: Params = jax.tree.map(np.asarray, mean)
    return trained


def _matrices(params: Params) -> Any:
    return jax.tree.map(lambda value: value.ndim > 1, params)
