"""The image and the template that run an application elsewhere, as far as they can be checked."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest

from pipelines import sinks, tag_names
from pipelines.deploy.flex_template import FLAGS, arguments_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "pipelines" / "deploy"
METADATA = (DEPLOY / "tag_names.metadata.json").read_text()
PARAMETERS = {parameter["name"]: parameter for parameter in json.loads(METADATA)["parameters"]}


def test_the_metadata_are_those_of_a_template() -> None:
    schema = json.loads(Path(__file__).with_name("flex_template.schema.json").read_text())
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    checker.validate(json.loads(METADATA))
    with pytest.raises(jsonschema.ValidationError, match="'helpText' is a required property"):
        checker.validate({"name": "n", "parameters": [{"name": "input", "label": "Input"}]})


def test_parameters_are_options_of_the_job() -> None:
    options = tag_names.APPLICATION.parser()._option_string_actions
    for name in PARAMETERS:
        assert (options[f"--{name}"].nargs == 0) == (name in FLAGS)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("input", "kafka://host:9092/texts", "texts.jsonl"),
        ("output", "gs://bucket/names", "names"),
        ("model", "gs://bucket/names.safetensors", "names.pkl"),
        ("batch", "true", "yes"),
    ],
)
def test_what_a_parameter_may_be(name: str, good: str, bad: str) -> None:
    (pattern,) = PARAMETERS[name]["regexes"]
    assert re.search(pattern, good)
    assert not re.search(pattern, bad)


def test_flags_have_no_value_behind_the_launcher() -> None:
    given = ["--input=gs://b/texts", "--batch=true", "--kafka-java=false", "--runner=R"]
    assert arguments_of(given) == ["--input=gs://b/texts", "--batch", "--runner=R"]


def test_the_template_starts_the_job(tmp_path: Path) -> None:
    texts = tmp_path / "texts.jsonl"
    text = {"stream": "a", "time": "2026-01-02T03:04:05Z", "text": "Ann Lee left.", "end": True}
    texts.write_text(json.dumps(text) + "\n")
    given = [f"--input={texts}", f"--output={tmp_path / 'out'}", "--overwrite=true"]
    assert tag_names.main(["--no-view", *arguments_of(given)]) == 0
    parts = sinks.read_parts(tmp_path / "out" / tag_names.WORDS)
    labels = {row["token"]: row["label"] for part in parts for row in part.to_pylist()}
    assert labels == {"Ann": "I-PER", "Lee": "I-PER", "left": "O", ".": "O"}


def test_the_image_is_made_of_what_is_there() -> None:
    image = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    copied = [line.split()[1:-1] for line in re.findall("^COPY (?!--from).*", image, re.MULTILINE)]
    assert copied
    for names in copied:
        for name in names:
            assert (ROOT / name).exists(), name
    said = set(re.findall(r"(?:_sdk:|apache-beam\[gcp\]==)([\d.]+)", image))
    assert said == {version("apache-beam")}
    entry = re.search(r"FLEX_TEMPLATE_PYTHON_PY_FILE=/opt/beam_rnn/(\S+)", image)
    assert entry is not None
    assert (ROOT / entry[1]).is_file()
