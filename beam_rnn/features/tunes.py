"""Tunes in ABC notation: one plain spelling, and the tokens that it is made of."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from beam_rnn.errors import InputError

__all__ = [
    "LINES",
    "Abc",
    "Key",
    "bar_of",
    "closed",
    "is_token",
    "plain",
    "split",
    "tokens",
    "units_of",
]

LINES = frozenset({"|", "||", "|:", ":|", "::", "|]", "|1", "|2", ":|2"})
"""The tokens that are bar lines."""

_MODES = {"": 0, "m": -3, "dor": -2, "mix": -1, "lyd": 1, "phr": -4, "loc": -5}  # sharps
_SAME = {"maj": "", "ion": "", "min": "m", "aeo": "m"}
_FIFTHS = "FCGDAEB"
_STEPS = "CDEFGAB"
_IN_TIME_OF = {2: 3, 3: 2, 4: 3, 5: 2, 6: 2, 7: 2, 8: 3, 9: 2}
"""So many notes of a tuplet are played in the time of how many."""

_NOTE = r"(?P<sign>[\^_=]{0,2})(?P<letter>[A-Ga-gzx])(?P<octave>[,']*)(?P<length>\d*/*\d*)"
_BAR = r"(?P<bar>:*(?:\[\|\]?|\|+\]?)[|:\]]*|::+)\s*(?P<ending>\[?[1-9](?:[,-][1-9])*)?|\[[1-9]"
_PIECES = re.compile(
    rf"""
      (?P<drop>"[^"]*" | ![^!\n]*! | \+[^+\n]*\+ | \{{[^}}]*\}} | %[^\n]*)
    | \[(?P<field>[A-Za-z]):[^\]\n]*\]
    | {_BAR}
    | \[(?P<chord>[^\]|\n]*)\](?P<times>\d*/*\d*)
    | \((?P<tuplet>[2-9])(?P<form>(?::\d*){{0,2}})
    | {_NOTE}
    | (?P<dotted>>+|<+)
    | (?P<tie>-)
    | (?P<skip>[\s().~H-Wh-wuvy`\\*$&;!]+?)
    """,
    re.VERBOSE,
)
_TOKENS = re.compile(
    r"M:[^\n]+\nL:[^\n]+\n|K:[^\n]+\n|:\|2|\|1|\|2|::|:\||\|:|\|\||\|\]|\|"
    r"|\([2-9]|[\^_=]{0,2}[A-Ga-g][,']*|z|\d*/\d*|\d+|>+|<+|-|\n"
)


class Key(NamedTuple):
    """A key: the letter of its tonic, how many sharps stand at it (flats below 0), its mode."""

    letter: str
    sharp: int
    mode: str

    @property
    def sharps(self) -> int:
        """Sharps of its signature; flats count below zero."""
        return _FIFTHS.index(self.letter) - 1 + 7 * self.sharp + _MODES[self.mode]

    @property
    def signature(self) -> dict[str, int]:
        """By how many semitones each letter is raised."""
        order = _FIFTHS if self.sharps > 0 else _FIFTHS[::-1]
        one = 1 if self.sharps > 0 else -1
        count = abs(self.sharps)
        return {letter: one * ((count + 6 - order.index(letter)) // 7) for letter in _FIFTHS}

    def __str__(self) -> str:
        return self.letter + "#" * self.sharp + "b" * -self.sharp + self.mode

    @classmethod
    def read(cls, text: str) -> Key:
        """What a field ``K:`` says; raises InputError for what is no key."""
        found = re.match(r"([A-G])([#b]?)\s*([A-Za-z]*)", text.strip())
        if found:
            mode = found[3].lower()[:3] if found[3] != "M" else ""
            mode = _SAME.get(mode, mode)
            if mode in _MODES:
                return cls(found[1], {"#": 1, "b": -1, "": 0}[found[2]], mode)
        raise InputError(f"K:{text.strip()[:20]} is no key that is known")


def length_of(text: str) -> Fraction:
    """The length that stands behind a note, in units: "" is one, "/" a half, "3/2" ..."""
    above, slash, below = text.partition("/")
    if not slash:
        return Fraction(int(above or 1))
    if below.strip("/") == "":
        return Fraction(int(above or 1), 2 ** (1 + len(below)))
    if not below.isdigit() or int(below) == 0:
        raise InputError(f"{text[:12]!r} is no length of a note")
    return Fraction(int(above or 1), int(below))


def spell_length(length: Fraction) -> str:
    """The shortest spelling of a length."""
    above = "" if length.numerator == 1 else str(length.numerator)
    if length.denominator == 1:
        return above
    return f"{above}/" + ("" if length.denominator == 2 else str(length.denominator))


def split(text: str) -> list[str]:
    """The tunes of a file: from each ``X:`` to the next empty line or ``X:``.

    A text with a field ``K:`` and no ``X:`` is one tune.
    """
    starts = [found.start() for found in re.finditer(r"^X:", text, re.MULTILINE)]
    if not starts and re.search("^K:", text, re.MULTILINE):
        return [text]
    pieces = [text[a:b] for a, b in itertools.pairwise([*starts, len(text)])]
    return [re.split(r"\n[ \t]*\n", piece, maxsplit=1)[0] for piece in pieces]


def plain(tune: str, *, ended: bool = True) -> str:
    """A tune in its plain spelling: metre, unit, key, then its notes and bar lines in one line.

    Titles and other fields, words, chord symbols, ornaments, grace notes, slurs and spaces are
    left out, and of a chord its highest note stays. One that has not ``ended`` may stop anywhere,
    before its first note, too.

    Raises InputError for what is no tune, one in several voices, or one that changes its metre,
    unit or key.
    """
    fields: dict[str, str] = {}
    lines = []
    for line in tune.replace("\r", "").split("\n"):
        line = re.sub(r"%.*", "", line)
        found = re.match(r"([A-Za-z]):(?![|:])(.*)", line)  # not a note before a bar line
        if found is None:
            if "K" in fields:
                lines.append(line)
            elif line.strip():
                raise InputError(f"{line.strip()[:20]!r} comes before the field K:")
        elif "K" in fields and found[1] in "MLKV":
            raise InputError(f"the field {found[1]}: stands among the notes")
        elif found[1] not in fields:
            fields[found[1]] = found[2].strip()
    if "K" not in fields:
        raise InputError("it has no field K:")
    metre = fields.get("M", "C").replace(" ", "") or "C"
    if metre not in ("C", "C|") and not re.fullmatch(r"[1-9]\d?/(1|2|4|8|16|32)", metre):
        raise InputError(f"M:{metre[:20]} is no metre that is known")
    unit = fields.get("L", "").replace(" ", "") or ("1/16" if _whole(metre) < 0.75 else "1/8")
    if not re.fullmatch(r"1/(1|2|4|8|16|32)", unit):
        raise InputError(f"L:{unit[:20]} is no unit that is known")
    parts = _body("\n".join(lines))
    if ended:
        _without_tuplet(parts)
        parts = [*_ended(parts), "\n"]
    return f"M:{metre}\nL:{unit}\nK:{Key.read(fields['K'])}\n{''.join(parts)}"


def _whole(metre: str) -> Fraction:
    return Fraction(1) if metre in ("C", "C|") else Fraction(metre)


def _body(text: str) -> list[str]:
    parts: list[str] = []
    at = 0
    while at < len(text):
        found = _PIECES.match(text, at)
        if found is None:
            raise InputError(f"{text[at : at + 8]!r} is no note, bar line or ornament")
        at = found.end()
        if found["drop"] is not None or found["skip"] is not None:
            if found["skip"] == "&":
                raise InputError("it has more than one voice (&)")
        elif found["field"] is not None:
            if found["field"] in "MLKV":
                raise InputError(f"the field {found['field']}: stands among the notes")
        elif found["chord"] is not None:
            parts.append(_top(found["chord"], found["times"]))
        elif found["tuplet"] is not None:
            if found["form"].strip(":"):
                raise InputError(f"a tuplet of the form {found[0]}")
            parts.append(f"({found['tuplet']}")
        elif found["letter"] is not None:
            parts.append(_note(found))
        elif found["dotted"] is not None or found["tie"] is not None:
            parts.append(found[0])
        else:
            line = _bar(found[0])
            _without_tuplet(parts)
            if parts and parts[-1] in LINES:
                line = _joined(parts.pop(), line)
            if parts or line == "|:":
                parts.append(line)
    return parts


def _without_tuplet(parts: list[str]) -> None:
    """Leaves out a tuplet that has no notes; ":" behind it would make another one of it."""
    while parts and parts[-1].startswith("("):
        parts.pop()


def _ended(parts: list[str]) -> list[str]:
    """The notes and bar lines of a tune that ends there."""
    last = parts[-1] if parts else ""
    if not set(parts) - LINES:
        raise InputError("it has no notes")
    if last in (":|", "|]"):
        return parts
    if last in LINES:
        parts = parts[:-1]
    return [*parts, ":|" if last == "::" else "|]"]


def _bar(text: str) -> str:
    ending = re.search(r"[1-9]", text)
    text = re.sub(r"[\s\[]*[1-9].*$", "", text).strip()
    if ending:
        return "|1" if ending[0] == "1" else ":|2" if ":" in text else "|2"
    if text.startswith(":"):
        return "::" if text.endswith(":") else ":|"
    if text.endswith(":"):
        return "|:"
    return "||" if len(text) > 1 else "|"


def _joined(first: str, second: str) -> str:
    """What two bar lines with nothing between them are."""
    if second in ("|1", "|2", ":|2"):
        return ":|2" if ":" in first[:1] and second == "|2" else second
    ends, begins = first in (":|", "::"), second in ("|:", "::")
    ends, begins = ends or second in (":|", "::"), begins or first in ("|:", "::")
    if ends or begins:
        return "::" if ends and begins else ":|" if ends else "|:"
    return "||" if "||" in (first, second) else first


def _note(found: re.Match[str]) -> str:
    letter, octave = found["letter"], found["octave"]
    length = spell_length(length_of(found["length"]))
    if letter in "zx":
        return "z" + length
    up = octave.count("'") - octave.count(",") + letter.islower()
    name = letter.lower() + "'" * (up - 1) if up > 0 else letter.upper() + "," * -up
    return found["sign"] + name + length


def _top(chord: str, times: str) -> str:
    notes = list(re.finditer(_NOTE, chord))
    if not notes:
        raise InputError(f"a chord without notes: [{chord[:12]}]")
    best = max(notes, key=lambda note: _height(note["letter"], note["octave"]))
    spelled = re.match(_NOTE, _note(best))
    assert spelled is not None
    length = length_of(notes[0]["length"]) * length_of(times)
    return _note(best)[: spelled.start("length")] + spell_length(length)


def _height(letter: str, octave: str) -> int:
    """Steps of the scale above C,,,, ; a rest is the lowest."""
    if letter in "zx":
        return -1
    up = octave.count("'") - octave.count(",") + letter.islower()
    return 28 + 7 * up + _STEPS.index(letter.upper())


def tokens(text: str) -> list[str]:
    """Cuts plain text into tokens; joined they give it back.

    Raises InputError at what is no token.
    """
    found = list(_cut(text))
    at = sum(map(len, found))
    if at < len(text):
        raise InputError(f"{text[at : at + 12]!r} at character {at + 1} is no plain ABC")
    return found


def _cut(text: str) -> Iterator[str]:
    at = 0
    while at < len(text) and (token := _TOKENS.match(text, at)) and token[0]:
        yield token[0]
        at = token.end()


def parted(text: str) -> list[str]:
    """Plain tunes that follow each other, one by one."""
    return [tune for tune in re.split(r"^(?=M:)", text, flags=re.MULTILINE) if tune]


def is_token(text: str) -> bool:
    """Whether it is one token, and no part of one."""
    return text != "" and next(_cut(text), "") == text


def closed(text: str) -> str:
    """Plain text that may have been cut anywhere, as a tune that ends at its last bar line.

    What is no plain tune any more, such as a key among the notes, is left out with all behind it;
    "" is what has no bar.
    """
    head, kept = "", 0
    body: list[str] = []
    for token in _cut(text):
        if token[:2] in ("M:", "K:"):
            if body:
                break
            head += token
        elif token == "\n":
            break
        else:
            body.append(token)
            if token in LINES:
                kept = len(body)
    notes = body[:kept]
    if not re.fullmatch(r"M:.*\nL:.*\nK:.*\n", head) or not set(notes) - LINES:
        return ""
    return f"{head}{''.join(_ended(notes))}\n"


def units_of(token: str) -> Fraction:
    """By how many units a token moves the beat on.

    A note moves it by one, the length behind it by what it is longer. Two notes that are dotted
    to each other take their time together, and a tuplet what its notes would take, less or more
    than that, at once: as if they were of one unit.
    """
    if re.fullmatch(r"[\^_=]{0,2}[A-Ga-g][,']*|z", token):
        return Fraction(1)
    if re.fullmatch(r"\d*/\d*|\d+", token):
        return length_of(token) - 1
    if re.fullmatch(r"\([2-9]", token):
        count = int(token[1])
        return Fraction(_IN_TIME_OF[count] - count)
    return Fraction(0)


def bar_of(token: str) -> Fraction:
    """The units of a bar, by the token of the fields M: and L:."""
    metre, unit = re.findall(r":(.*)\n", token)
    return _whole(metre) / Fraction(unit)


class Abc:
    """Plain ABC -> ids of its tokens; a token that the vocabulary lacks is read as characters.

    Args:
      vocabulary: the token of each id.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._ids = {token: i for i, token in enumerate(vocabulary) if token}

    def ids(self, text: str) -> list[int]:
        """Raises InputError at a character that the vocabulary lacks."""
        known: list[int] = []
        for token in tokens(text):
            for part in [token] if token in self._ids else token:
                if part not in self._ids:
                    raise InputError(f"{part!r} is not in the vocabulary")
                known.append(self._ids[part])
        return known
