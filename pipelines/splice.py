"""Splice sites: each GT and AG of a read with the 30 bases on either side, classified."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

import beam_rnn as rnn
from beam_rnn.features import SpliceWindow
from beam_rnn.features.dna import encode
from beam_rnn.report import Kind, Piece, Section
from pipelines import sinks
from pipelines.events import FAILED, Event, Failed, WithFailed
from pipelines.genes import write_gff
from pipelines.pages import Look

FOLDER, FILE = "sites", "sites.gff3"
TYPES = {"donor": "five_prime_cis_splice_site", "acceptor": "three_prime_cis_splice_site"}
SURE = 0.99  # of what is written to the GFF3 file: most GT and AG are no site
_HALF = SpliceWindow.bases // 2


class Site(NamedTuple):
    """A row of the output: one place. ``time`` is in microseconds since 1970."""

    stream: str
    time: int
    place: int  # bases before the boundary between exon and intron
    label: str  # donor, acceptor or none
    score: float


def windows(text: str) -> Iterator[tuple[int, str]]:
    """(bases before it, 60 bases around it) of each boundary before a GT or after an AG."""
    text = text.upper().replace("U", "T")
    for place in range(_HALF, len(text) - _HALF + 1):
        if text[place : place + 2] == "GT" or text[place - 2 : place] == "AG":
            yield place, text[place - _HALF : place + _HALF]


class _Windows(beam.DoFn):
    """(stream, event) -> (stream and place, window); Failed on its own output."""

    def process(self, keyed: tuple[str, Event]) -> Iterator[Any]:
        _, event = keyed
        text = "".join(event.text.split())
        try:
            encode(text)
            if 0 < len(text) < SpliceWindow.bases:
                raise ValueError(f"a read of {len(text)} bases, expected {SpliceWindow.bases}")
        except ValueError as error:
            yield TaggedOutput(FAILED, Failed(event.stream, str(error), event.text))
            return
        for place, window in windows(text):
            yield f"{event.stream}\t{place}", window


def find(events: Any, model: str) -> tuple[dict[str, Any], list[Any]]:
    """Adds the search: PCollection[tuple[str, Event]] -> the rows of FOLDER, and what failed."""
    cut = events | "Windows" >> WithFailed(_Windows(), tuple[str, str])
    sites = cut | "Classify" >> rnn.Classify(model, x=SpliceWindow(), end=_whole)
    rows = sites | "Sites" >> beam.Map(_as_site).with_output_types(Site)
    return {FOLDER: rows}, [cut.failed]


def _whole(window: str) -> bool:
    return True


def _as_site(classified: tuple[str, Any], time: Any = beam.DoFn.TimestampParam) -> Site:
    stream, _, place = classified[0].rpartition("\t")
    answer = classified[1]
    return Site(stream, time.micros, int(place), answer.label, float(answer.score))


def _is_sure(site: Site) -> bool:
    return site.label in TYPES and site.score >= SURE


def _section(stream: str, sites: Sequence[Site]) -> Section:
    """What a page shows of a read: its sure sites."""
    sure = list(filter(_is_sure, sites))
    pieces = []
    for site in sure:
        pieces += [Piece(f"{site.place:,} "), Piece(site.label, site.label, f"{site.score:.3f}")]
        pieces.append(Piece("\n"))
    return Section(stream, pieces, f"{len(sites):,} places, {len(sure):,} sure sites")


LOOK = Look(
    title="Splice sites",
    lead=f"Places where the network is surer than {SURE}, by the bases before them.",
    kinds=[Kind("donor", "donors", "donor"), Kind("acceptor", "acceptors", "acceptor")],
    section=_section,
    rows="places",
)


def finish(given: argparse.Namespace, output: Path) -> list[str]:
    """Writes the sure sites as GFF3; says how many there are."""
    sites = list(sinks.read_rows(output / FOLDER, Site))
    sure = list(filter(_is_sure, sites))
    lines = []
    for site in sorted(sure, key=lambda site: (site.stream, site.place)):
        first = site.place + 1 if site.label == "donor" else site.place - 1  # GT, AG
        where = [str(first), str(first + 1), f"{site.score:.3f}", "+", "."]
        columns = [site.stream, "beam_rnn", TYPES[site.label], *where]
        lines.append("\t".join([*columns, f"ID=site{len(lines) + 1}"]))
    write_gff(output / FILE, lines)
    return [f"{len(sites):,} places with GT or AG, {len(sure):,} sure sites"]
