"""The live view: counts, the last words of each stream, and a plain form without a terminal."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from pipelines import live
from pipelines.events import Failed
from pipelines.sinks import Word


def console(*, terminal: bool, width: int = 80, height: int = 12) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, height=height,
        color_system="truecolor" if terminal else None, legacy_windows=False,
    )  # fmt: skip


def text_of(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def tell(stream: str, *tagged: tuple[str, str]) -> None:
    for i, (token, label) in enumerate(tagged, 1):
        live.show_word(Word(stream, 0, i, token, " ", label, 1.0))


def test_the_board_counts_words_names_and_failed() -> None:
    with live.shown(console(terminal=False), view=False) as board:
        tell("a", ("Anne", "B-PER"), ("Elliot", "I-PER"), ("in", "O"), ("Bath", "B-LOC"))
        tell("b", ("Kenya", "B-LOC"))
        live.show_failed(Failed("", "not JSON", ""))
    figures = board.figures(overall=True)
    assert figures.startswith("2 streams  5 words  3 names  1 failed  ")
    assert board.rate() > 0


def test_lines_fit_and_show_the_end_of_each_text() -> None:
    with live.shown(console(terminal=False), view=False) as board:
        tell("long", *[(f"word{i}\n\n", "O") for i in range(500)], ("Anne", "B-PER"))
        tell("x" * 60, ("y", "O"))
    screen = console(terminal=False)
    screen.print(board)
    lines = text_of(screen).rstrip("\n").split("\n")
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) == 4
    (long,) = [line for line in lines if line.startswith("long")]
    assert long.rstrip().endswith("word499 Anne")


def test_no_more_lines_than_the_screen_has() -> None:
    with live.shown(console(terminal=False), view=False) as board:
        for i in range(100):
            tell(f"s{i:02}", ("x", "O"))
        board.end()
    screen = console(terminal=False, height=12)
    screen.print(board)
    lines = text_of(screen).rstrip("\n").split("\n")
    assert len(lines) <= 12
    assert any(line.startswith("s99") for line in lines)  # the latest are shown
    assert "Ctrl-C again aborts" in lines[-1]


def test_a_stream_keeps_its_line_until_it_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("pipelines.live.time.monotonic", lambda: now[0])

    def lines() -> list[str]:
        screen = console(terminal=False, height=7)
        screen.print(board)
        return [line.split()[0] for line in text_of(screen).rstrip("\n").split("\n")[2:]]

    with live.shown(console(terminal=False), view=False) as board:
        for i in range(5):
            now[0] += 0.1
            tell(f"s{i}", ("x", "O"))
        assert lines() == ["s2", "s3", "s4"]
        now[0] += 0.1
        tell("s0", ("x", "O"))
        assert lines() == ["s2", "s3", "s4"]
        now[0] += live.IDLE_SECONDS + 1
        tell("s1", ("x", "O"))
        tell("s3", ("x", "O"))
        assert lines() == ["s1", "s3", "s0"]


def test_texts_do_not_steer_the_terminal() -> None:
    with live.shown(console(terminal=False), view=False) as board:
        tell("[red]a\x1b[2J", ("[blue]\x1b]0;x\x07", "O"), ("東京" * 60, "O"))
        tell("b", ("東京" * 10, "O"))
    screen = console(terminal=False)
    screen.print(board)
    lines = text_of(screen).split("\n")
    assert "\x1b" not in text_of(screen)
    assert any(line.startswith("[red]a\ufffd[2J") for line in lines)
    assert all(cell_len(line) <= 80 for line in lines)


def test_many_streams_are_counted_and_the_latest_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAMS_KEPT", 10)
    screen = console(terminal=False)
    with live.shown(console(terminal=False), view=False) as board:
        for i in range(95):
            tell(f"s{i:02}", ("x", "O"))
            screen.print(board)
    assert board.figures().startswith("95 streams  95 words")
    assert len(board._streams) <= 10
    assert "s94" in board._streams


def test_names_are_coloured() -> None:
    with live.shown(console(terminal=False), view=False) as board:
        tell("a", ("Miss", "O"), ("Anne", "B-PER"), ("in", "O"))
    screen = console(terminal=True)
    screen.print(board)
    assert "\x1b[1;96m Anne\x1b[0m" in text_of(screen)


def test_a_terminal_is_redrawn() -> None:
    screen = console(terminal=True)
    with live.shown(screen, view=True):
        tell("a", ("Anne", "B-PER"))
    assert "Anne" in text_of(screen)


def test_without_a_terminal_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PLAIN_SECONDS", 0.01)
    screen = console(terminal=False)
    with live.shown(screen, view=True):
        while "1 words" not in text_of(screen):
            if not live._board.words:
                tell("a", ("Anne", "B-PER"))
    assert "\x1b" not in text_of(screen)


def test_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PLAIN_SECONDS", 0.01)
    screen = console(terminal=False)
    with live.shown(screen, view=False):
        tell("a", ("Anne", "B-PER"))
    assert text_of(screen) == ""
