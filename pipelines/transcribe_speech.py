"""Which digits are said, and when? From recordings or a microphone, while they are heard.

    python -m beam_rnn transcribe-speech [--input PATH] [--output FOLDER] [options of Beam]

Reads a WAV or FLAC file, a folder of them that grows, 16-bit PCM on standard input (`-`), or JSON
lines with `stream`, `time` and `sound` (base64 of PCM). Writes texts/*.parquet (partial and final
texts), voice/*.parquet (the probability that somebody speaks), words.jsonl (each word with its
time), voice.jsonl (from when to when somebody speaks), speech.png, index.html and failed.jsonl.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import TimestampedValue

import beam_rnn as rnn
from pipelines import batch, job, sinks, sources, speech
from pipelines.application import Application, Rows, need
from pipelines.events import Failed, Observed
from pipelines.places import MODELS, SAMPLES
from pipelines.speech import Heard, Voice
from pipelines.texts import Seen, as_failed, by_stream, is_last

TEXTS, VOICE, WORDS, SPELLS, PICTURE = (
    "texts", "voice", "words.jsonl", "voice.jsonl", "speech.png",
)  # fmt: skip
VOICE_MODEL = MODELS / "silero_vad.safetensors"
FIELD = "sound"


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


def _live(pipeline: beam.Pipeline, arguments: argparse.Namespace) -> Rows:
    read = sources.ReadEvents(
        _lines(arguments), arguments.speed or None, arguments.until_idle, FIELD
    )
    events = pipeline | "Read" >> read
    streams = events | "ByStream" >> beam.Map(by_stream).with_output_types(tuple[str, Observed])
    return _rows(streams, events.failed, arguments)


def _batch(pipeline: beam.Pipeline, arguments: argparse.Namespace) -> Rows:
    events = pipeline | "Read" >> batch.ReadEvents(arguments.input, FIELD)
    streams = events | "InTime" >> beam.Map(_in_time).with_output_types(tuple[str, Observed])
    return _rows(streams, events.failed, arguments)


def _rows(streams: Any, unread: Any, arguments: argparse.Namespace) -> Rows:
    from pipelines.recordings import samples_of

    network, feature = network_of(arguments.model), speech.feature_of(arguments.rate)
    texts = streams | "Transcribe" >> rnn.Transcribe(
        arguments.model,
        x=Seen(feature, samples_of),
        end=is_last,
        decoder=decoder_of(network),
        seconds=feature.seconds,
    )
    voice = streams | "Voice" >> rnn.Tag(
        str(VOICE_MODEL), x=Seen(speech.voice_of(arguments.rate), samples_of), end=is_last
    )
    # What one of both cannot hear, the other cannot either: told once.
    unheard = texts.failed | "Unheard" >> beam.Map(_as_failed).with_output_types(Failed)
    return {
        TEXTS: texts | "Texts" >> beam.Map(_as_heard).with_output_types(Heard),
        VOICE: voice | "Voices" >> beam.Map(_as_voice).with_output_types(Voice),
    }, (unread, unheard)


def _lines(arguments: argparse.Namespace) -> sources.Lines:
    from pipelines.recordings import Microphone, Recordings

    if arguments.input == "-":
        return Microphone(arguments.rate)
    if _is_lines(arguments):
        return sources.File(arguments.input)
    return Recordings(arguments.input, arguments.rate)


def _is_lines(arguments: argparse.Namespace) -> bool:
    return Path(arguments.input).suffix.lower() in (".jsonl", ".json")


def _in_time(item: tuple[str, tuple[int, Observed]]) -> Any:
    stream, (_, event) = item
    return TimestampedValue((stream, event), event.time)


def _as_heard(said: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Heard:
    stream, text = said
    return Heard(
        stream, time.micros, text.step, text.text, text.final, text.score, text.start, text.end,
        list(text.times),
    )  # fmt: skip


def _as_voice(tagged: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Voice:
    stream, answer = tagged
    return Voice(stream, time.micros, answer.step, float(answer.input), float(answer.score))


def _as_failed(bad: Any) -> Failed:
    """What could not be heard; of the samples the beginning."""
    failed = as_failed(bad)
    return failed._replace(input=failed.input[:200])


def _check(arguments: argparse.Namespace) -> None:
    need("soundfile", "soundfile")
    need("scipy", "SciPy")
    need("matplotlib", "Matplotlib")
    from pipelines.recordings import check_recording

    if not 1_000 <= arguments.rate <= 384_000:
        raise job.Refused(f"--rate is {arguments.rate}: give the samples per second of the sound")
    if arguments.batch or arguments.input == "-" or _is_lines(arguments):
        return
    if not Path(arguments.input).is_dir():
        try:
            check_recording(arguments.input, arguments.rate)
        except ValueError as error:
            raise job.Refused(f"the input {arguments.input} is {error}") from None


def _columns(folder: Path, row: type, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Some columns of the rows in a folder, in their order."""
    parts = list(sinks.read_parts(folder, sinks.schema_of(row)))
    table = pa.concat_tables(parts) if parts else sinks.schema_of(row).empty_table()
    yield from zip(*(table.column(name).to_pylist() for name in names), strict=True)


def _finish(arguments: argparse.Namespace, output: Path) -> list[str]:
    words: dict[str, list[tuple[float, str]]] = {}
    for stream, text, final, times in _columns(
        output / TEXTS, Heard, ("stream", "text", "final", "times")
    ):
        if final:
            words.setdefault(stream, []).extend(zip(times, text.split(), strict=True))
    tracks: dict[str, list[tuple[float, float]]] = {}
    for stream, start, score in _columns(output / VOICE, Voice, ("stream", "start", "score")):
        tracks.setdefault(stream, []).append((start, score))
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
        speech.draw(output / PICTURE, arguments.rate, words, tracks, _sounds(arguments))
    said = sum(map(len, words.values()))
    spoken = sum(stop - start for own in spells.values() for start, stop in own)
    return [f"{len(tracks):,} streams, {said:,} words, {spoken:,.1f} s in which somebody speaks"]


def _write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))


def _sounds(arguments: argparse.Namespace) -> dict[str, Any]:
    """The beginnings of the recordings that were read, for the picture."""
    from pipelines.recordings import Recordings, sound_in

    lines = None if arguments.batch else _lines(arguments)
    if not isinstance(lines, Recordings):
        return {}
    return {
        Path(path).name: sound_in(path, arguments.rate, speech.SECONDS)
        for path in lines.paths()[: 4 * speech.STREAMS]
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
    live=_live,
    batch=_batch,
    finish=_finish,
    files=(WORDS, SPELLS, PICTURE),
    check=_check,
    options=_options,
    tell=_tell,
    look=speech.LOOK,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the job; returns its exit code: 0, 2 if it could not start, 130 if it was aborted."""
    return APPLICATION.main(argv)


if __name__ == "__main__":
    sys.exit(main())
