"""Transforms told by plain values: in Beam YAML, and what they refuse."""

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import yaml

import beam_rnn as rnn
from beam_rnn import external
from beam_rnn.features import TokenIds, Words
from tests.nn.translators import MODELS
from tests.nn.writers import WRITER
from tests.runners import harness
from tests.streams.tones import FRAMES, sound
from tests.streams.tones import network as hears
from tests.transforms.test_rows import fields
from tests.transforms.test_streams import NET

ROOT = Path(__file__).parents[1]
PROVIDERS = ROOT / "beam_rnn" / "providers.yaml"
RUNNER = harness.LOCAL["FnApiRunner"]()
LETTERS = "abcdefghij"


def models(folder: Path) -> dict[str, str]:
    """The paths of a model for each transform."""
    words = rnn.Network(WRITER.layers, vocabulary=list(LETTERS))
    made: dict[str, Any] = {"tag": NET, "words": words, "sound": hears()}
    made["translate"] = MODELS["Bahdanau"]
    paths = {name: str(folder / f"{name}.safetensors") for name in made}
    for name, model in made.items():
        rnn.save(model, paths[name])
    return paths


def collected(transform: beam.PTransform, rows: list[beam.Row]) -> list[dict[str, Any]]:
    """The rows that a transform makes of rows."""
    return RUNNER.collect(lambda p: p | beam.Create(rows) | transform | beam.Map(fields))


WORDS = [("ann", 1, 0, False), ("bob", 4, 0, False), ("ann", 3, 2, True), ("ann", 2, 1, False)]
WORD_ROWS = [beam.Row(who=who, word=word, seq=seq, last=last) for who, word, seq, last in WORDS]
TEXTS = [beam.Row(who="ann", text="abc"), beam.Row(who="bob", text="jig")]


@pytest.mark.parametrize(
    ("plain", "options", "python", "python_options", "on"),
    [
        (
            external.Tag,
            {"order": {"sequence": "seq"}, "end": "last", "emit": 2},
            rnn.Tag,
            {"order": rnn.by_sequence("seq"), "emit": rnn.every(2)},
            {"x": "word", "end": "last"},
        ),
        pytest.param(
            external.Classify,
            {"order": "event_time", "prefix": "of_"},
            rnn.Classify,
            {},
            {"x": "word", "prefix": "of_"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            external.Generate,
            {"feature": "TokenIds", "end": True, "limit": 5, "stop": "c", "seed": 3},
            rnn.Generate,
            {"x": TokenIds(LETTERS), "end": bool, "limit": 5, "stop": "c", "seed": 3},
            {"x": "text"},
            marks=pytest.mark.slow,
        ),
        (
            external.Translate,
            {
                "feature": {"type": "TokenIds", "config": {"vocabulary": LETTERS}},
                "end": True,
                "width": 3,
                "best": 2,
            },
            rnn.Translate,
            {"x": TokenIds(LETTERS), "end": bool, "width": 3, "best": 2},
            {"x": "text"},
        ),
        pytest.param(
            external.Transcribe,
            {
                "feature": {"type": "Frames", "config": {"rate": 8000, "size": 80, "hop": 80}},
                "decoder": {"width": 3},
                "endpoint": {"after_speech": 0.5},
            },
            rnn.Transcribe,
            {
                "x": FRAMES,
                "decoder": rnn.CTC(hears().labels or (), width=3),
                "endpoint": rnn.Endpoint(after_speech=0.5),
            },
            {"x": "sound"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_plain_values_say_the_same(
    plain: Any, options: Any, python: Any, python_options: Any, on: Any, tmp_path: Path
) -> None:
    names = {rnn.Generate: "words", rnn.Translate: "translate", rnn.Transcribe: "sound"}
    model = models(tmp_path)[names.get(python, "tag")]
    rows = {"word": WORD_ROWS, "text": TEXTS}.get(on["x"], [])
    rows = rows or [beam.Row(who=who, sound=sound(who).tobytes()) for who in ("ab", "cab")]
    told = collected(plain(model=model, stream="who", x=on["x"], **options), rows)
    assert len(told) > 1
    assert told == collected(rnn.OnRows(python(model, **python_options), stream="who", **on), rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "time"}, 'order is \'time\', expected "arrival", "event_time" or a mapping'),
        ({"order": {"late": 3}}, "expected {lateness: ...} or {sequence: ...}"),
        ({"feature": "Word"}, "feature is 'Word', expected a class of beam_rnn.features"),
        ({"feature": "Words"}, "the feature Words needs a vocabulary: the model has none"),
        ({"feature": {"type": "Frames", "config": {"rat": 3}}}, "feature Frames: .*'rat'"),
        ({"error_handling": {"to": "x"}}, "expected {output: name}"),
        ({"error_handling": "failed"}, "error_handling is 'failed', expected a mapping"),
        ({"emit": "often"}, "emit is 'often'"),
    ],
)
def test_values_are_checked(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    rnn.save(NET, path)
    with pytest.raises(rnn.OptionError, match=message):
        external.Tag(**{"model": str(path), "stream": "who", "x": "word"} | options)


def test_without_error_handling_a_bad_row_fails_the_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    rnn.save(NET, path)
    tag = external.Tag(model=str(path), stream="who", x="word")
    with pytest.raises(rnn.InputError, match=r"x has the id 12.*say error_handling"):
        collected(tag, [beam.Row(who="ann", word=12)])


@pytest.mark.slow
def test_a_pipeline_in_yaml(tmp_path: Path) -> None:
    """By the command, with the provider's file, and what fails in an output of its own."""
    main = pytest.importorskip("apache_beam.yaml.main")
    texts = [("ann", "Ann Lee left Lon"), ("bob", "no names"), ("ann", "don."), (None, "hm")]
    model = str(ROOT / "models" / "tag_names.safetensors")
    tag = {"model": model, "stream": "user", "x": "text", "feature": "Words"}
    failed = {"language": "python", "fields": {"text": "element.text", "why": "msg"}}
    transforms = [
        {
            "type": "Create",
            "config": {"elements": [{"user": user, "text": text} for user, text in texts]},
        },
        {
            "type": "RnnTag",
            "input": "Create",
            "config": {**tag, "error_handling": {"output": "failed"}},
        },
        {
            "type": "WriteToJson",
            "name": "Good",
            "input": "RnnTag",
            "config": {"path": str(tmp_path / "good")},
        },
        {"type": "MapToFields", "input": "RnnTag.failed", "config": failed},
        {
            "type": "WriteToJson",
            "name": "Bad",
            "input": "MapToFields",
            "config": {"path": str(tmp_path / "bad")},
        },
    ]
    spec = {
        "pipeline": {"transforms": transforms},
        "providers": [{"include": str(PROVIDERS)}],
    }
    file = tmp_path / "names.yaml"
    file.write_text(yaml.safe_dump(spec))
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    main.run([f"--yaml_pipeline_file={file}", f"--runner={runner}"])
    net = rnn.load(model)
    expected = RUNNER.collect(
        lambda p: p | beam.Create(texts[:3]) | rnn.Tag(net, x=Words(net.vocabulary))
    )
    assert written(tmp_path, "good") == sorted(
        [user, tagged.input.text, tagged.label, tagged.step] for user, tagged in expected
    )
    assert written(tmp_path, "bad") == [["hm", "InputError: the field user is null"]]


def written(folder: Path, name: str) -> list[Any]:
    rows = [
        json.loads(line)
        for path in folder.glob(f"{name}-*")
        for line in path.read_text().splitlines()
    ]
    return sorted([v for k, v in row.items() if k not in ("score", "before")] for row in rows)
