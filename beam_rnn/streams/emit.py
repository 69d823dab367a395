"""Which answers of a sequence are given."""

from __future__ import annotations

from dataclasses import dataclass

from beam_rnn.errors import OptionError


@dataclass(frozen=True)
class Emit:
    """When a sequence answers: after every n-th step, when the label changes, or at its end."""

    each: int = 0
    change: bool = False

    @staticmethod
    def of(option: str | Emit) -> Emit:
        """Reads the option ``emit`` of a transform.

        Raises:
          OptionError: it is none of "each", "final", "change" and ``every(n)``.
        """
        if isinstance(option, Emit):
            return option
        named = {"each": Emit(each=1), "final": Emit(), "change": Emit(change=True)}
        if not isinstance(option, str) or option not in named:
            raise OptionError(f'emit is {option!r}, expected "each", "final", "change" or every(n)')
        return named[option]


def every(n: int) -> Emit:
    """Emits after every ``n`` steps of a sequence, and at its end.

    Raises:
      OptionError: n is not a positive number.
    """
    if not isinstance(n, int) or n < 1:
        raise OptionError(f"every({n!r}): expected a whole number of at least 1")
    return Emit(each=n)
