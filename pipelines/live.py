"""What a person sees while the job runs: a line per stream, its names in colour, and the rate."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines import job
from pipelines.application import View
from pipelines.events import Failed
from pipelines.names import KINDS, begins, kind_of
from pipelines.sinks import Word

STYLES = {
    "PER": "bold bright_cyan",
    "LOC": "bold bright_green",
    "ORG": "bold bright_yellow",
    "MISC": "bold bright_magenta",
}

RATE_SECONDS = 3.0  # the running rate is that of the last seconds
IDLE_SECONDS = 2.0  # after which a stream's line goes to one that goes on
STREAMS_KEPT = 2_000  # whose words are kept to be shown
TAIL = 240  # tokens of a stream that are kept to be shown
PLAIN_SECONDS = 5.0  # between two lines where nothing can be redrawn


@dataclass
class _Stream:
    tokens: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=TAIL))
    words: int = 0
    label: str = "O"
    changed: float = 0.0


class Board:
    """Counts and the last words of every stream. Any thread may add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: dict[str, _Stream] = {}
        self._names: set[str] = set()
        self._slots: list[str] = []  # the streams on the screen, by line
        self._recent: deque[tuple[float, int]] = deque()
        self._began = time.monotonic()
        self.words = 0
        self.names = 0
        self.failed = 0
        self.note = ""

    def word(self, stream: str, before: str, token: str, label: str) -> None:
        """Adds a tagged word."""
        now = time.monotonic()
        with self._lock:
            line = self._streams.get(stream) or self._begin(stream)
            line.tokens.append((before + token, kind_of(label)))
            line.words += 1
            new = begins(label, line.label)
            line.label = label
            line.changed = now
            self.words += 1
            self.names += new
            if self._recent and now - self._recent[-1][0] < 0.1:
                self._recent[-1] = (self._recent[-1][0], self._recent[-1][1] + 1)
            else:
                self._recent.append((now, 1))

    def _begin(self, stream: str) -> _Stream:
        self._names.add(stream)
        if len(self._streams) == STREAMS_KEPT:
            oldest = sorted(self._streams, key=lambda name: self._streams[name].changed)
            for name in oldest[: STREAMS_KEPT // 2]:
                del self._streams[name]
            self._slots = [name for name in self._slots if name in self._streams]
        return self._streams.setdefault(stream, _Stream())

    def fail(self) -> None:
        """Counts an input that could not be used."""
        with self._lock:
            self.failed += 1

    def end(self) -> None:
        """Says that the job is coming to its end."""
        self.note = "Ending: what was read is being finished. Ctrl-C again aborts."

    def rate(self) -> float:
        """Words a second, over the last seconds."""
        now = time.monotonic()
        with self._lock:
            while self._recent and now - self._recent[0][0] > RATE_SECONDS:
                self._recent.popleft()
            words = sum(n for _, n in self._recent)
        return words / max(min(RATE_SECONDS, now - self._began), 0.1)

    def figures(self, overall: bool = False) -> str:
        """The counts in one line, with the running rate or that of the whole run."""
        seconds = time.monotonic() - self._began
        rate = self.words / max(seconds, 0.1) if overall else self.rate()
        return (
            f"{len(self._names):,} streams  {self.words:,} words  {self.names:,} names  "
            f"{self.failed:,} failed  {rate:,.0f} words/s  {seconds:.1f} s"
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draws the board into the terminal as it is now."""
        height = max((options.height or console.height) - 4, 1)
        yield Group(_legend(), Text(self.figures(), style="bold"), self._table(height, options))
        if self.note:
            yield Text(self.note, style="bold reverse")

    def _table(self, height: int, options: ConsoleOptions) -> RenderableType:
        with self._lock:
            self._choose(height)
            rows = [
                (name, self._streams[name].words, list(self._streams[name].tokens))
                for name in self._slots
            ]
        table = Table.grid(padding=(0, 1), expand=True)
        name_width = min(max((len(name) for name, *_ in rows), default=10), 24)
        table.add_column(width=name_width, no_wrap=True, overflow="ellipsis", style="dim")
        table.add_column(width=6, justify="right", no_wrap=True, style="dim")
        table.add_column(ratio=1, no_wrap=True)
        width = max(options.max_width - name_width - 8, 10)
        for name, words, tokens in rows:
            table.add_row(Text(_harmless(name)), f"{words:,}", _tail(tokens, width))
        return table

    def _choose(self, height: int) -> None:
        """Gives each line a stream, which keeps it while it goes on, so that it can be read."""
        streams, now = self._streams, time.monotonic()
        del self._slots[height:]
        others = sorted(streams.keys() - self._slots, key=lambda name: streams[name].changed)
        for place, name in enumerate(self._slots):
            changed = streams[name].changed
            if others and now - changed > IDLE_SECONDS and streams[others[-1]].changed > changed:
                self._slots[place] = others.pop()
        free = height - len(self._slots)
        self._slots += sorted(others[-free:] if free else [])


def _legend() -> Text:
    legend = Text()
    for kind in KINDS:
        legend.append(f"■ {kind.name}  ", style=STYLES[kind.key])
    return legend


def _harmless(text: str) -> str:
    """Without control characters: a text must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _tail(tokens: list[tuple[str, str]], width: int) -> Text:
    """The end of a text that fits into one line."""
    parts: list[tuple[str, str]] = []
    length = 0
    for text, kind in reversed(tokens):
        line = _harmless(" " * text[:1].isspace() + " ".join(text.split()))
        length += cell_len(line)
        if length > width:
            break
        parts.append((line, kind))
    if parts:
        parts[-1] = (parts[-1][0].lstrip(), parts[-1][1])
    return Text.assemble(*((text, STYLES.get(kind, "")) for text, kind in reversed(parts)))


_board = Board()  # of this process: the pipeline adds to it


def show_word(word: Word) -> None:
    """Adds a word to the board of this process."""
    _board.word(word.stream, word.before, word.token, word.label)


def show_failed(failed: Failed) -> None:
    """Counts a failed input on the board of this process."""
    _board.fail()


@contextmanager
def shown(console: Console, view: bool) -> Iterator[Board]:
    """Shows a new board while the block runs: redrawn on a terminal, else a line now and then."""
    global _board
    _board = board = Board()
    if view and console.is_terminal:
        with Live(board, console=console, refresh_per_second=8, screen=False, transient=True):
            yield board
        return

    def tell(over: threading.Event) -> None:
        while view and not over.wait(PLAIN_SECONDS):
            console.print(board.figures())

    with job.beside(tell, "figures"):
        yield board


class Names(View):
    """The board, and its figures when the job has ended."""

    def see(self, rows: Mapping[str, Any], failed: Sequence[Any], view: bool) -> None:
        """Adds what shows words; see ``View``."""
        (words,) = rows.values()
        words | "ShowWords" >> beam.Map(show_word)
        for number, inputs in enumerate(failed):
            inputs | f"ShowFailed{number}" >> beam.Map(show_failed)

    @contextmanager
    def shown(self, view: bool) -> Iterator[Callable[[], None]]:
        """Shows the board while the block runs."""
        console = Console(soft_wrap=True, highlight=False)
        try:
            with shown(console, view) as board:
                yield board.end
        finally:
            console.print(_board.figures(overall=True))
