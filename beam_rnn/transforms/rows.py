"""OnRows: rows with a schema in, rows out with the fields of their answers."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.typehints.row_type import RowTypeConstraint

from beam_rnn.errors import OptionError
from beam_rnn.streams.event import BadEvent, Tagged
from beam_rnn.streams.feature import Feature, Piece, flat
from beam_rnn.streams.order import Order
from beam_rnn.transforms.streams import OverStreams

Fields = dict[str, Any]  # name -> type
_NO_KEY = "no_key"


@dataclass
class OnRows(beam.PTransform):
    """A transform over streams on rows: rows with a schema in, rows with more fields out.

        rows | rnn.OnRows(rnn.Tag(net), stream="user", x="word")

    ``rows`` is a PCollection of ``beam.Row``, NamedTuples or what else has a schema. Gives rows:

    * ``Tag``: the fields of the row that is answered, then ``label``, ``score`` and ``step``. With
      a feature that makes its own pieces (words of a text): the field ``stream``, then those of
      the piece (of ``Words``: ``text`` and ``before``; another piece is the field ``input``).
    * the others: the field ``stream``, then those of the answer, as in ``Classified``,
      ``Generated``, ``Translated``, ``Transcribed``.

    All fields are strings, numbers, booleans and arrays of them, beside those of the rows: what
    SqlTransform, DataFrames, Parquet and other languages read. Rows that could not be stepped, or
    whose stream is null, are in the attribute ``failed``, late ones in ``late``: rows with
    ``element`` (the row, or null where it was too large), ``msg`` and the field ``stream``.

    Args:
      transform: ``rnn.Tag(...)`` or another one over streams. Of its functions ``x``, ``end`` and
        ``reset`` those take a field that is named below, the others the whole row. Its order may
        be ``by_sequence("field")``.
      stream: the field that names the stream.
      x: the field that is the input of the network, or what the transform's ``x`` makes it of.
      end, reset: fields that say whether a sequence ends, or begins anew.
      prefix: before the names of the answers' fields, where rows have such names already.

    Raises:
      OptionError: there is no such field, two fields have one name, or the rows have no schema.
    """

    transform: OverStreams
    stream: str
    x: str | None = None
    end: str | None = None
    reset: str | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        if not isinstance(self.transform, OverStreams):
            raise OptionError(f"OnRows({self.transform!r}): expected rnn.Tag(...) or another one")

    def expand(self, rows: beam.PCollection[Any]) -> beam.PCollection[Any]:
        kind, fields = _schema(rows.element_type)
        key_type = _key_type(self._field(self.stream, fields))
        transform = self._on_fields(fields)
        keyed = rows | "Key" >> beam.ParDo(_Key(self.stream)).with_outputs(_NO_KEY, main="keyed")
        events = keyed.keyed
        events.element_type = beam.typehints.Tuple[key_type, kind]
        answers = events | "Over" >> transform
        echoed = self._echoed(transform, {self.stream: key_type}, fields)
        said = _said(transform)
        given = echoed.fields | {self.prefix + name: kind for name, kind in said.items()}
        if len(given) < len(echoed.fields) + len(said):
            twice = [name for name in said if self.prefix + name in echoed.fields]
            raise OptionError(
                f"the rows have the fields {', '.join(twice)}, as the answers: say prefix=..."
            )
        names = [(self.prefix + name, name) for name in said]
        out = answers | "Rows" >> beam.Map(_answered, echoed, names)
        out.element_type = RowTypeConstraint.from_fields(list(given.items()))
        bad = {
            self.stream: beam.typehints.Optional[key_type],
            "msg": str,
            "element": beam.typehints.Optional[kind],
        }
        if len(bad) < 3:
            raise OptionError(f"the field of the stream is called {self.stream}: rename it")
        of = RowTypeConstraint.from_fields(list(bad.items()))
        no_key = keyed[_NO_KEY] | "NoKey" >> beam.Map(_failed, self.stream, list(fields))
        no_key.element_type = of
        told = [
            events | label >> beam.Map(_failed, self.stream, list(fields))
            for events, label in ((answers.failed, "FailedRows"), (answers.late, "LateRows"))
        ]
        for events in told:
            events.element_type = of
        no_key |= "NoKeyWindow" >> beam.WindowInto(told[0].windowing)
        out.failed = (told[0], no_key) | "Failed" >> beam.Flatten()
        out.late = told[1]
        if transform.export:
            out.state = answers.state
        return out

    def _field(self, name: str, fields: Fields) -> Any:
        if name not in fields:
            raise OptionError(f"the rows have no field {name}: they have {', '.join(fields)}")
        return fields[name]

    def _on_fields(self, fields: Fields) -> OverStreams:
        """The transform, its functions those of rows."""
        changed: dict[str, Any] = {}
        given = self.transform
        for option in ("x", "end", "reset"):
            name = getattr(self, option)
            if name is not None:
                self._field(name, fields)
                changed[option] = _on_field(getattr(given, option), name)
        numbers = given.order.numbers if given.order is not None else None
        if numbers is not None and isinstance(numbers.of, str):
            self._field(numbers.of, fields)
            assert isinstance(given.order, Order)
            by_field = dataclasses.replace(numbers, of=_Field(numbers.of))
            changed["order"] = dataclasses.replace(given.order, numbers=by_field)
        return dataclasses.replace(given, **changed)

    def _echoed(self, transform: OverStreams, key: Fields, fields: Fields) -> _Echoed:
        """What of the events is in the answers."""
        feature = transform.x
        if transform.answer is not Tagged:
            return _Echoed(key, self.stream, [], whole=False)
        if not isinstance(feature, Feature) or isinstance(feature, flat):
            return _Echoed(fields, self.stream, list(fields), whole=True)
        kind = getattr(feature, "echoes", None)
        if kind is None:
            return _Echoed(key, self.stream, [], whole=False)
        if hasattr(kind, "_fields"):
            own = typing.get_type_hints(kind)
        else:
            own = {"input": kind}
        if self.stream in own:
            raise OptionError(f"the field of the stream is called {self.stream}: rename it")
        return _Echoed(key | own, self.stream, list(own), whole=False)


@dataclass(frozen=True)
class _Echoed:
    """What of an event is in the row of its answer.

    Attributes:
      fields: names and types.
      stream: the field of the key.
      names: the fields that are taken of the echo.
      whole: whether the echo is the row itself, so that the key is among its fields.
    """

    fields: Fields
    stream: str
    names: list[str]
    whole: bool

    def of(self, key: Any, answer: Any) -> Fields:
        if not self.names:
            return {self.stream: key}
        echo = answer.input
        if self.whole:
            return {name: getattr(echo, name) for name in self.names}
        if self.names == ["input"]:
            return {self.stream: key, "input": echo}
        return {self.stream: key, **{name: getattr(echo, name) for name in self.names}}


def _schema(element_type: Any) -> tuple[RowTypeConstraint, Fields]:
    kind = element_type
    if not isinstance(kind, RowTypeConstraint):
        kind = RowTypeConstraint.from_user_type(element_type)
    if kind is None:
        raise OptionError(
            f"the elements are {element_type}: OnRows takes rows with a schema, for instance "
            "beam.Row(...), beam.Select(...) or a NamedTuple"
        )
    return kind, {name: kind.get_type_for(name) for name, _ in kind._fields}


def _key_type(kind: Any) -> Any:
    """The type of the streams' keys: that of the field, which may be null no more."""
    union = isinstance(kind, beam.typehints.typehints.UnionConstraint)
    alternatives = list(kind.inner_types()) if union else list(typing.get_args(kind))
    if type(None) in alternatives and len(alternatives) == 2:
        alternatives.remove(type(None))
        kind = alternatives[0]
    return int if isinstance(kind, type) and issubclass(kind, np.integer) else kind


def _said(transform: OverStreams) -> Fields:
    """The fields of an answer but the input; a label or token is a name, or else its index."""
    model = transform._model.network()
    labels = getattr(transform, "per_sequence", None) is not None  # Tag and Classify
    if labels:
        names = model.labels if model.output_size > 1 else None
    else:
        names = getattr(model, "vocabulary", None)
    token = int if names is None else str
    kinds = {Any: token, Sequence[Any]: Sequence[token]}  # type: ignore[valid-type]
    hints = typing.get_type_hints(transform.answer)
    said = {name: kinds.get(kind, kind) for name, kind in hints.items() if name != "input"}
    if "source" in said:
        del said["source"]
        if transform.source:
            read = int if model.encoder.vocabulary is None else str
            said["source"] = Sequence[read]  # type: ignore[valid-type]
    return said


def _on_field(function: Any, name: str) -> Any:
    """A function of a value as one of the row whose field is the value."""
    if isinstance(function, flat):
        return flat(_Field(name, function.of))
    if isinstance(function, Feature):
        return _FeatureOfField(function, name)
    return _Field(name, function)


@dataclass(frozen=True)
class _Field:
    """Row -> a field of it, or what a function makes of the field."""

    name: str
    function: Callable[[Any], Any] | None = None

    def __call__(self, row: Any) -> Any:
        value = getattr(row, self.name)
        return value if self.function is None else self.function(value)


@dataclass(frozen=True)
class _FeatureOfField:
    """A feature of the values of a field, as one of rows."""

    feature: Feature
    name: str

    @property
    def echoes(self) -> Any:
        return getattr(self.feature, "echoes", None)

    @property
    def seconds(self) -> float | None:
        return getattr(self.feature, "seconds", None)

    def feed(self, row: Any, memory: bytes) -> tuple[list[Piece], bytes]:
        return self.feature.feed(getattr(row, self.name), memory)

    def finish(self, memory: bytes) -> list[Piece]:
        return self.feature.finish(memory)


class _Key(beam.DoFn):
    """Row -> (stream, row); a row whose stream is null fails."""

    def __init__(self, stream: str) -> None:
        self._stream = stream

    def process(self, row: Any) -> Iterator[Any]:
        key = getattr(row, self._stream)
        if key is None:
            bad = BadEvent(None, f"InputError: the field {self._stream} is null", row)
            yield beam.pvalue.TaggedOutput(_NO_KEY, bad)
        else:
            yield key, row


def _answered(keyed: Any, echoed: _Echoed, names: Iterable[tuple[str, str]]) -> beam.Row:
    key, answer = keyed
    return beam.Row(**echoed.of(key, answer), **{name: getattr(answer, own) for name, own in names})


def _failed(bad: BadEvent, stream: str, fields: list[str]) -> beam.Row:
    row = bad.input if all(hasattr(bad.input, name) for name in fields) else None
    return beam.Row(**{stream: bad.stream, "msg": bad.reason, "element": row})
