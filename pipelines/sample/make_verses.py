"""Makes verses.jsonl, the committed sample: chapters of the Bible that training never saw.

    python pipelines/sample/make_verses.py

The text is read from a Debian package (see training/verses.py): the same package gives the same
file, to the byte.
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a file

from training import verses

VERSES = 2  # of a chapter, the first ones of a length that is common
CHARACTERS_PER_SECOND = 15.0
SEED = 20260105


def main() -> None:
    """Writes the file beside this one."""
    draw = random.Random(SEED)
    splits = verses.read()
    begins: dict[str, int] = {}  # the first chapter of each book
    for verse in sorted((*splits.train, *splits.valid, *splits.test), key=lambda v: v.chapter):
        begins.setdefault(verse.book, verse.chapter)
    chapters: dict[tuple[int, str], list[str]] = {}
    for verse in (*splits.test, *splits.valid):
        if 30 <= len(verse.english.text) <= 140:
            chapters.setdefault((verse.chapter, verse.book), []).append(verse.english.text)
    events = []
    for (chapter, book), texts in sorted(chapters.items()):
        time = draw.uniform(0, 20)
        stream = f"{book} {chapter - begins[book] + 1}"
        for text in texts[:VERSES]:
            line = text + "\n"
            while line:
                size = draw.randint(18, 70)
                piece, line = line[:size], line[size:]
                time += len(piece) / CHARACTERS_PER_SECOND
                events.append({"stream": stream, "time": round(time, 2), "text": piece})
    events.sort(key=lambda event: event["time"])
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    Path(__file__).with_name("verses.jsonl").write_text(lines, "utf-8")


if __name__ == "__main__":
    main()
