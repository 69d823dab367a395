"""Tunes of the music21 corpus: read, told apart, split, and moved into other keys."""

import hashlib
import itertools
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import abcnotes

from beam_rnn.errors import InputError
from beam_rnn.features import tunes
from beam_rnn.features.tunes import Key
from training import packages

FOLDER = packages.CACHE / "tunes"
MUSIC21 = "music21==10.5.1"
BOOKS = ("ryansMammoth", "oneills1850", "airdsAirs")
SHARED = 0.25  # of the runs of eight notes of the shorter of two tunes: then they are one tune
_RUN = 8
_STEPS = "CDEFGAB"


class Tune(NamedTuple):
    """A tune: its title, without what two books may spell differently, and its plain text."""

    title: str
    text: str


class Data(NamedTuple):
    """Plain texts to train on, to choose by, and to test on."""

    train: list[str]
    valid: list[str]
    test: list[str]


def read(folder: Path = FOLDER) -> tuple[list[Tune], Counter[str]]:
    """The tunes of the books, and how many were left out for which reason."""
    found, left = [], Counter[str]()
    with zipfile.ZipFile(packages.wheel(MUSIC21, folder)) as files:
        for name in sorted(files.namelist()):
            if name.endswith(".abc") and name.split("/")[2] in BOOKS:
                for tune in tunes.split(files.read(name).decode("utf-8", "replace")):
                    try:
                        found.append(Tune(title_of(tune), tunes.plain(tune)))
                    except InputError as error:
                        left[str(error)] += 1
    return found, left


def title_of(tune: str) -> str:
    """Its first title in small letters, without articles, kinds of dance and numbers."""
    title = re.search(r"^T:(.*)$", tune, re.MULTILINE)
    text = re.sub(r"[^a-z ]", "", (title[1] if title else "").lower().split("--")[0])
    drop = {
        "the",
        "a",
        "an",
        "reel",
        "jig",
        "hornpipe",
        "clog",
        "strathspey",
        "st",
        "nd",
        "setting",
    }
    return "".join(word for word in text.split() if word not in drop)


def runs_of(text: str) -> set[tuple[int, ...]]:
    """The runs of eight notes of a tune, as steps from note to note: the same in every key."""
    heights = []
    for letter, octave in re.findall(r"([A-Ga-g])([,']*)", text.split("\n", 3)[3]):
        up = octave.count("'") - octave.count(",") + letter.islower()
        heights.append(7 * up + _STEPS.index(letter.upper()))
    steps = [b - a for a, b in itertools.pairwise(heights)]
    return {tuple(steps[i : i + _RUN]) for i in range(len(steps) - _RUN + 1)}


def groups_of(found: list[Tune]) -> list[int]:
    """A number for each tune; tunes with one title, or that share their melody, have the same.

    Two tunes share their melody when a quarter of the runs of eight notes of the shorter one are
    in the other, whatever their keys. What is the same tune as a third is one with it.
    """
    parent = list(range(len(found)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    titles: dict[str, int] = {}
    for i, tune in enumerate(found):
        if tune.title:
            parent[root(i)] = root(titles.setdefault(tune.title, i))
    runs = [runs_of(tune.text) for tune in found]
    holders: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, own in enumerate(runs):
        for run in own:
            holders[run].append(i)
    shared: Counter[tuple[int, int]] = Counter()
    for who in holders.values():
        shared.update((a, b) for n, a in enumerate(who) for b in who[n + 1 :])
    for (a, b), count in shared.items():
        if count >= SHARED * min(len(runs[a]), len(runs[b])):
            parent[root(a)] = root(b)
    return [root(i) for i in range(len(found))]


def split(found: list[Tune]) -> Data:
    """A tenth of the groups is the test, a tenth for validation; a text occurs once."""
    data = Data([], [], [])
    seen: set[str] = set()
    names: dict[int, str] = {}
    for tune, group in zip(found, groups_of(found), strict=True):
        name = names.setdefault(group, tune.text)
        if tune.text not in seen:
            seen.add(tune.text)
            place = hashlib.blake2b(name.encode(), digest_size=2).digest()[0] * 10 // 256
            data[2 if place == 0 else 1 if place == 1 else 0].append(tune.text)
    return data


def is_complete(text: str) -> bool:
    """Whether all bars of a plain text have their length; those beside a section's edge may not."""
    issues = abcnotes.validate(f"X:1\nT:\n{text}")
    return not any("has length" in issue.message for issue in issues)


def key_of(text: str) -> Key:
    """The key of a plain text."""
    return Key.read(text.split("\n", 3)[2][2:])


def in_key(text: str, key: Key) -> str | None:
    """A plain text in another key of the same mode, at most a fourth away; None if out of reach.

    A note keeps its place in the scale, and by how much it is raised against the signature.
    """
    metre, unit, _, body = text.split("\n", 3)
    old = key_of(text)
    shift = (_STEPS.index(key.letter) - _STEPS.index(old.letter)) % 7
    shift -= 7 * (shift > 3)
    before, after = old.signature, key.signature

    def move(found: re.Match[str]) -> str:
        sign, letter, octave = found.groups()
        height = _STEPS.index(letter.upper()) + shift
        up = octave.count("'") - octave.count(",") + letter.islower() + height // 7
        name = _STEPS[height % 7]
        if sign:
            raised = _signs[sign] - before[letter.upper()] + after[name]
            sign = _spelled.get(raised, "?")
        return sign + (name.lower() + "'" * (up - 1) if up > 0 else name + "," * -up)

    moved = re.sub(r"([\^_=]{0,2})([A-Ga-g])([,']*)", move, body)
    if "?" in moved or re.search(r"[A-F],|,,|[d-g]'|''", moved):
        return None
    return f"{metre}\n{unit}\nK:{key}\n{moved}"


_signs = {"=": 0, "^": 1, "_": -1, "^^": 2, "__": -2}
_spelled = {value: sign for sign, value in _signs.items()}


def keys_of(texts: Iterable[str]) -> dict[str, list[Key]]:
    """The keys in which at least twenty tunes are, by mode."""
    counts = Counter(map(key_of, texts))
    keys: dict[str, list[Key]] = defaultdict(list)
    for key in sorted(counts):
        if counts[key] >= 20:
            keys[key.mode].append(key)
    return keys


def in_keys(text: str, keys: dict[str, list[Key]]) -> list[str]:
    """A tune as it is, and in the other keys of its mode."""
    own = key_of(text)
    moved = [in_key(text, key) for key in keys[own.mode] if key != own]
    return [text, *[other for other in moved if other is not None]]
