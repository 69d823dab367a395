"""CTC: text from what a network says of each frame, greedily or by prefix beam search."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from beam_rnn.errors import OptionError
from beam_rnn.nn.ngram import NGram
from beam_rnn.nn.parameters import Floats, Frozen

_NEVER = -math.inf


class Frame(NamedTuple):
    """What a network says of one frame, without the labels that are too improbable.

    Attributes:
      labels: those that are tried, ascending.
      log_p: logarithms of their probabilities.
      best: the most probable label.
    """

    labels: list[int]
    log_p: list[float]
    best: int


class Prefix(NamedTuple):
    """The beginning of a text.

    Attributes:
      labels: what was heard, repeats merged, without blanks.
      at: the frames at which they began.
      blank: ln P of the paths to it that end in a blank.
      label: ln P of those that end in its last label.
      weight: what the n-gram model adds.
    """

    labels: tuple[int, ...] = ()
    at: tuple[int, ...] = ()
    blank: float = 0.0
    label: float = _NEVER
    weight: float = 0.0

    @property
    def score(self) -> float:
        return _add(self.blank, self.label) + self.weight


@dataclass
class Heard:
    """What was heard so far of a piece of speech: the state of the decoder.

    Attributes:
      frames: frames read.
      silent: how many of them, at the end, have no label.
      prefixes: the most probable beginnings, the best first.
    """

    frames: int = 0
    silent: int = 0
    prefixes: list[Prefix] = field(default_factory=lambda: [Prefix()])


class Text(NamedTuple):
    """A text with its score and where its words begin.

    Attributes:
      text: the words.
      score: ln P of the text given the frames, with the weight of the n-gram model.
      at: the frame at which each word begins.
    """

    text: str
    score: float
    at: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CTC(Frozen):
    """Decodes the output of a network trained with CTC (Graves et al., 2006), frame by frame.

    With ``width`` 1 the text is that of the best path. Else prefix beam search (Hannun et al.,
    2014): of all texts the ``width`` most probable beginnings are kept, each with the sum over its
    paths, with P(text)^weight of an n-gram model and a bonus for each of its words. Both are done
    in float64, of each stream on its own.

    Attributes:
      labels: the text of each class, a character or a piece of a word; one that begins with a space
        begins a word.
      blank: the class that stands for no label; default: the one whose text is "".
      width: beginnings that are kept.
      words: the words that a text may have, spelled with the labels and separated by ``space``;
        None: any.
      lm: n-gram model of the text, or None.
      unit: what its words are: "word" (separated by ``space``) or "label" (of a character model;
        the space is "<space>").
      weight: of ln P(text).
      bonus: for each word (or label) of the model.
      space: the label between words.
      cutoff: labels whose ln P is this much below the best of their frame are not tried.

    Raises:
      OptionError: an option is out of its range, or a word cannot be spelled with the labels.
    """

    labels: Sequence[str]
    blank: int | None = None
    width: int = 8
    words: Sequence[str] | None = None
    lm: NGram | None = None
    unit: str = "word"
    weight: float = 0.5
    bonus: float = 1.5
    space: str = " "
    cutoff: float = 7.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.blank is None:
            if "" not in self.labels:
                raise OptionError('blank: no label is "", say which class is the blank')
            object.__setattr__(self, "blank", self.labels.index(""))
        if not isinstance(self.blank, int) or not 0 <= self.blank < len(self.labels):
            raise OptionError(f"blank is {self.blank!r}, expected a class below {len(self.labels)}")
        if not isinstance(self.width, int) or self.width < 1:
            raise OptionError(f"width is {self.width!r}, expected a whole number from 1")
        if self.unit not in ("word", "label"):
            raise OptionError(f'unit is {self.unit!r}, expected "word" or "label"')
        if not self.cutoff > 0:
            raise OptionError(f"cutoff is {self.cutoff!r}, expected a number above 0")
        if self.width == 1 and not (self.words is None and self.lm is None):
            raise OptionError("words and lm need a beam: width of 2 or more")
        if self.words is not None:
            object.__setattr__(self, "words", tuple(self.words))
        self._tree  # noqa: B018 checks the words

    @cached_property
    def _space(self) -> int:
        return self.labels.index(self.space) if self.space in self.labels else -1

    @cached_property
    def _begins(self) -> frozenset[int]:
        """The labels that begin a word wherever they stand."""
        return frozenset(
            i
            for i, text in enumerate(self.labels)
            if self.space and text.startswith(self.space) and text != self.space
        )

    @cached_property
    def _tree(self) -> dict[int, Any] | None:
        """The words as a prefix tree: label -> tree, -1 where a word ends."""
        if self.words is None:
            return None
        ids = {text: i for i, text in enumerate(self.labels) if i != self.blank and text}
        ids.pop(self.space, None)
        longest = max(map(len, ids), default=0)
        tree: dict[int, Any] = {}
        for word in self.words:
            spellings = list(_spellings(word, ids, longest))
            if not spellings:
                raise OptionError(f"the word {word!r} cannot be spelled with the labels")
            for spelling in spellings:
                node = tree
                for label in spelling:
                    node = node.setdefault(label, {})
                node[-1] = {}
        return tree

    def frames(self, log_p: Floats) -> list[Frame]:
        """What is tried of each frame of log_p (n, C)."""
        best = log_p.argmax(axis=1)
        top = log_p[np.arange(len(log_p)), best]
        tried = log_p >= (top - np.float32(self.cutoff))[:, None]
        tried[:, self.blank] = True  # so that a path goes on whatever the words allow
        row, label = np.nonzero(tried)
        ends = np.cumsum(np.bincount(row, minlength=len(log_p))).tolist()
        labels, kept = label.tolist(), log_p[row, label].astype(np.float64).tolist()
        starts = [0, *ends]
        return [
            Frame(labels[low:high], kept[low:high], first)
            for low, high, first in zip(starts, ends, best.tolist(), strict=False)
        ]

    def hear(self, heard: Heard, frame: Frame) -> Heard:
        """What was heard with one frame more; ``heard`` is left as it is."""
        quiet = frame.best in (self.blank, self._space)
        if self.width == 1:
            prefixes = [self._greedy(heard.prefixes[0], frame, heard.frames)]
        elif frame.labels == [self.blank]:
            p = frame.log_p[0]
            prefixes = [
                prefix._replace(blank=_add(prefix.blank, prefix.label) + p, label=_NEVER)
                for prefix in heard.prefixes
            ]
        else:
            prefixes = self._search(heard.prefixes, frame, heard.frames)
        return Heard(heard.frames + 1, heard.silent + 1 if quiet else 0, prefixes)

    def _greedy(self, prefix: Prefix, frame: Frame, at: int) -> Prefix:
        p = prefix.blank if prefix.label == _NEVER else prefix.label
        p += frame.log_p[frame.labels.index(frame.best)]
        if frame.best == self.blank:
            return prefix._replace(blank=p, label=_NEVER)
        if prefix.label != _NEVER and prefix.labels[-1] == frame.best:
            return prefix._replace(label=p)
        return Prefix((*prefix.labels, frame.best), (*prefix.at, at), _NEVER, p)

    def _search(self, prefixes: list[Prefix], frame: Frame, at: int) -> list[Prefix]:
        found: dict[tuple[int, ...], _Reached] = {}
        tried = list(zip(frame.labels, frame.log_p, strict=True))
        for labels, began, blank, label, weight in prefixes:
            total = _add(blank, label)
            last = labels[-1] if labels else -1
            followers = self._followers(labels)
            for c, p in tried:
                if c == self.blank or (c == last and label > _NEVER):
                    same = found.get(labels)
                    if same is None:
                        same = found[labels] = _Reached(weight)
                    if c == self.blank:
                        same.reach(total + p, began, blank=True)
                        continue
                    same.reach(label + p, began)
                reached = (blank if c == last else total) + p
                if reached == _NEVER or (followers is not None and c not in followers):
                    continue
                longer = (*labels, c)
                other = found.get(longer)
                if other is None:
                    other = found[longer] = _Reached(weight + self._weight_of(labels, c))
                other.reach(reached, (*began, at))
        kept = [Prefix(k, b.at, b.blank, b.label, b.weight) for k, b in found.items()]
        kept.sort(key=lambda prefix: -prefix.score)  # stable: ties as they were found
        return kept[: self.width]

    def _followers(self, labels: tuple[int, ...]) -> Any:
        """The labels that may follow, where the words are given."""
        node = self._tree
        if node is None:
            return None
        word = self._last_word(labels)
        for label in word:
            node = node[label]
        return {*node, self._space} if -1 in node else node

    def _last_word(self, labels: tuple[int, ...]) -> tuple[int, ...]:
        start = len(labels)
        while start and labels[start - 1] != self._space:
            start -= 1
        return labels[start:]

    def _weight_of(self, labels: tuple[int, ...], c: int) -> float:
        """What the n-gram model adds when c follows labels."""
        if self.lm is None:
            return 0.0
        if self.unit == "label":
            order = self.lm.order
            before = ["<space>" if i == self._space else self.labels[i] for i in labels[-order:]]
            unit = "<space>" if c == self._space else self.labels[c]
            return self._weighted(unit, ["<s>", *before] if len(labels) < order else before)
        return self._word_weight(labels) if c == self._space else 0.0

    def _word_weight(self, labels: tuple[int, ...]) -> float:
        """What the last word of labels adds when it ends."""
        if self.lm is None or self.unit == "label" or not self._last_word(labels):
            return 0.0
        *before, word = self._spell(labels).split(self.space)
        return self._weighted(word, ["<s>", *(w for w in before if w)])

    def _weighted(self, unit: str, before: list[str]) -> float:
        assert self.lm is not None
        return self.weight * self.lm.log_p(unit, tuple(before)) + self.bonus

    def _spell(self, labels: Sequence[int]) -> str:
        return "".join(self.labels[i] for i in labels)

    def says(self, heard: Heard) -> bool:
        """Whether the most probable text has a word."""
        return any(label != self._space for label in heard.prefixes[0].labels)

    def text(self, heard: Heard, *, final: bool = False) -> Text:
        """The most probable text.

        Args:
          heard: what was heard.
          final: whether nothing follows: its last word is a whole one.
        """
        best, score = heard.prefixes[0], heard.prefixes[0].score
        if final and self.width > 1:
            scores = [self._final(prefix) for prefix in heard.prefixes]
            place = max(range(len(scores)), key=lambda i: scores[i])
            if scores[place] > _NEVER:
                best, score = heard.prefixes[place], scores[place]
        begins = [
            i
            for i, label in enumerate(best.labels)
            if label != self._space
            and (not i or best.labels[i - 1] == self._space or label in self._begins)
        ]
        text = self._spell(best.labels)
        if self._space >= 0 or self._begins:
            text = self.space.join(word for word in text.split(self.space) if word)
        return Text(text, score, tuple(best.at[i] for i in begins))

    def _final(self, prefix: Prefix) -> float:
        score = prefix.score + self._word_weight(prefix.labels)
        followers = self._followers(prefix.labels)
        whole = followers is None or not self._last_word(prefix.labels) or -1 in followers
        return score if whole else _NEVER


class _Reached:
    """A prefix while the paths that lead to it are added up; its frames are of the likeliest."""

    __slots__ = ("at", "best", "blank", "label", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.at: tuple[int, ...] = ()
        self.blank = self.label = self.best = _NEVER

    def reach(self, log_p: float, at: tuple[int, ...], *, blank: bool = False) -> None:
        """Adds paths that end in a blank or in the last label."""
        if log_p > self.best:
            self.best, self.at = log_p, at
        if blank:
            self.blank = _add(self.blank, log_p)
        else:
            self.label = _add(self.label, log_p)


def _spellings(word: str, ids: dict[str, int], longest: int) -> Iterator[tuple[int, ...]]:
    """All ways to write a word with labels."""
    if not word:
        return
    for size in range(1, min(longest, len(word)) + 1):
        label = ids.get(word[:size])
        if label is None:
            continue
        if size == len(word):
            yield (label,)
        for rest in _spellings(word[size:], ids, longest):
            yield (label, *rest)


def _add(a: float, b: float) -> float:
    """ln(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == _NEVER else a + math.log1p(math.exp(b - a))
