"""Recomputes the figures of models/generate_music.safetensors, beside an n-gram model.

python training/evaluate_music.py models/generate_music.safetensors
"""

import argparse
import contextlib
import io
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import abcnotes
import numpy as np
from abcnotes import Note, Rest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import beam_rnn as rnn
from beam_rnn.features.tunes import Abc, bar_of, parted
from pipelines import generate_music
from pipelines.generate_music import TEMPERATURE
from pipelines.sinks import read_parts, schema_of
from training import tunes
from training.kneser_ney import NGrams

ORDER = 5
TUNES = 200
STREAMS, TOKENS = 50, 1_600  # that are drawn, and of each
RUN = 24  # characters: a longer run that training has, too, is copied


class Bits(NamedTuple):
    """What texts cost: the whole of them, and their notes without the fields before."""

    bits: float
    characters: int
    notes: float
    of_notes: int

    @property
    def each(self) -> float:
        """Bits per character."""
        return self.bits / self.characters

    def __str__(self) -> str:
        return f"{self.each:.3f} | {self.notes / self.of_notes:.3f}"


def bits_of(network: rnn.Network, texts: list[str]) -> Bits:
    """Of each token after those before it; a zero comes before the first.

    The bits of the tokens, over the characters of the texts.
    """
    reader = Abc(network.vocabulary or ())
    ids = [np.array([0, *reader.ids(text)]) for text in texts]
    total = notes = 0.0
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    for at in range(0, len(order), 128):
        own = order[at : at + 128]
        for i, (y, _) in zip(own, network.unroll_many([ids[i][:-1] for i in own]), strict=True):
            costs = -np.log2(y[np.arange(len(y)), ids[i][1:]])
            total += float(costs.sum())
            notes += float(costs[len(reader.ids(_fields(texts[i]))) :].sum())
    return Bits(total, sum(map(len, texts)), notes, sum(len(t) - len(_fields(t)) for t in texts))


def bits_of_ngrams(model: NGrams, texts: list[str]) -> Bits:
    """Likewise, character by character."""
    total = notes = 0.0
    for text in texts:
        costs = [-math.log2(p) for p in model.probabilities(text)]
        total += sum(costs)
        notes += sum(costs[len(_fields(text)) :])
    return Bits(total, sum(map(len, texts)), notes, sum(len(t) - len(_fields(t)) for t in texts))


def _fields(text: str) -> str:
    """Metre, unit and key."""
    return "\n".join(text.split("\n")[:3]) + "\n"


def generate(path: str, temperature: float, seed: int = 0) -> list[str]:
    """The first tunes of streams that begin with nothing, by the application; "" if none ended."""
    options = ["--more", str(TOKENS), "--temperature", str(temperature), "--seed", str(seed)]
    with tempfile.TemporaryDirectory() as folder:
        ticks = Path(folder, "ticks.jsonl")
        rows = [{"stream": f"{i:03}", "time": 0, "text": ""} for i in range(STREAMS)]
        ticks.write_text("".join(json.dumps(row) + "\n" for row in rows))
        output = Path(folder, "out")
        arguments = ["--input", str(ticks), "--output", str(output), "--model", path, "--no-view"]
        with contextlib.redirect_stdout(io.StringIO()):
            code = generate_music.main([*arguments, *options])
        assert code == 0, f"generate-music ended with {code}"
        drawn = list(read_parts(output / generate_music.DRAWN, schema_of(generate_music.Drawn)))
    found = [(row["stream"], row["abc"]) for part in drawn for row in part.to_pylist()]
    each = TUNES // STREAMS
    first: list[str] = []
    for _, text in sorted(found):
        ended = parted(text)[:-1][:each]  # the last one was cut
        first += [*ended, *[""] * (each - len(ended))]
    return first


class Parsed(NamedTuple):
    """What others say of a tune."""

    parses: bool  # in music21
    complete: bool  # and every bar has its length; beside the edge of a section it may be short


def parse(text: str) -> Parsed:
    """Reads a tune with music21, and adds up its bars with abcnotes.

    (The bars that music21 gives do not serve: it cuts those that are too long.)
    """
    from music21 import converter

    try:
        with contextlib.redirect_stderr(io.StringIO()):
            score = converter.parse(f"X:1\nT:tune\n{text}", format="abc")
            parses = bool(text) and bool(list(score.recurse().notes))
    except Exception:  # whatever it raises
        parses = False
    return Parsed(parses, parses and tunes.is_complete(text) and not _has_long_edge(text))


def _has_long_edge(text: str) -> bool:
    """Whether the first or the last bar is longer than a bar, which `is_complete` lets pass."""
    whole = bar_of("\n".join(text.split("\n")[:2]) + "\n")
    lengths = [
        sum(Fraction(*token.length) for token in bar if isinstance(token, Note | Rest))
        for bar in abcnotes.Tune(abc=f"X:1\nT:\n{text}", strict=False).bars
    ]
    lengths = [length for length in lengths if length]
    return max(lengths[0], lengths[-1]) > whole


def runs_of(texts: Iterable[str]) -> set[str]:
    """All runs of RUN + 1 characters of the notes of texts."""
    found = set()
    for text in texts:
        notes = text.split("\n", 3)[-1]
        found |= {notes[i : i + RUN + 1] for i in range(len(notes) - RUN)}
    return found


def copied(texts: list[str], runs: set[str]) -> tuple[float, float, int]:
    """(Share of texts with a run longer than RUN that is in training, share of characters in
    such runs, the longest stretch of them)."""
    with_run = inside = total = longest = 0
    for text in texts:
        notes = text.split("\n", 3)[-1]
        hits = np.zeros(len(notes) + 1, bool)
        for i in range(len(notes) - RUN):
            if notes[i : i + RUN + 1] in runs:
                hits[i : i + RUN + 1] = True
        here = 0
        for hit in hits:
            here = here + 1 if hit else 0
            longest = max(longest, here)
        with_run += bool(hits.any())
        inside += int(hits.sum())
        total += len(notes)
    return with_run / max(len(texts), 1), inside / max(total, 1), longest


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, default=tunes.FOLDER, help="where the package is")
    parser.add_argument("--valid", action="store_true", help="of the validation tunes")
    parser.add_argument("--temperature", type=float, default=TEMPERATURE)
    parser.add_argument("--no-ngrams", dest="ngrams", action="store_false")
    options = parser.parse_args()
    network = rnn.load(options.model)
    data = tunes.split(tunes.read(options.data)[0])
    held_out = data.valid if options.valid else data.test
    keys = tunes.keys_of(data.train)
    moved = [text for own in data.train for text in tunes.in_keys(own, keys)]
    print(f"{len(held_out)} tunes held out, {sum(map(len, held_out)):,} characters\n")
    print("| bits per character | whole | notes |\n|---|---|---|")
    bits = bits_of(network, held_out)
    print(f"| this network | {bits} |", flush=True)
    if options.ngrams:
        for name, texts in (("the same tunes", data.train), ("in all their keys", moved)):
            other = bits_of_ngrams(NGrams(texts, ORDER), held_out)
            under = 1 - bits.each / other.each
            print(f"| {ORDER}-grams, {name} | {other} |  {under:.1%} under it", flush=True)
    start = time.time()
    drawn = generate(options.model, options.temperature, seed=1 if options.valid else 0)
    print(f"\n{len(drawn)} tunes at {options.temperature:g}: {time.time() - start:.0f} s")
    original, transposed = runs_of(data.train), runs_of(moved)
    print("| | parse | bars complete | copied: tunes | characters | longest | in any key |")
    print("|---|---|---|---|---|---|---|")
    for name, texts in (("drawn", drawn), ("held out", held_out)):
        parsed = [parse(text) for text in texts]
        read, complete = (float(np.mean(column)) for column in zip(*parsed, strict=True))
        of_tunes, of_characters, longest = copied(texts, original)
        any_key = copied(texts, transposed)
        print(
            f"| {name} | {read:.1%} | {complete:.1%} | {of_tunes:.1%} | {of_characters:.2%} |"
            f" {longest} | {any_key[0]:.1%}, {any_key[1]:.2%}, {any_key[2]} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
