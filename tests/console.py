"""What commands print, as the pages show it: python -m tests.console [PAGE ...].

Every block ``console`` of a page begins with a line ``$ COMMAND``; what follows is replaced by what
the command prints now.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = (REPOSITORY / "docs" / "commands.md",)
_BLOCK = re.compile(r"^```console\n\$ ([^\n]*)\n(.*?)^```\n", re.M | re.S)


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(command, what the page says that it prints)."""
    yield from _BLOCK.findall(page.read_text("utf-8"))


def printed(command: str) -> str:
    """What a command prints, in a window of 96 columns."""
    name, *arguments = shlex.split(command)
    assert name == "beam-rnn", command
    done = subprocess.run(
        [sys.executable, "-m", "beam_rnn", *arguments],
        cwd=REPOSITORY,
        env=os.environ | {"COLUMNS": "96", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return "".join(line.rstrip() + "\n" for line in done.stdout.strip().splitlines())


def main() -> None:
    """Writes the pages anew."""
    for page in map(Path, sys.argv[1:] or PAGES):
        text = page.read_text("utf-8")
        for command, said in blocks(page):
            print(f"==> {command}", file=sys.stderr)
            block = "```console\n$ {}\n{}```\n"
            text = text.replace(
                block.format(command, said), block.format(command, printed(command))
            )
        page.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
