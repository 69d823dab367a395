"""Strings of digits, how they are changed and counted, and the committed network."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile", reason="the extra apps is not installed")

import beam_rnn as rnn
from pipelines.speech import RATE, feature_of
from training import digits, voices
from training.digits import Recording, errors
from training.evaluate_speech import hear, word_error

MODEL = Path(__file__).parents[2] / "models" / "transcribe_speech.safetensors"


def recordings() -> list[Recording]:
    """Tones, one for each digit."""
    t = np.arange(3000) / RATE
    return [
        Recording(digit, speaker, index, np.sin(t * (1000 + 900 * digit)).astype(np.float32))
        for digit in range(10)
        for speaker in ("ann", "bob")
        for index in range(0, 20, 5)
    ]


@pytest.mark.parametrize(
    ("said", "heard", "wrong"),
    [
        ([], [], 0),
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 3], [], 3),
        ([], [4, 4], 2),
        ([1, 2, 3], [1, 3], 1),
        ([1, 2, 3], [0, 1, 2, 3], 1),
        ([1, 2, 3, 4], [2, 3, 5], 2),
    ],
)
def test_errors_are_counted(said: list[int], heard: list[int], wrong: int) -> None:
    assert errors(said, heard) == wrong


def test_the_official_split() -> None:
    splits = {one.index: one.split for one in recordings()}
    assert splits == {0: "test", 5: "validation", 10: "train", 15: "train"}


def test_strings_have_each_recording_once_a_round() -> None:
    strings = digits.strings_of(recordings(), seed=1, rounds=2, number=4)
    assert len(strings) == 2 * 2 * 10
    assert sorted(digit for _, said in strings for digit in said) == sorted([*range(10)] * 16)
    for sound, said in strings:
        assert len(said) == 4
        assert 4 * 3000 + 5 * 0.1 * RATE - 5 <= len(sound) <= 4 * 3000 + 5 * 0.5 * RATE
    again = digits.strings_of(recordings(), seed=1, rounds=2, number=4)
    assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(strings, again, strict=True))


def test_noise_is_as_loud_as_asked() -> None:
    draw = np.random.default_rng(0)
    tone = np.sin(np.arange(40_000) / 3).astype(np.float32)
    for decibels in (5, 20):
        added = digits.with_noise(tone, decibels, 1, draw) - tone
        ratio = 10 * np.log10(np.mean(tone**2) / np.mean(added**2))
        assert ratio == pytest.approx(decibels, abs=0.1)
    spectrum = np.abs(np.fft.rfft(digits.noise(1 << 16, 2, draw))) ** 2
    assert spectrum[1000:2000].mean() > 50 * spectrum[10_000:20_000].mean()


def test_training_strings_fit_and_differ() -> None:
    speakers = digits.by_speaker(recordings())
    assert [{one.speaker for one in own} for own in speakers] == [{"ann"}, {"bob"}]
    draw = np.random.default_rng(0)
    strings = [digits.training_string(speakers, 3.0, 0.3, [0.1, 0.5], draw) for _ in range(20)]
    assert all(rows.shape[1] == feature_of().width and len(rows) <= 100 for rows, _ in strings)
    assert all(1 <= len(said) <= len(rows) / 3 for rows, said in strings)
    assert len({rows.tobytes() for rows, _ in strings}) == 20
    rows = strings[0][0]
    hidden = digits.masked(rows, draw)
    assert hidden.shape == rows.shape
    assert ((hidden == rows) | (hidden == 0)).all()


def test_synthetic_voices_say_digits() -> None:
    if not (shutil.which("espeak-ng") and shutil.which("flite")):
        pytest.skip("espeak-ng and flite are not installed")
    short = voices.espeak("six", "en-us+m1", speed=250)
    long = voices.espeak("six", "en-us+m1", speed=110)
    assert 0.1 * RATE < len(short) < len(long) < RATE
    assert len(voices.flite("six", "slt", 0.8)) < len(voices.flite("six", "slt", 1.3)) < RATE
    for edge in (long[:80], long[-80:]):
        assert np.abs(edge).max() > 0.01 * np.abs(long).max()  # no silence around it


def test_what_the_network_says_of_itself() -> None:
    network = rnn.load(MODEL)
    assert network.labels is not None
    assert list(network.labels) == digits.LABELS
    assert network.input_shape == (feature_of().width,)
    assert network.card["test_word_error"] < 0.03
    assert network.card["cross_validated_word_error"] < 0.25


@pytest.mark.slow
def test_the_figures_of_the_card_and_of_both_pipelines(tmp_path: Path) -> None:
    if not digits.DATA.exists():
        pytest.skip(f"the spoken digits are not here: {digits.DATA}")
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipelines.transcribe_speech import main

    network = rnn.load(MODEL)
    test = [one for one in digits.read_recordings() if one.split == "test"]
    strings = digits.strings_of(test, seed=0)
    assert word_error(network, strings) == pytest.approx(network.card["test_word_error"], abs=1e-3)
    # 50 of them through the pipelines, live and in batch.
    strings = [
        ((np.clip(sound, -1, 1) * 32767).astype("<i2"), said) for sound, said in strings[:50]
    ]
    events = [
        {"stream": str(n), "time": at / RATE, "sound": sound[at : at + 800].tobytes()}
        for n, (sound, _) in enumerate(strings)
        for at in range(0, len(sound), 800)
    ]
    events.sort(key=lambda event: float(str(event["time"])))
    pq.write_table(pa.Table.from_pylist(events), tmp_path / "in.parquet")
    import base64

    with (tmp_path / "in.jsonl").open("w") as lines:
        for event in events:
            sound = base64.b64encode(event["sound"]).decode()  # type: ignore[arg-type]
            lines.write(json.dumps(event | {"sound": sound}) + "\n")
    figures = []
    for name, more in (("in.jsonl", []), ("in.parquet", ["--batch"])):
        output = tmp_path / f"out {name}"
        arguments = ["--input", str(tmp_path / name), "--output", str(output), "--no-view"]
        assert main([*arguments, *more]) == 0
        heard: dict[str, list[int]] = {}
        for line in (output / "words.jsonl").read_text().splitlines():
            word = json.loads(line)
            digit = digits.LABELS.index(f" {word['word']}") - 1
            heard.setdefault(word["stream"], []).append(digit)
        wrong = [errors(said, heard.get(str(n), [])) for n, (_, said) in enumerate(strings)]
        figures.append(sum(wrong) / sum(len(said) for _, said in strings))
        assert all(heard.get(str(n), []) == hear(network, s) for n, (s, _) in enumerate(strings))
    assert figures[0] == figures[1] < 0.06
