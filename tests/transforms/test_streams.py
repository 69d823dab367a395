"""Tag and Classify as transforms: options, bad input, outputs, metrics."""

import gc
import weakref
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam import coders
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.testing.test_stream import TestStream
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.window import SlidingWindows, TimestampedValue

import beam_rnn as rnn
from beam_rnn.features import Frames
from beam_rnn.transforms.model import Model


def network(seed: int = 0, **options: Any) -> rnn.Network:
    """A tagger of ten words: yes or no."""
    draw = np.random.default_rng(seed)

    def weights(*shape: int) -> np.ndarray:
        return draw.normal(0, 1, shape).astype(np.float32)

    return rnn.Network(
        [
            rnn.Embedding(weights(10, 3)),
            rnn.GRU(weights(12, 3), weights(12, 4), weights(12)),
            rnn.Dense(weights(2, 4), weights(2), "softmax"),
        ],
        labels=["no", "yes"],
        **options,
    )


NET = network()


def pipeline(**options: Any) -> beam.Pipeline:
    return beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(flags=[], **options))


def answers(net: rnn.Network, words: list[int]) -> list[tuple[Any, ...]]:
    y = net.unroll(np.array(words))[0]
    assert net.labels is not None
    return [
        (word, net.labels[row.argmax()], float(row.max()), step)
        for step, (word, row) in enumerate(zip(words, y, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (10, "InputError: x has the id 10, expected 0..9"),
        (-1, "InputError: x has the id -1, expected 0..9"),
        (2.5, "InputError: x has type float64, expected integer ids"),
        ("two", "InputError: x has type <U3, expected integer ids"),
        ([1, 2], "InputError: x has shape (2,), expected ()"),
        ([[1], [2, 3]], "InputError: x is not an array: setting an array elem"),
        (None, "InputError: x has type object, expected integer ids"),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", [rnn.arrival, rnn.event_time], ids=str)
def test_a_bad_word_leaves_and_its_stream_goes_on(bad: Any, reason: str, order: Any) -> None:
    with pipeline() as p:
        events = p | beam.Create([("a", 1), ("b", 4), ("a", bad), ("a", 2), ("b", 5)])
        typed = events | beam.Map(lambda event: event).with_output_types(tuple[str, Any])
        tagged = typed | rnn.Tag(NET, order=order)
        wanted = [("a", rnn.Tagged(*a)) for a in answers(NET, [1, 2])]
        wanted += [("b", rnn.Tagged(*a)) for a in answers(NET, [4, 5])]
        assert_that(tagged, equal_to(wanted), label="good")
        failed = tagged.failed | beam.Map(
            lambda event: (event.stream, event.input, event.reason[: len(reason)])
        )
        assert_that(failed, equal_to([("a", bad, reason)]), label="bad")


def test_what_x_or_end_raises_leaves() -> None:
    def end(value: str) -> bool:
        if value == "7":
            raise KeyError("no seven")
        return False

    with pipeline() as p:
        tagged = (
            p
            | beam.Create([("a", "1"), ("a", "one"), ("a", "7"), ("a", "2")])
            | rnn.Tag(NET, x=int, end=end)
        )
        wanted = [("a", rnn.Tagged(str(word), *rest)) for word, *rest in answers(NET, [1, 2])]
        assert_that(tagged, equal_to(wanted), label="good")
        wanted_bad = [
            rnn.BadEvent("a", "ValueError: invalid literal for int() with base 10: 'one'", "one"),
            rnn.BadEvent("a", "KeyError: 'no seven'", "7"),
        ]
        assert_that(tagged.failed, equal_to(wanted_bad), label="bad")


def test_a_model_by_its_path_is_loaded_once(tmp_path: Any) -> None:
    path = tmp_path / "model.safetensors"
    rnn.save(NET, str(path))
    assert Model(path).network() is Model(str(path)).network()
    with pipeline() as p:
        tagged = p | beam.Create([("a", 3)]) | rnn.Tag(path)
        assert_that(tagged, equal_to([("a", rnn.Tagged(*answers(NET, [3])[0]))]))


def test_a_model_that_nothing_uses_is_freed(tmp_path: Any) -> None:
    paths = [str(tmp_path / f"{number}.safetensors") for number in range(4)]
    for path in paths:
        rnn.save(NET, path)
    used = Model(paths[0]).network()
    gone = weakref.ref(Model(paths[1]).network())
    for path in paths[2:]:
        Model(path).network()
    gc.collect()
    assert gone() is None
    assert Model(paths[0]).network() is used


def test_emit_chooses_answers() -> None:
    words = [1, 9, 4, 4, 2, 8, 0, 3]
    wanted = answers(NET, words)
    changes = [a for a, b in zip(wanted, [None, *wanted], strict=False) if not b or a[1] != b[1]]
    assert 1 < len(changes) < 8
    for emit, chosen in (
        ("final", wanted[-1:]),
        (rnn.every(3), [wanted[2], wanted[5], wanted[7]]),
        ("change", changes),
    ):
        with pipeline() as p:
            tagged = p | beam.Create([("a", word) for word in words]) | rnn.Tag(NET, emit=emit)
            assert_that(tagged, equal_to([("a", rnn.Tagged(*a)) for a in chosen]))


def test_classify_answers_once_for_a_sequence() -> None:
    with pipeline() as p:
        classified = p | beam.Create([("a", 1), ("b", 4), ("a", 2)]) | rnn.Classify(NET)
        wanted = [("a", rnn.Classified(*answers(NET, [1, 2])[-1][1:]))]
        wanted += [("b", rnn.Classified(*answers(NET, [4])[-1][1:]))]
        assert_that(classified, equal_to(wanted))


def test_metrics_tell_what_was_done() -> None:
    p = pipeline()
    events = [(f"s{i % 50}", i % 10) for i in range(1000)] + [("s0", 99)]
    _ = p | beam.Create(events) | rnn.Tag(NET, order=rnn.arrival, shards=4)
    result = p.run()
    result.wait_until_finish()
    found = result.metrics().query(MetricsFilter().with_namespace("beam_rnn"))
    counters = {metric.key.metric.name: metric.committed for metric in found["counters"]}
    assert counters == {"events": 1000, "failed": 1, "waves": 20}
    parts = {metric.key.metric.name: metric.committed for metric in found["distributions"]}
    assert (parts["wave_size"].count, parts["wave_size"].mean) == (20, 50)
    assert (parts["live_streams_per_shard"].count, parts["live_streams_per_shard"].sum) == (4, 50)
    assert parts["state_bytes_per_shard"].sum < 50 * (4 * NET.state_size + 64) + 4 * 256


def construct(build: Callable[[beam.Pipeline], Any], **options: Any) -> None:
    build(pipeline(**options))


def words() -> beam.PTransform:
    return beam.Create([("a", 1)])


def live() -> beam.PTransform:
    return TestStream(coders.FastPrimitivesCoder()).add_elements([("a", 1)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"emit": "sometimes"}, r'emit is \'sometimes\', expected "each", "final"'),
        ({"shards": 0}, "shards is 0, expected a whole number from 1"),
        ({"lookahead": -1}, "lookahead is -1, expected a number of steps"),
        ({"x": 5}, "x is 5, expected a function, a Feature or None"),
        ({"end": True}, "end is True, expected a function or None"),
        ({"order": "time"}, "order is 'time', expected arrival or by_event_time"),
        ({"expire_after": 0}, "expire_after is 0, expected seconds > 0"),
        ({"expire_after": Decimal("1e900000")}, "expire_after is .*, expected seconds > 0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(rnn.OptionError, match=message):
        rnn.Tag(NET, **options)


def test_every_wants_a_number() -> None:
    with pytest.raises(rnn.OptionError, match=r"every\(0\): expected a whole number of at least 1"):
        rnn.every(0)


def test_a_model_must_be_one(tmp_path: Any) -> None:
    with pytest.raises(
        rnn.OptionError, match="the model is a int, expected a path or a Network or a StepModel"
    ):
        rnn.Tag(5)
    with pytest.raises(rnn.WeightsError, match="missing"):
        rnn.Tag(str(tmp_path / "missing.safetensors"))
    cell = rnn.GRU(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(rnn.OptionError, match="the model reads whole sequences"):
        rnn.Classify(rnn.Network([rnn.Bidirectional(cell, cell)]))


def test_keys_need_a_deterministic_coder() -> None:
    untyped = beam.Map(lambda event: event).with_output_types(Any)
    with pytest.raises(rnn.OptionError, match=r"not deterministic.*with_output_types\(tuple\[str"):
        construct(lambda p: p | words() | untyped | rnn.Tag(NET))


def test_flink_checkpoints_need_their_option() -> None:
    arrival = rnn.Tag(NET, order=rnn.arrival)
    with pytest.raises(rnn.OptionError, match="also set --finish_bundle_before_checkpointing"):
        construct(lambda p: p | words() | arrival, checkpointing_interval="1000")
    flags = ["--checkpointing_interval", "1000", "--streaming"]
    p = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(flags))
    with pytest.raises(rnn.OptionError, match="--checkpointing_interval=1000"):
        _ = p | words() | rnn.Tag(NET, order=rnn.arrival)
    both = PipelineOptions([*flags, "--finish_bundle_before_checkpointing"])
    p = beam.Pipeline(runner=FnApiRunner(), options=both)
    _ = p | words() | rnn.Tag(NET, order=rnn.arrival)


def test_no_state_is_kept_in_sessions() -> None:
    sessions = beam.WindowInto(beam.window.Sessions(10))
    with pytest.raises(rnn.OptionError, match=r"merging windows.*use expire_after for sessions"):
        construct(lambda p: p | words() | sessions | rnn.Tag(NET, order=rnn.arrival))


def test_the_local_runner_cannot_expire_unbounded_streams() -> None:
    typed = beam.Map(lambda event: event).with_output_types(tuple[str, int])
    with pytest.raises(rnn.OptionError, match="FnApiRunner fires event-time timers at once"):
        construct(lambda p: p | live() | typed | rnn.Tag(NET, expire_after=5))
    with pytest.raises(rnn.OptionError, match=r"order=beam_rnn.by_event_time\(2\) would"):
        construct(lambda p: p | live() | typed | rnn.Tag(NET, order=rnn.by_event_time(2)))


def test_answers_are_rows_for_beam() -> None:
    for answer in (rnn.Tagged, rnn.Classified, rnn.BadEvent):
        assert isinstance(coders.registry.get_coder(answer), coders.RowCoder)
    coder = coders.registry.get_coder(rnn.Tagged)
    row = rnn.Tagged("London", "B-LOC", 0.5, 3)
    assert coder.decode(coder.encode(row)) == row


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_bundle_of_any_size_flushes_itself(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits below, at and above the bundle give the same answers."""
    monkeypatch.setattr("beam_rnn.transforms.pack._EVENTS", size)
    monkeypatch.setattr("beam_rnn.transforms.step._WAITING", size)
    monkeypatch.setattr("beam_rnn.streams.stepper._CHUNK", size)
    words = {f"s{i}": [(i + j) % 10 for j in range(20)] for i in range(6)}
    events = [(key, words[key][j]) for j in range(20) for key in words]
    wanted = [(k, rnn.Tagged(*a)) for k, sequence in words.items() for a in answers(NET, sequence)]
    with pipeline() as p:
        assert_that(p | beam.Create(events) | rnn.Tag(NET, order=rnn.arrival), equal_to(wanted))


@pytest.mark.parametrize("size", [3, 32 << 20])
def test_windows_that_overlap_have_sequences_of_their_own(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event of two windows is stepped in both, one that fails is told in both."""
    monkeypatch.setattr("beam_rnn.transforms.pack._BYTES", size)
    texts = ["3", "1", "4", "1", "5", "x", "9", "2", "6"]
    events = [TimestampedValue(("a", text), time) for time, text in enumerate(texts)]
    wanted, failed = [], []
    for start in range(-2, len(texts), 2):
        inside = texts[max(start, 0) : start + 4]
        good = [int(text) for text in inside if text != "x"]
        wanted += [(start, rnn.Tagged(*a)._replace(input=str(a[0]))) for a in answers(NET, good)]
        failed += [start] * inside.count("x")
    with pipeline() as p:
        told = p | beam.Create(events).with_output_types(tuple[str, str])
        told |= beam.WindowInto(SlidingWindows(4, 2))
        tagged = told | rnn.Tag(NET, x=int)
        assert_that(tagged | "to rows" >> beam.Map(_started), equal_to(wanted), label="answers")
        bad = tagged.failed | "bad" >> beam.Map(_started) | beam.Keys()
        assert_that(bad, equal_to(failed), label="bad")


def _started(answer: Any, window: Any = beam.DoFn.WindowParam) -> tuple[int, Any]:
    """When the window of an answer started, and what was answered."""
    return int(window.start), answer[1]


def growing(x: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A step that keeps one number more for each 9 that it reads."""
    y = np.eye(2)[state[:, 0].astype(int) % 2]
    return y, np.concatenate([state + 1, x[x == 9][:, None]], axis=1) if 9 in x else state + 1


def test_a_step_model_whose_state_changes_its_shape_fails_its_events_alone() -> None:
    model = rnn.StepModel(growing, 1, 2, "1", ids=10, labels=["even", "odd"])
    events = [("a", 1), ("b", 2), ("a", 9), ("b", 3), ("a", 4)]
    with pipeline() as p:
        made = p | beam.Create(events) | beam.Map(lambda e: e).with_output_types(tuple[str, int])
        tagged = made | rnn.Tag(model)
        said = tagged | beam.MapTuple(lambda key, tag: (key, tag.input, tag.label))
        expected = [("a", 1, "even"), ("b", 2, "even"), ("b", 3, "odd"), ("a", 4, "odd")]
        assert_that(said, equal_to(expected), label="answers")
        reason = (
            "ModelError: the step gave state of shape (1, 2) and type float64, expected (1, 1) "
            "numbers"
        )
        assert_that(tagged.failed, equal_to([rnn.BadEvent("a", reason, 9)]), label="failed")


def test_a_sound_that_ends_before_its_first_frame_fails_alone() -> None:
    frames = Frames(8000, 4, 4)
    net = rnn.Network([rnn.Context(1, (4,)), rnn.Dense(np.ones((2, 5)), np.zeros(2))])
    chunks = [("short", b"\1\0\2\0"), ("long", b"\1\0\2\0"), ("long", b"\0\0" * 3), ("odd", b"\1")]
    with pipeline() as p:
        made = p | beam.Create(chunks) | beam.Map(lambda e: e).with_output_types(tuple[str, bytes])
        tagged = made | rnn.Tag(net, x=frames)
        said = tagged | beam.MapTuple(lambda key, tag: (key, tag.input))
        assert_that(said, equal_to([("long", 0.0)]), label="answers")
        expected = [
            ("short", "InputError: the sound ended after 2 samples, before its first frame of 4"),
            ("odd", "InputError: 1 bytes of sound, expected 2 for each sample"),
        ]
        failed = tagged.failed | beam.Map(lambda bad: (bad.stream, bad.reason))
        assert_that(failed, equal_to(expected), label="failed")
