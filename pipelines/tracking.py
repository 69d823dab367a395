"""How far an unbounded source has read, as the restriction of its splittable DoFn."""

from typing import Any

from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker


class PositionTracker(RestrictionTracker):
    """Claims are the positions to go on from: frozen dataclasses with a field ``done``.

    A position made with ``done=True`` alone is the end of a source.
    """

    def __init__(self, position: Any) -> None:
        self._at = position
        self._split = False

    def current_restriction(self) -> Any:
        return self._at

    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(fraction=float(self._at.done))

    def check_done(self) -> None:
        if not self._at.done:
            raise ValueError("the source has not been read to its end")

    def try_claim(self, position: Any) -> bool:
        if not self._split:
            self._at = position
        return not self._split

    def try_split(self, fraction_of_remainder: float) -> tuple[Any, Any] | None:
        # Only at the current position: what comes next is not known, so nothing can be shared.
        if fraction_of_remainder or self._split or self._at.done:
            return None
        residual, self._split = self._at, True
        self._at = type(residual)(done=True)
        return self._at, residual

    def is_bounded(self) -> bool:
        return False
