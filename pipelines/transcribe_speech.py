"""Which digits are said, and when? From recordings or a microphone, while they are heard.

    python -m beam_rnn transcribe-speech [--input PATH] [--output FOLDER] [options of Beam]

Reads a WAV or FLAC file, a folder of them that grows, 16-bit PCM on standard input (`-`), JSON
lines with `stream`, `time` and `sound` (base64 of PCM), or a topic of Kafka: there the key is the
stream, a value a chunk of PCM, and a record without a value ends its stream. Writes texts/*.parquet
(partial and final texts), voice/*.parquet (the probability that somebody speaks), words.jsonl (each
word with its time), voice.jsonl (from when to when somebody speaks), speech.png, index.html and
failed.jsonl.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam

import beam_rnn as rnn
from pipelines import job, sinks, sources, speech
from pipelines.application import Application, Rows, View
from pipelines.places import MODELS, SAMPLES
from pipelines.speech import Heard, Voice
from pipelines.texts import Seen, is_last

TEXTS, VOICE, WORDS, SPELLS, PICTURE = (
    "texts", "voice", "words.jsonl", "voice.jsonl", "speech.png",
)  # fmt: skip
VOICE_MODEL = MODELS / "silero_vad.safetensors"


def network_of(path: str) -> rnn.Network:
    """A network that hears digits.

    Raises:
      rnn.WeightsError: the file cannot be read.
      rnn.ModelError: it holds another kind of network.
    """
    network = rnn.load(path)
    if network.input_shape != (speech.feature_of().width,) or "" not in (network.labels or ()):
        raise rnn.ModelError(
            f"{path} hears no speech: it needs {speech.feature_of().width} numbers and a blank, "
            f"got {network.input_shape}"
        )
    return network


def decoder_of(network: rnn.Network) -> rnn.CTC:
    """The best path: a label is a word."""
    return rnn.CTC(network.labels or (), width=1)


def _answer(events: Any, given: argparse.Namespace) -> Rows:
    from pipelines.recordings import samples_of

    network, feature = network_of(given.model), speech.feature_of(given.rate)
    texts = events | "Transcribe" >> rnn.Transcribe(
        given.model,
        x=Seen(feature, samples_of),
        end=is_last,
        expire_after=given.expire_after,
        decoder=decoder_of(network),
        seconds=feature.seconds,
    )
    voice = events | "Voice" >> rnn.Tag(
        str(VOICE_MODEL),
        x=Seen(speech.voice_of(given.rate), samples_of),
        end=is_last,
        expire_after=given.expire_after,
    )
    return {
        TEXTS: texts | "Texts" >> beam.Map(_as_heard).with_output_types(Heard),
        VOICE: voice | "Voices" >> beam.Map(_as_voice).with_output_types(Voice),
    }, [texts.failed]  # what one of both cannot hear, the other cannot either: told once


def _recordings(given: argparse.Namespace) -> Any:
    """The recordings that the input names, or None where it is something else."""
    from pipelines.recordings import Recordings

    lines = Path(given.input).suffix.lower() in (".jsonl", ".json")
    if given.batch or given.input == "-" or lines or not job.is_here(given.input):
        return None
    return Recordings(given.input, given.rate)


def _lines(given: argparse.Namespace) -> sources.Lines:
    from pipelines.recordings import Microphone

    if given.input == "-":
        return Microphone(given.rate)
    return _recordings(given) or sources.lines_of(given.input)


def _as_heard(said: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Heard:
    stream, text = said
    return Heard(
        stream, time.micros, text.step, text.text, text.final, text.score, text.start, text.end,
        list(text.times),
    )  # fmt: skip


def _as_voice(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Voice:
    stream, answer = tagged
    return Voice(stream, time.micros, answer.step, float(answer.input), float(answer.score))


def _check(given: argparse.Namespace) -> None:
    if not 1_000 <= given.rate <= 384_000:
        raise job.Refused(f"--rate is {given.rate}: give the samples per second of the sound")
    if recordings := _recordings(given):
        recordings.check()


def _finish(given: argparse.Namespace, output: Path) -> list[str]:
    words: dict[str, list[tuple[float, str]]] = {}
    for row in sinks.read_rows(output / TEXTS, Heard):
        if row.final:
            words.setdefault(row.stream, []).extend(zip(row.times, row.text.split(), strict=True))
    tracks: dict[str, list[tuple[float, float]]] = {}
    for row in sinks.read_rows(output / VOICE, Voice):
        tracks.setdefault(row.stream, []).append((row.start, row.score))
    spells = {stream: speech.spells_of(track) for stream, track in tracks.items()}
    _write(
        output / WORDS,
        (
            {"stream": stream, "time": round(at, 2), "word": word}
            for stream in sorted(words)
            for at, word in words[stream]
        ),
    )
    _write(
        output / SPELLS,
        (
            {"stream": stream, "start": round(start, 3), "stop": round(stop, 3)}
            for stream in sorted(spells)
            for start, stop in spells[stream]
        ),
    )
    if tracks:
        speech.draw(output / PICTURE, given.rate, words, tracks, _sounds(given))
    said = sum(map(len, words.values()))
    spoken = sum(stop - start for own in spells.values() for start, stop in own)
    return [f"{len(tracks):,} streams, {said:,} words, {spoken:,.1f} s in which somebody speaks"]


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


def _sounds(given: argparse.Namespace) -> dict[str, Any]:
    """The beginnings of the recordings that were read, for the picture."""
    from pipelines.recordings import sound_in

    recordings = _recordings(given)
    return {
        Path(path).name: sound_in(path, given.rate, speech.SECONDS)
        for path in (recordings.paths()[: 4 * speech.STREAMS] if recordings else [])
    }


def _tell(row: Any) -> str | None:
    if isinstance(row, Voice) or not row.text:
        return None
    return f"{row.stop:10.2f} s  {row.stream}  {row.text}{'' if row.final else ' …'}"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rate",
        type=int,
        default=speech.RATE,
        metavar="HERTZ",
        help=f"samples per second of the sound (default: {speech.RATE}); others are resampled",
    )


APPLICATION = Application(
    name="transcribe-speech",
    summary="Write down the digits that are said, while they are spoken.",
    inputs="a WAV or FLAC file, a folder of them that grows, - for 16-bit PCM on standard input, or"
    " JSON lines of sound",
    sample=SAMPLES / "digits.flac",
    model=MODELS / "transcribe_speech.safetensors",
    rows={TEXTS: Heard, VOICE: Voice},
    answer=_answer,
    lines=_lines,
    field=lambda given: "sound",
    raw=True,
    needs=[("soundfile", "soundfile"), ("scipy", "SciPy"), ("matplotlib", "Matplotlib")],
    check=_check,
    options=_options,
    finish=_finish,
    files=(WORDS, SPELLS, PICTURE),
    view=View(_tell),
    look=speech.LOOK,
)

main = APPLICATION.main
