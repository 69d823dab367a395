"""DNA in files: FASTA and GenBank, perhaps packed, told as pieces of many sequences at once."""

import gzip
import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from beam_rnn import InputError
from beam_rnn.features.dna import encode
from pipelines.job import Refused, is_here
from pipelines.sources import Line, stopped

FORMATS = {
    **dict.fromkeys([".fa", ".fasta", ".fna", ".ffn"], "fasta"),
    **dict.fromkeys([".gb", ".gbk", ".gbff", ".genbank"], "genbank"),
}
PIECE = 1000  # bases that come at once; a second of event time
LINES_AT_ONCE = 32  # a row of a base is 1.6 KB: 50 MB


class Known(NamedTuple):
    """A coding region that the file tells of."""

    start: int  # of the first base, from 0
    stop: int  # behind the last one
    strand: str  # "+" or "-"


class Record(NamedTuple):
    """A sequence of a file."""

    name: str
    text: str
    known: list[Known]


def format_of(path: str) -> str | None:
    """Which format a path of this machine is of by its name, or None."""
    if not is_here(path):
        return None
    name = Path(path.removesuffix(".gz"))
    return FORMATS.get(name.suffix.lower())


@lru_cache(maxsize=2)
def read_records(path: str) -> tuple[Record, ...]:
    """The sequences of a file.

    Raises:
      Refused: it cannot be read, is empty or broken, names two sequences alike, or holds letters
        that are no nucleotides; the message says which.
    """
    from Bio import SeqIO

    try:
        data = Path(path).read_bytes()
        text = (gzip.decompress(data) if path.endswith(".gz") else data).decode("ascii")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Refused(f"the input {path} cannot be read ({error}): name another") from None
    kind = format_of(path) or "fasta"
    records: list[Record] = []
    try:
        for record in SeqIO.parse(io.StringIO(text), kind):
            letters = str(record.seq)
            encode(letters)
            records.append(Record(record.id, letters, _known(record)))
    except InputError as error:
        raise Refused(f"the input {path}, sequence {record.id}: {error}") from None
    except Exception as error:  # of a parser of text: whatever it is, the file is broken
        raise Refused(f"the input {path} is no {kind} file ({error})") from None
    if not any(record.text for record in records):
        raise Refused(f"the input {path} holds no sequence in the format {kind}")
    names = [record.name for record in records]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"the input {path} names two sequences {twice!r}")
    return tuple(records)


def _known(record: Any) -> list[Known]:
    return [
        Known(int(part.start), int(part.end), "+" if part.strand == 1 else "-")
        for feature in record.features
        if feature.type == "CDS"
        for part in feature.location.parts
    ]


@dataclass(frozen=True)
class Sequences:
    """The sequences of a file as JSON lines of events; see ``pipelines.sources.Lines``.

    Attributes:
      path: of the file.
      piece: bases of an event, or None: a sequence is one event.
    """

    path: str
    piece: int | None = PIECE

    def read(self, offsets: dict[str, int], closing: bool) -> tuple[list[Line], bool]:
        """Reads on; see ``Lines``."""
        if stopped():
            return [], True
        lines = _lines(self.path, self.piece)
        first = offsets.get(self.path, 0)
        now = lines[first : first + LINES_AT_ONCE]
        return [Line(self.path, first + i, data) for i, data in enumerate(now, 1)], not now


@lru_cache(maxsize=2)
def _lines(path: str, piece: int | None) -> list[bytes]:
    """All events in the order of their times: the sequences are told at the same time."""
    events = []
    for record in read_records(path):
        size = piece or max(len(record.text), 1)
        for at in range(0, max(len(record.text), 1), size):
            end = at + size >= len(record.text)
            text = record.text[at : at + size]
            fields = {"stream": record.name, "time": at // size, "text": text, "end": end}
            events.append((at // size, json.dumps(fields).encode()))
    return [data for _, data in sorted(events, key=lambda event: event[0])]
