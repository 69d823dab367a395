"""OnRows: rows in, rows out with the fields of their answers; schemas that others can read."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.dataframe.convert import to_dataframe, to_pcollection
from apache_beam.portability.api import schema_pb2
from apache_beam.typehints import schemas

import beam_rnn as rnn
from beam_rnn.features import TokenIds
from beam_rnn.features.text import Token, Tokenizer
from tests.nn.translators import MODELS
from tests.nn.writers import WRITER
from tests.runners import harness
from tests.runners.sources import replay
from tests.transforms.test_streams import NET, answers

RUNNER = harness.LOCAL["FnApiRunner"]()


class Said(NamedTuple):
    who: str | None
    word: int
    seq: int
    last: bool


SAID = [
    Said("ann", 1, 0, False),
    Said("bob", 4, 0, False),
    Said("ann", 12, 2, False),  # no word
    Said(None, 3, 0, False),  # nobody
    Said("ann", 2, 1, True),
]
ROWS = [beam.Row(**row._asdict()) for row in SAID]


def fields(rows: Any) -> dict[str, Any]:
    """The fields of each element, by name; nested rows too."""
    return {
        name: fields(value) if hasattr(value, "_asdict") or isinstance(value, beam.Row) else value
        for name, value in (
            rows.as_dict() if isinstance(rows, beam.Row) else rows._asdict()
        ).items()
    }


def collected(build: Callable[[beam.Pipeline], Any], **options: Any) -> list[dict[str, Any]]:
    """What the rows of ``build`` are behind a shuffle, so that they were written by their coder."""
    return RUNNER.collect(
        lambda p: build(p) | "Shuffle" >> beam.Reshuffle() | beam.Map(fields), **options
    )


def by(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda row: tuple(row[name] for name in names)


@pytest.mark.parametrize("rows", [ROWS, SAID], ids=["Row", "NamedTuple"])
def test_rows_gain_the_fields_of_their_labels(rows: list[Any]) -> None:
    found = collected(
        lambda p: (
            p
            | beam.Create(rows).with_output_types(Said)
            | rnn.OnRows(rnn.Tag(NET), stream="who", x="word")
        )
    )
    words = {"ann": [row for row in SAID if row.who == "ann" and row.word < 10], "bob": [SAID[1]]}
    expected = [
        row._asdict() | dict(zip(("label", "score", "step"), answer[1:], strict=True))
        for mine in words.values()
        for row, answer in zip(mine, answers(NET, [row.word for row in mine]), strict=True)
    ]
    assert sorted(found, key=by("who", "step")) == expected


def test_rows_that_fail_leave_as_rows() -> None:
    found = collected(
        lambda p: (p | beam.Create(ROWS) | rnn.OnRows(rnn.Tag(NET), stream="who", x="word")).failed
    )
    assert sorted(found, key=by("msg")) == [
        {
            "who": None,
            "msg": "InputError: the field who is null",
            "element": SAID[3]._asdict(),
        },
        {
            "who": "ann",
            "msg": "InputError: x has the id 12, expected 0..9",
            "element": SAID[2]._asdict(),
        },
    ]


def test_the_order_and_the_end_may_be_fields() -> None:
    rows = [("a", 2, 1, True), ("a", 1, 0, False), ("a", 5, 3, True), ("a", 4, 2, False)]
    far = rnn.Classify(NET, order=rnn.by_sequence("seq"))
    found = collected(
        lambda p: (
            p
            | beam.Create([Said(*row) for row in rows])
            | rnn.OnRows(far, stream="who", x="word", end="last")
        )
    )
    expected = [
        {"who": "a", "label": label, "score": score, "steps": 2}
        for _, label, score, _ in (answers(NET, [1, 2])[-1], answers(NET, [4, 5])[-1])
    ]
    assert sorted(found, key=by("score")) == sorted(expected, key=by("score"))


TEXTS = [("ann", "yes no y", 1.0), ("ann", "es no", 2.0)]


def test_pieces_of_a_feature_are_fields_while_their_answers_wait() -> None:
    """Streaming, with answers two words later: words wait in the state, beside typed values."""
    net = rnn.Network(NET.layers, labels=["no", "yes"], lookahead=2)

    class Words:
        """A word is its length."""

        echoes = Token

        def feed(self, value: str, memory: bytes) -> tuple[list[tuple[Any, Any]], bytes]:
            pieces, memory = Tokenizer().feed(value, memory)
            return [(token, len(token.text)) for token, _ in pieces], memory

        def finish(self, memory: bytes) -> list[tuple[Any, Any]]:
            return [(token, len(token.text)) for token, _ in Tokenizer().finish(memory)]

    def build(p: beam.Pipeline) -> Any:
        events = p | replay([[event] for event in TEXTS])
        rows = events | beam.Select(user=lambda e: str(e[0]), text=lambda e: str(e[1]))
        return rows | rnn.OnRows(rnn.Tag(net, x=Words()), stream="user", x="text")

    found = collected(build, streaming=True)
    assert [row["text"] for row in found] == ["yes"]  # two words later; the last one may go on
    assert list(found[0]) == ["user", "text", "before", "label", "score", "step"]


LETTERS = "abcdefghijk"


@pytest.mark.parametrize(
    ("transform", "answer"),
    [
        (rnn.Translate(MODELS["Bahdanau"], x=TokenIds(LETTERS), end=lambda row: True), 5),
        (rnn.Generate(WRITER, x=TokenIds(LETTERS), end=lambda row: True, limit=4), 4),
    ],
    ids=["Translate", "Generate"],
)
def test_what_is_written_is_in_fields(transform: Any, answer: int) -> None:
    words = [("ann", "abc"), ("bob", "cab")]
    plain = RUNNER.collect(lambda p: p | beam.Create(words) | transform)
    found = collected(
        lambda p: (
            p
            | beam.Create([beam.Row(user=user, word=word) for user, word in words])
            | rnn.OnRows(transform, stream="user", x="word", prefix="rnn_")
        )
    )
    assert len(found) == 2
    assert sorted(found, key=by("user")) == [
        {
            "user": user,
            **{f"rnn_{name}": v for name, v in said._asdict().items() if name != "source"},
        }
        for user, said in sorted(plain)
    ]


def schema_of(transform: Any, **options: Any) -> schema_pb2.Schema:
    p = beam.Pipeline()
    rows = p | beam.Create([beam.Row(user=1, x=[0.5], sound=b"")])
    said = rows | rnn.OnRows(transform, stream="user", x="x", **options)
    return schemas.schema_from_element_type(said.element_type)


def test_a_source_is_a_field_when_it_is_asked_for() -> None:
    types = [
        {field.name: field.type for field in schema_of(transform).fields}
        for transform in (
            rnn.Translate(MODELS["none"]),
            rnn.Translate(MODELS["none"], source=True),
        )
    ]
    assert "source" not in types[0]
    assert types[1]["source"] == schemas.typing_to_runner_api(Sequence[int])


@pytest.mark.parametrize(
    ("transform", "kinds"),
    [
        (rnn.Tag(NET), {"label": str, "score": float, "step": int}),
        (rnn.Classify(NET), {"label": str, "score": float, "steps": int}),
        (
            rnn.Translate(MODELS["none"]),
            {
                "output": Sequence[int],
                "score": float,
                "rank": int,
                "alignment": Sequence[int],
                "steps": int,
            },
        ),
        (
            rnn.Generate(WRITER),
            {"output": Sequence[int], "score": float, "step": int, "stopped": bool},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_schemas_have_types_that_every_language_knows(
    transform: Any, kinds: dict[str, Any]
) -> None:
    schema = schema_of(transform)
    types = {field.name: field.type for field in schema.fields}
    for name, kind in kinds.items():
        assert types[name] == schemas.typing_to_runner_api(kind), name


def test_parquet_has_a_stable_schema(tmp_path: Path) -> None:
    with beam.Pipeline(runner=RUNNER.make()) as p:
        tagged = p | beam.Create(ROWS[:2]) | rnn.OnRows(rnn.Tag(NET), stream="who", x="word")
        tagged | beam.io.WriteToParquet(str(tmp_path / "tagged"))
    (path,) = tmp_path.iterdir()
    table = pq.read_table(path)
    assert table.schema.remove_metadata() == pa.schema(
        [
            pa.field("who", pa.string(), nullable=False),
            pa.field("word", pa.int64(), nullable=False),
            pa.field("seq", pa.int64(), nullable=False),
            pa.field("last", pa.bool_(), nullable=False),
            pa.field("label", pa.string(), nullable=False),
            pa.field("score", pa.float64(), nullable=False),
            pa.field("step", pa.int64(), nullable=False),
        ]
    )
    assert table.num_rows == 2


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_data_frames_read_the_answers() -> None:
    def count(p: beam.Pipeline) -> Any:
        rows = [beam.Row(who=who, word=word) for who, word in [("a", 1), ("b", 4), ("a", 2)]]
        tagged = p | beam.Create(rows) | rnn.OnRows(rnn.Tag(NET), stream="who", x="word")
        frame = to_dataframe(tagged)
        steps = frame.groupby("who").step.max()
        return to_pcollection(steps.to_frame(), include_indexes=True)

    assert sorted((row["who"], row["step"]) for row in collected(count)) == [("a", 2), ("b", 1)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stream": "whom"}, "the rows have no field whom: they have who, label, score"),
        ({"x": "words"}, "the rows have no field words"),
        ({"end": "finish"}, "the rows have no field finish"),
        ({}, "the rows have the fields label, score, as the answers: say prefix="),
    ],
)
def test_fields_are_checked(options: dict[str, Any], message: str) -> None:
    rows = beam.Pipeline() | beam.Create([beam.Row(who="a", label=1, score=0.5)])
    with pytest.raises(rnn.OptionError, match=message):
        rows | rnn.OnRows(rnn.Tag(NET), **{"stream": "who", "x": "label"} | options)


def test_elements_without_a_schema_are_refused() -> None:
    pairs = beam.Pipeline() | beam.Create([("a", 1)])
    with pytest.raises(rnn.OptionError, match="takes rows with a schema"):
        pairs | rnn.OnRows(rnn.Tag(NET), stream="who")
    wrong: Any = NET
    with pytest.raises(rnn.OptionError, match=r"expected rnn\.Tag"):
        rnn.OnRows(wrong, stream="who")
