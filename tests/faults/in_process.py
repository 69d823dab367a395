"""Faults on the local runners, in this process: cheap, so that there can be many."""

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from apache_beam.runners.direct import direct_userstate
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

import beam_rnn
from tests.faults.scenario import ORDERS, Scenario, scenario
from tests.faults.tally import Tally, compared
from tests.runners.harness import Runner
from tests.runners.sources import replay

_CODE = tuple(str(Path(beam_rnn.__file__).parent / part) for part in ("streams", "transforms"))
# They have locks, which an exception raised at the line of their `with` leaves locked.
_SPARED = tuple(
    str(Path(beam_rnn.__file__).parent / "transforms" / name) for name in ("model.py", "metrics.py")
)


class Fault(BaseException):
    """What fails; no `except Exception` of the code under test may take it for a bad event."""


def _raising_at(line: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that raises Fault at the n-th line that our own code runs."""
    left = line

    def each_line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                raise Fault(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return each_line

    def each_call(frame: FrameType, *_: Any) -> Any:
        name = frame.f_code.co_filename
        return each_line if name.startswith(_CODE) and name not in _SPARED else None

    return each_call


class _Tokens:
    """The runner's word for which state a worker may have cached: a new one after each rollback."""

    def __init__(self) -> None:
        self._made = FnApiRunner.get_cache_token_generator(static=False)
        self.renew()

    def renew(self) -> None:
        self._token = next(self._made)

    def __next__(self) -> Any:
        return self._token


class RollingBack(FnApiRunner):
    """FnApiRunner in which bundles fail, and are done again from the committed state.

    A bundle fails at a random line of our code, or when all is done and written but not yet
    committed; then the worker has kept rows that are not the state's.

    Args:
        chance: which bundles fail, and where.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.faults = 0
        self._chance = chance
        self._tokens = _Tokens()

    def _run_bundle_multiple_times_for_testing(
        self,
        runner_execution_context: Any,
        bundle_manager: Any,
        data_input: Any,
        data_output: Any,
        fired_timers: Any,
        expected_output_timers: Any,
    ) -> None:
        """Beam's own place for bundles whose effects are undone; here they may also raise."""
        state = runner_execution_context.state_servicer
        bundle_manager._cache_token_generator = self._tokens
        while self._chance.random() < 1 / 3:
            state.checkpoint()
            if self._chance.random() < 2 / 3:
                sys.settrace(_raising_at(int(2 ** self._chance.uniform(0, 13))))
            try:
                bundle_manager.process_bundle(
                    data_input, data_output, fired_timers, expected_output_timers, dry_run=True
                )
            except Fault:
                pass
            finally:
                sys.settrace(None)
                state.restore()
                self._tokens.renew()
            self.faults += 1


def rolled_back(seed: int) -> Tally:
    """A job on `RollingBack`."""
    runner = RollingBack(random.Random(seed))
    # Its event-time timers do not wait for the watermark.
    job = scenario(seed, ("arrival", "sequence"))
    return compared(job, _collected(job, Runner("FnApiRunner", lambda: runner)), runner.faults)


def retried(seed: int) -> Tally:
    """A job on BundleBasedDirectRunner, which tries a bundle up to four times."""
    job = scenario(seed, ORDERS)
    with failing_cells(random.Random(seed)) as faults:
        found = _collected(job, Runner("BundleBasedDirectRunner", BundleBasedDirectRunner))
    return compared(job, found, len(faults))


@contextlib.contextmanager
def failing_cells(chance: random.Random) -> Iterator[list[str]]:
    """Up to three times, a read, a write or the commit of state fails; gives those that did."""
    faults: list[str] = []
    left = [int(2 ** chance.uniform(0, 7)) for _ in range(3)]

    def failing(owner: type, name: str) -> Any:
        call = getattr(owner, name)

        def called(self: Any, *values: Any) -> Any:
            if left:
                left[-1] -= 1
                if left[-1] <= 0:
                    left.pop()
                    faults.append(name)
                    raise RuntimeError(f"no {name} now")
            return call(self, *values)

        return mock.patch.object(owner, name, called)

    with contextlib.ExitStack() as stack:
        for name in ("read", "add", "clear"):
            stack.enter_context(failing(direct_userstate.BagRuntimeState, name))
        stack.enter_context(failing(direct_userstate.DirectUserStateContext, "commit"))
        yield faults


def _collected(job: Scenario, runner: Runner) -> list[Any]:
    return runner.collect(lambda p: job.step(p | replay(job.chunks)), streaming=True)
