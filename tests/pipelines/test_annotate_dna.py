"""DNA end to end, with the committed weights: files, reads as they come, the batch twin."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import fasta, sinks
from pipelines.annotate_dna import APPLICATION, Base, main, sequences_of, tagger_of
from pipelines.splice import Site
from tests.pipelines.twins import live_and_batch

pytest.importorskip("Bio", reason="the extra apps is not installed")
pytest.importorskip("matplotlib", reason="the extra apps is not installed")


def run(*arguments: str, output: Path) -> int:
    return main(["--output", str(output), "--no-view", *arguments])


def rows_of(folder: Path, row: type) -> list[dict[str, Any]]:
    parts = sinks.read_parts(folder, sinks.schema_of(row))
    rows = [r for part in parts for r in part.to_pylist()]
    return sorted(rows, key=lambda r: tuple(r.values())[:3])


@pytest.fixture(scope="module")
def records() -> list[fasta.Record]:
    return list(fasta.read_records(str(APPLICATION.sample)))


def as_fasta(records: list[fasta.Record]) -> str:
    return "".join(f">{record.name} x\n{record.text}\n" for record in records)


def events_of(path: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    sequences, ended = fasta.Sequences(path), False
    while not ended:
        lines, ended = sequences.read({path: len(events)}, False)
        events += [json.loads(line.data) for line in lines]
    return events


def test_the_sample_is_many_contigs_that_know_their_genes(records: list[fasta.Record]) -> None:
    assert len(records) == 56
    assert sum(len(record.text) for record in records) == 62_500
    assert all(record.known for record in records[:1])


@pytest.mark.slow
def test_live_and_batch_give_the_track_of_unroll_to_the_bit(
    tmp_path: Path, records: list[fasta.Record], capsys: pytest.CaptureFixture[str]
) -> None:
    few = [fasta.Record(r.name, r.text[:150], []) for r in records[1:]]  # 55 streams
    few.append(fasta.Record("long", records[0].text[:2_500], []))  # in three pieces
    source, archive = tmp_path / "in.fa", tmp_path / "in.parquet"
    source.write_text(as_fasta(few))
    pq.write_table(pa.Table.from_pylist(events_of(str(source))), archive)
    assert run("--input", str(source), output=tmp_path / "live") == 0
    assert run("--batch", "--input", str(archive), output=tmp_path / "batch") == 0
    live, batch = (rows_of(tmp_path / name / "bases", Base) for name in ("live", "batch"))
    assert live == batch  # floats too: no tolerance
    network, feature = tagger_of(str(APPLICATION.model))
    found = {name: rest for name, *rest in sequences_of(tmp_path / "live" / "bases")}
    assert sorted(found) == sorted(record.name for record in few)
    for record in few:
        text, labels, scores = found[record.name]
        pairs, memory = feature._feature.feed(record.text)
        y, _ = network.unroll(np.stack([x for _, x in pairs + feature._feature.finish(memory)]))
        assert text == record.text
        assert network.labels is not None
        assert labels == [network.labels[k] for k in y.argmax(axis=1)]
        np.testing.assert_array_equal(scores, y.max(axis=1))
    assert "10,750 bases" in capsys.readouterr().out
    assert (tmp_path / "live" / "track.png").stat().st_size > 10_000


def test_genes_are_found(tmp_path: Path, records: list[fasta.Record]) -> None:
    source = tmp_path / "in.fasta.gz"
    part = fasta.Record("contig", records[0].text[2_600:5_700], [])
    source.write_bytes(gzip.compress(as_fasta([part]).encode()))
    assert run("--input", str(source), output=tmp_path / "out") == 0
    lines = (tmp_path / "out" / "genes.gff3").read_text().splitlines()
    assert lines[0] == "##gff-version 3"
    columns = [line.split("\t") for line in lines[1:]]
    found = {(c[6], int(c[4])) for c in columns}  # the strand and the last base of the stop codon
    known = {(k.strand, k.stop - 2_600) for k in records[0].known if 2_600 < k.start < 5_100}
    assert len(known) == 3
    assert known <= found


def test_reads_that_come_in_pieces(tmp_path: Path, records: list[fasta.Record]) -> None:
    text = records[1].text[:400]
    events = [
        {"stream": "read", "time": t, "text": text[at : at + 90]}
        for t, at in enumerate(range(0, 400, 90))
    ]
    bad = [{"stream": "read", "time": 1, "text": "MKVL"}, {"stream": "other", "time": 1}]
    mixed = [events[0], *bad, *events[1:]]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(event) + "\n" for event in mixed))
    assert run("--input", str(source), output=tmp_path / "out") == 0
    ((name, bases, _, _),) = sequences_of(tmp_path / "out" / "bases")
    assert (name, bases) == ("read", text)
    failed = [json.loads(x) for x in (tmp_path / "out" / "failed.jsonl").read_text().splitlines()]
    (letters, field) = sorted(row["reason"] for row in failed)
    assert "'L' at place 4 is no nucleotide" in letters
    assert field == "has no text"
    pq.write_table(pa.Table.from_pylist(mixed), tmp_path / "in.parquet")
    archive = str(tmp_path / "in.parquet")
    assert run("--batch", "--input", archive, output=tmp_path / "batch") == 0
    live, batch = (rows_of(tmp_path / name / "bases", Base) for name in ("out", "batch"))
    assert live == batch
    told = (tmp_path / "batch" / "failed.jsonl").read_text()
    assert letters in told
    assert field in told


def test_letters_that_stand_for_several_are_read(tmp_path: Path) -> None:
    text = "ACGTRYKMSWBDHVNacgtryn-." * 3
    source = tmp_path / "in.fasta"
    source.write_text(f">codes\n{text.replace('-.', '')}\n")
    assert run("--input", str(source), output=tmp_path / "out") == 0
    ((_, bases, labels, scores),) = sequences_of(tmp_path / "out" / "bases")
    assert bases.upper() == text.replace("-.", "").upper()
    assert len(labels) == len(scores) == len(bases)
    assert (tmp_path / "out" / "failed.jsonl").read_text() == ""


def test_splice_sites_of_reads(tmp_path: Path) -> None:
    # a strong donor: exon, GTAAGT, intron
    text = "GCTGAGGAGCTGGCCAAGGACCTGGAGCAG" + "GTAAGTGGGCAGGGCTGGGGGCTCCTGGGG"
    reads = [
        {"stream": "a", "time": 1, "text": text, "end": True},
        {"stream": "short", "time": 1, "text": "ACGT", "end": True},
        {"stream": "n", "time": 1, "text": text.replace("GGGCAGGG", "NNNCAGNN"), "end": True},
    ]
    outputs = live_and_batch(run, tmp_path, reads, "--splice")
    live, batch = (rows_of(output / "sites", Site) for output in outputs)
    assert live == batch
    assert [(row["stream"], row["place"], row["label"]) for row in live] == [
        ("a", 30, "donor"),
        ("n", 30, "donor"),
    ]
    assert "a read of 4 bases" in (tmp_path / "live" / "failed.jsonl").read_text()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.fa", b"", "holds no sequence in the format fasta"),
        ("text.fa", b"no sequence\n", "is no fasta file"),
        ("protein.fa", b">a\nACGT\n>b\nMKVLE\n", "sequence b: 'L' at place 4 is no nucleotide"),
        ("twice.fa", b">a\nACGT\n>a\nACGT\n", "names two sequences 'a'"),
        ("cut.fa.gz", gzip.compress(b">a\nACGT\n", mtime=0)[:-9], "cannot be read"),
        ("broken.gbk", b"LOCUS       x  4 bp DNA\nORIGIN\n", "no genbank file|holds no sequence"),
        ("binary.fa", b"\xff\xfe>a", "cannot be read"),
        ("missing.fa", None, "cannot be read"),
    ],
)
def test_a_file_that_is_none_says_why_in_one_line(
    name: str,
    content: bytes | None,
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert run("--input", str(tmp_path / name), output=tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert err.startswith("annotate-dna: ")
    assert err.count("\n") == 1
    assert any(part in err for part in says.split("|"))
    assert not (tmp_path / "out").exists()


def test_another_network_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = APPLICATION.model.with_name("tag_names.safetensors")
    assert run("--model", str(other), output=tmp_path / "out") == 2
    assert "is no annotator of DNA" in capsys.readouterr().err
