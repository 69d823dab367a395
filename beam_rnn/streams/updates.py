"""Another model for live streams: which model steps which stream, and when a stream moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from beam_rnn.errors import ModelError, StateError
from beam_rnn.nn.parameters import Ints
from beam_rnn.streams.answering import Answering
from beam_rnn.streams.answers import Answers
from beam_rnn.streams.pack import Packed, as_made
from beam_rnn.streams.shard import Shard
from beam_rnn.streams.state import model_of
from beam_rnn.streams.stepper import Stepper

POLICIES = ("drain", "keep", "reset")
_UNUSED = 100  # bundles without a stream of an old model after which it is freed


class Generations(Shard):
    """The streams of one shard and window: those of each model are a shard of their own.

    Attributes:
      parts: the streams of each model, by its fingerprint.
    """

    def __init__(self, id: int, window: Any = None) -> None:
        super().__init__(id, window)
        self.parts: dict[str, Shard] = {}

    @property
    def live(self) -> int:
        """How many streams there are."""
        return sum(part.live for part in self.parts.values())

    @property
    def latest(self) -> Shard | None:
        """The streams of the latest model, or None before any."""
        return max(self.parts.values(), key=lambda part: part.generation, default=None)

    def begin(self, model: str, path: str) -> Shard:
        """The streams of a model, which is now the latest."""
        latest = self.latest
        part = self.parts.get(model)
        if part is None:
            part = self.parts[model] = Shard(self.id, self.window)
            part.model = path
        if latest is not None and part is not latest:
            latest.announced = False
            part.generation = latest.generation + 1
        elif not part.generation:
            part.generation = 1
        return part


class Updating:
    """Does what a Stepper does, with a model that is updated while streams live.

    Its shards are Generations.

    Args:
      first: steps with the model of the beginning.
      make: path of a model -> a Stepper with it and the same options.
      policy: what becomes of a stream that lives when an update comes. "drain": it finishes its
        sequence with the model that it began with. "keep": its state goes on under the new model,
        which has the same cells. "reset": its sequence ends, and another begins.
    """

    def __init__(self, first: Stepper, make: Callable[[str], Stepper], policy: str) -> None:
        self._make = make
        self._policy = policy
        self._first = first.answering.fingerprint
        self._steppers = {self._first: first}
        self._known = {"": self._first}  # the models at the paths that were looked at
        self._refused: set[str] = set()
        self._unused: dict[str, int] = {}
        self.clear()

    @property
    def answering(self) -> Answering:
        """That of the model of the beginning; all others take and give the same."""
        return self._steppers[self._first].answering

    @property
    def speaks_last(self) -> bool:
        return self._steppers[self._first].speaks_last

    def update(self, shard: Any, path: str) -> str | None:
        """Takes the model at ``path`` for the sequences of a shard that begin from now on.

        Returns:
          What is wrong with the model, if the old one stays; a path that was refused is not looked
          at again.
        """
        if path in self._refused:
            return None
        try:
            model = self._model_at(path)
        except Exception as error:  # whatever loading it raises
            self._refused.add(path)
            return f"model {path} is refused: {type(error).__name__}: {error}"
        shard.begin(model, path).announced = True
        return None

    def _model_at(self, path: str) -> str:
        model = self._known.get(path)
        if model is None or model not in self._steppers:
            stepper = self._make(path)
            self._check(stepper.answering)
            model = self._known[path] = stepper.answering.fingerprint
            self._steppers.setdefault(model, stepper)
        return model

    def _current(self, shard: Generations) -> tuple[str, Shard]:
        """The model for the sequences of a shard that begin, and its streams."""
        latest = shard.latest
        if latest is None:
            return self._first, shard.begin(self._first, "")
        return next((model, part) for model, part in shard.parts.items() if part is latest)

    def _check(self, new: Answering) -> None:
        old = self.answering
        for what, given, wanted in (
            ("takes", (new.inputs.shape, new.inputs.dtype), (old.inputs.shape, old.inputs.dtype)),
            ("gives", new.gives, old.gives),
        ):
            if given != wanted:
                raise ModelError(f"it {what} {given}, expected {wanted}")
        if self._policy == "keep" and new.state_layout != old.state_layout:
            layouts = f"its states are {new.state_layout}, but {old.state_layout} are kept"
            raise ModelError(layouts)

    def clear(self) -> None:
        """Forgets all shards and events."""
        for stepper in self._steppers.values():
            stepper.clear()
        self.waiting: list[tuple[Generations, Packed]] = []
        self.count = 0

    def shard(self, number: int, window: Any = None) -> Generations:
        """A shard without streams."""
        return Generations(number, window)

    def leave(self, shard: Any) -> None:
        """Gives back all rows of a shard."""
        for model, part in shard.parts.items():
            self._steppers[model].leave(part)

    def load(self, shard: Any, log: Iterable[bytes]) -> bool:
        """Reads the state of a shard; returns whether a tag is kept beside it.

        Raises:
          StateError: it is broken, of another number of shards, or of a model that is no more.
        """
        logs: dict[str, list[bytes]] = {}
        for data in log:
            model, path = model_of(data)
            logs.setdefault(model, []).append(data)
            if model not in self._steppers:
                self._recover(model, path)
        tagged = False
        for model, blocks in logs.items():
            part = shard.parts[model] = Shard(shard.id, shard.window)
            tagged |= self._steppers[model].load(part, blocks)
        for part in shard.parts.values():
            part.announced &= part is shard.latest
        return tagged

    def _recover(self, model: str, path: str) -> None:
        """Loads a model of which streams live."""
        try:
            stepper = self._make(path)
        except Exception as error:  # whatever loading it raises
            raise StateError(f"state of model {model}, which cannot be loaded: {error}") from None
        found = stepper.answering.fingerprint
        if found != model:
            raise StateError(f"state of model {model}, but at {path} there is model {found} now")
        self._steppers[model], self._known[path] = stepper, model

    def write(
        self, shard: Any, *, tagged: bool = False, anew: bool = False
    ) -> tuple[bool, list[bytes]]:
        """What to do to the shard's log: whether to clear it, and the blocks to append then."""
        parts = list(shard.parts.items())
        written = [
            self._steppers[model].write(part, tagged=tagged, anew=anew) for model, part in parts
        ]
        clear = any(clears for clears, _ in written)
        if clear:  # all parts are in one bag: what one clears, the others write again
            written = [
                done if done[0] else self._steppers[model].write(part, tagged=tagged, anew=True)
                for done, (model, part) in zip(written, parts, strict=True)
            ]
        for model, part in parts:
            if not part.live and not part.announced:
                del shard.parts[model]
        self._free_unused(shard)
        return clear, [block for _, blocks in written for block in blocks]

    def _free_unused(self, shard: Generations) -> None:
        for model in list(self._steppers):
            if model in shard.parts or model == self._first:
                self._unused[model] = 0
                continue
            self._unused[model] = self._unused.get(model, 0) + 1
            if self._unused[model] > _UNUSED and self._steppers[model].arena.empty:
                del self._steppers[model], self._unused[model]

    def receive(self, shard: Any, packed: Packed) -> None:
        """Adds events to those that wait to be stepped."""
        if len(packed):
            self.waiting.append((shard, packed))
            self.count += len(packed)

    def due(self, shard: Any) -> int | None:
        """When something of the shard is due, in microseconds of event time."""
        due = (self._steppers[model].due(part) for model, part in shard.parts.items())
        return min((when for when in due if when is not None), default=None)

    def close(self, shard: Any, now: int | None) -> Iterator[Answers]:
        """Ends the sequences that have expired by ``now`` (microseconds), or all where None."""
        for model, part in list(shard.parts.items()):
            yield from self._steppers[model].close(part, now)

    def settle(self, *, final: bool = False) -> Iterator[Answers]:
        """Steps all events that wait, each with the model of its sequence."""
        waiting, self.waiting, self.count = as_made(self.waiting), [], 0
        for shard in dict.fromkeys(shard for shard, _ in waiting):
            yield from self._moved(shard)
        over: dict[tuple[str, Shard], dict[bytes, int]] = {}
        ended: set[tuple[Generations, bytes]] = set()
        for shard, packed in waiting:
            self._route(shard, packed, ended, over)
        for (model, part), times in over.items():
            yield from self._steppers[model].settle(final=final)  # what came before the ends
            yield self._steppers[model].restart(part, times)
        for stepper in list(self._steppers.values()):
            yield from stepper.settle(final=final)

    def _moved(self, shard: Generations) -> Iterator[Answers]:
        """Moves the streams of older models that go on with the present one."""
        current, target = self._current(shard)
        for model, part in list(shard.parts.items()):
            if part is target or not part.live:
                continue
            old = self._steppers[model]
            if self._policy == "reset":
                yield old.restart(part)
            rows = np.fromiter(part.rows.values(), np.int64, len(part.rows))
            if self._policy == "drain":
                rows = rows[[not old.in_sequence(row) for row in rows.tolist()]]
            if len(rows):
                self._move(old, part, rows, self._steppers[current], target)

    def _move(self, old: Stepper, part: Shard, rows: Ints, new: Stepper, target: Shard) -> None:
        block = part.take_out(old.arena, rows, old.codec)
        if self._policy != "keep":
            block.a = np.zeros((len(rows), new.answering.state_size), np.float32)
        target.put(new.arena, block, new.codec)

    def _route(
        self,
        shard: Generations,
        packed: Packed,
        ended: set[tuple[Generations, bytes]],
        over: dict[tuple[str, Shard], dict[bytes, int]],
    ) -> None:
        """Gives each event to the stepper of its sequence.

        Args:
          shard: whose events.
          packed: the events.
          ended: streams whose sequence under an older model ended before; this adds to it.
          over: when sequences of older models were ended by events of others; this adds to it.
        """
        rest = np.ones(len(packed), np.bool_)
        current, target = self._current(shard)
        for model, part in shard.parts.items():
            if part is target or not part.live:
                continue
            known = [s in part.rows and (shard, s) not in ended for s in packed.streams]
            mine = np.array(known, np.bool_)[packed.stream]
            if self._steppers[model].sequence is None:  # else ends come when their turn comes
                times = over.setdefault((model, part), {})
                _cut_at_ends(shard, packed, mine, ended, times)
            if mine.any():
                self._steppers[model].receive(part, packed.only(np.flatnonzero(mine)))
                rest &= ~mine
        if rest.any():
            events = packed if rest.all() else packed.only(np.flatnonzero(rest))
            self._steppers[current].receive(target, events)


def _cut_at_ends(
    shard: Generations,
    packed: Packed,
    mine: np.ndarray,
    ended: set[tuple[Generations, bytes]],
    times: dict[bytes, int],
) -> None:
    """Takes out of ``mine`` what comes behind the end of its sequence."""
    ends, resets = packed.end, packed.reset
    if not (ends[mine].any() or (resets is not None and resets[mine].any())):
        return
    for place in np.flatnonzero(mine).tolist():
        stream = packed.streams[packed.stream[place]]
        if (shard, stream) in ended:
            mine[place] = False
        elif resets is not None and resets[place]:
            ended.add((shard, stream))
            times[stream] = int(packed.time[place])
            mine[place] = False
        elif ends[place]:
            ended.add((shard, stream))
