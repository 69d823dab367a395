"""All applications in turn, each on its sample, and one page that links what they made.

python -m pipelines.demo [FOLDER]
"""

import importlib
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

from beam_rnn.cli import PIPELINES
from pipelines.catalogue import WEIGHTS

SHOWN = (".png", ".html", ".gff3", ".jsonl", ".avi", ".mid", ".abc", ".txt")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs them; returns the exit code of the first that fails, or 0."""
    arguments = sys.argv[1:] if argv is None else argv
    folder = Path(arguments[0] if arguments else "out")
    worst = 0
    for command in WEIGHTS:
        print(f"== {command}: {PIPELINES[command]}", flush=True)
        module = importlib.import_module(f"pipelines.{command.replace('-', '_')}")
        output = folder / command
        code = module.main(["--output", str(output), "--overwrite", "--no-view"])
        worst = worst or code
    page = folder / "demo.html"
    page.write_text(page_of(folder), encoding="utf-8")
    print(f"Written: {page}")
    return worst


def page_of(folder: Path) -> str:
    """The page: pictures as they are, other files as links."""
    parts = []
    for command in WEIGHTS:
        files = sorted(path for path in (folder / command).glob("*") if path.suffix in SHOWN)
        links = " · ".join(f'<a href="{_link(p, folder)}">{escape(p.name)}</a>' for p in files)
        pictures = "".join(
            f'<img src="{_link(p, folder)}" alt="{escape(PIPELINES[command])}">'
            for p in files
            if p.suffix == ".png"
        )
        title = f"<h2>{escape(command)}</h2><p>{escape(PIPELINES[command])}</p>"
        parts.append(f"<section>{title}{pictures}<p>{links}</p></section>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>beam_rnn: all applications'
        '</title><meta name="viewport" content="width=device-width">'
        "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;"
        "max-width:70rem;margin:2rem auto;padding:0 1rem}"
        "img{max-width:100%;border:1px solid #ddd}</style>"
        f"<h1>All applications, each on its sample</h1>{''.join(parts)}</html>"
    )


def _link(path: Path, folder: Path) -> str:
    return escape(path.relative_to(folder).as_posix())


if __name__ == "__main__":
    sys.exit(main())
