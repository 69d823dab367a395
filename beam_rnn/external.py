"""Transforms on rows that are told by plain values: for Beam YAML, Java and other languages."""

import dataclasses
import inspect
from dataclasses import dataclass, field
from typing import Any, ClassVar, Optional

import apache_beam as beam

import beam_rnn as rnn
from beam_rnn import features
from beam_rnn.errors import OptionError
from beam_rnn.transforms.model import Model
from beam_rnn.transforms.streams import OverStreams

__all__ = ["Classify", "Generate", "Tag", "Transcribe", "Translate"]

# What OnRows takes, and what is not an option of its transform as it stands.
_OF_ROWS = ("stream", "x", "prefix")
_MADE = ("model", "feature", "order", "end", "reset", "emit", "endpoint", "decoder")


@dataclass(kw_only=True)
class _Plain(beam.PTransform):
    """What all of them take.

    Args:
      model: the path of a model.
      stream: the field of the rows that names the stream.
      x: the field that the network reads, or that ``feature`` makes its inputs of.
      feature: a class of beam_rnn.features by name, or ``{type: name, config: {...}}``. One that
        needs a vocabulary has that of the model.
      order: "arrival", "event_time", ``{lateness: seconds}``, or ``{sequence: field}`` with the
        arguments of rnn.by_sequence.
      end: the field that says whether a row is the last of its sequence; true: each one is.
      reset: the field that says whether a sequence begins anew with a row.
      expire_after: seconds of event time without a row after which a sequence ends.
      shards: how many parts the state has.
      prefix: before the names of the answers' fields.
      error_handling: ``{output: name}``: the output of rows that could not be stepped, and of
        those that were late. Without it the first one fails the pipeline.
    """

    model: str
    stream: str
    x: Optional[str] = None  # noqa: UP045 - Beam YAML makes a schema of the annotations
    feature: Any = None
    order: Any = None
    end: Any = None
    reset: Optional[str] = None  # noqa: UP045
    expire_after: Optional[float] = None  # noqa: UP045
    shards: int = 32
    prefix: str = ""
    error_handling: Any = None

    over: ClassVar[type[OverStreams]]

    def __init_subclass__(cls, over: type[OverStreams]) -> None:
        cls.over = over
        shared = (_Plain.__doc__ or "").partition("Args:\n")[2]
        cls.__doc__ = f"{(cls.__doc__ or '').rstrip()}\n{shared}"

    def __post_init__(self) -> None:
        super().__init__()
        handling = _mapping("error_handling", self.error_handling or {})
        if handling.keys() - {"output"} or not handling.get("output", "errors"):
            raise OptionError(f"error_handling is {handling}, expected {{output: name}}")
        self._errors = handling.get("output")
        self._on_rows = rnn.OnRows(
            self.over(self.model, **self._options()),
            stream=self.stream,
            x=self.x,
            end=None if self.end is True else self.end or None,
            reset=self.reset,
            prefix=self.prefix,
        )

    def expand(self, rows: beam.PCollection[Any]) -> Any:
        answers = rows | self._on_rows
        if self._errors is None:
            answers.failed | "Fail" >> beam.Map(_fail)
            return answers
        errors = (answers.failed, answers.late) | "Errors" >> beam.Flatten()
        return {"good": answers, self._errors: errors}

    def _options(self) -> dict[str, Any]:
        """The options of the transform over streams."""
        options = {
            one.name: getattr(self, one.name)
            for one in dataclasses.fields(self)
            if one.name not in (*_OF_ROWS, *_MADE, "error_handling")
        }
        options["order"] = _order(self.order)
        if self.end is True:
            options["end"] = _always
        if self.feature is not None:
            options["x"] = _feature(self.feature, Model(self.model, self.over.kinds).network())
        if hasattr(self, "emit"):
            emit = self.emit
            options["emit"] = rnn.every(emit) if isinstance(emit, int) else emit
        return options


@dataclass(kw_only=True)
class Tag(_Plain, over=rnn.Tag):
    """One label for each row.

    Args:
      lookahead: how many inputs later a row is answered.
      emit: "each", "final", "change" or a number.
      longest: most inputs of a sequence, where the model reads whole ones.
    """

    lookahead: Optional[int] = None  # noqa: UP045
    emit: Any = "each"
    longest: int = 1000


@dataclass(kw_only=True)
class Classify(_Plain, over=rnn.Classify):
    """One label for each sequence of rows.

    Args:
      lookahead: how many inputs later a label comes.
      emit: "final", "each", "change" or a number.
    """

    lookahead: Optional[int] = None  # noqa: UP045
    emit: Any = "final"


@dataclass(kw_only=True)
class Generate(_Plain, over=rnn.Generate):
    """Tokens that go on from a prompt.

    Args:
      more: how many tokens are drawn after each row; without it a prompt ends as a sequence does.
      limit: most tokens that are drawn.
      temperature: 0: always the most probable token.
      top_k: of how many of the most probable tokens one is drawn.
      top_p: of which share of the probability one is drawn.
      allowed: tokens that may be drawn.
      start: a token that is read before each sequence.
      stop: the token that ends a sequence.
      seed: another one, other draws.
    """

    more: Optional[int] = None  # noqa: UP045
    limit: int = 100
    temperature: float = 1.0
    top_k: Optional[int] = None  # noqa: UP045
    top_p: Optional[float] = None  # noqa: UP045
    allowed: Any = None
    start: Any = None
    stop: Any = None
    seed: int = 0


@dataclass(kw_only=True)
class Translate(_Plain, over=rnn.Translate):
    """A sequence for each sequence.

    Args:
      width: how many hypotheses are followed at once.
      best: how many are given.
      alpha: the length normalisation.
      longest: most inputs of a source.
      source: whether answers have the inputs that they are of.
    """

    width: int = 1
    best: int = 1
    alpha: float = 0.0
    longest: Optional[int] = None  # noqa: UP045
    source: bool = False


@dataclass(kw_only=True)
class Transcribe(_Plain, over=rnn.Transcribe):
    """Text of sound.

    Args:
      emit: "change", "each", "final" or a number: texts that may still change.
      decoder: the arguments of rnn.CTC, such as ``{width: 8}``; the labels are the model's.
      endpoint: the arguments of rnn.Endpoint, when a piece of speech ends.
      seconds: from one frame to the next.
      lookahead: how many inputs later y of a frame comes.
    """

    emit: Any = "change"
    decoder: Any = None
    endpoint: Any = field(default_factory=dict)
    seconds: Optional[float] = None  # noqa: UP045
    lookahead: Optional[int] = None  # noqa: UP045

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        options["endpoint"] = rnn.Endpoint(**_mapping("endpoint", self.endpoint))
        if self.decoder is not None:
            labels = Model(self.model, self.over.kinds).network().labels
            options["decoder"] = rnn.CTC(**{"labels": labels} | _mapping("decoder", self.decoder))
        return options


def _mapping(option: str, value: Any) -> dict[str, Any]:
    """A mapping, or a row of another language, as a dict."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "as_dict"):
        value = value.as_dict()
    if not isinstance(value, dict):
        raise OptionError(f"{option} is {value!r}, expected a mapping")
    # Beam YAML adds where in the file a mapping stands.
    return {name: given for name, given in value.items() if not name.startswith("__")}


def _order(order: Any) -> Any:
    if order is None:
        return None
    if isinstance(order, str):
        if order not in ("arrival", "event_time"):
            raise OptionError(f'order is {order!r}, expected "arrival", "event_time" or a mapping')
        return getattr(rnn, order)
    options = _mapping("order", order)
    if set(options) == {"lateness"}:
        return rnn.by_event_time(options["lateness"])
    if "sequence" not in options:
        raise OptionError(f"order is {options}, expected {{lateness: ...}} or {{sequence: ...}}")
    return rnn.by_sequence(options.pop("sequence"), **options)


def _feature(given: Any, model: Any) -> Any:
    """A feature by its name, or by name and arguments, which may be features themselves."""
    spec = {"type": given} if isinstance(given, str) else _mapping("feature", given)
    name = spec.get("type")
    kind = getattr(features, str(name), None)
    if not inspect.isclass(kind) or spec.keys() - {"type", "config"}:
        raise OptionError(f"feature is {given!r}, expected a class of beam_rnn.features by name")
    config = _mapping("config", spec.get("config") or {})
    for option, value in config.items():
        if isinstance(value, dict) or hasattr(value, "_asdict") or hasattr(value, "as_dict"):
            config[option] = _feature(value, model)
    wanted = inspect.signature(kind).parameters
    if "vocabulary" in wanted and "vocabulary" not in config:
        config["vocabulary"] = getattr(model, "encoder", model).vocabulary
        if config["vocabulary"] is None:
            raise OptionError(f"the feature {name} needs a vocabulary: the model has none")
    try:
        return kind(**config)
    except TypeError as error:
        raise OptionError(f"feature {name}: {error}") from None


def _always(row: Any) -> bool:
    return True


def _fail(bad: Any) -> None:
    raise rnn.InputError(f"{bad.msg}; say error_handling to go on without such rows")
