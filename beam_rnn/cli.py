"""The command line: commands that run a pipeline, and commands for files."""

import importlib
import sys
from typing import Annotated

try:
    import typer
except ImportError:  # pragma: no cover
    sys.exit("The command line needs more packages: pip install 'beam-rnn[cli]'")

__all__ = ["PIPELINES", "app", "main"]

app = typer.Typer(
    name="beam-rnn",
    help="Recurrent networks over unbounded streams, their state kept in Apache Beam.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


PIPELINES = {
    "tag-names": "Mark the names of people, places and organisations in many live texts.",
    "annotate-dna": "Find the coding regions of DNA while it is being read.",
    "classify-sentiment": "Rate reviews and chats while they are being written.",
    "detect-running": "Tell who is running, from when to when, in a video or in poses.",
}
"""The commands, each the module of its name in the folder pipelines, and what they do."""

# A pipeline reads its own arguments, so that running its module and this command are the same.
_OWN_ARGUMENTS = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


def _add(name: str, summary: str) -> None:
    @app.command(name, context_settings=_OWN_ARGUMENTS, help=f"{summary} (--help for more)")
    def command(context: typer.Context) -> None:
        raise typer.Exit(_run(name.replace("-", "_"), context.args))


for _name, _summary in PIPELINES.items():
    _add(_name, _summary)


@app.command("list")
def list_() -> None:
    """List the applications, and their figures on data that training never saw."""
    raise typer.Exit(_run("catalogue", []))


@app.command(context_settings=_OWN_ARGUMENTS)
def run(context: typer.Context, name: str) -> None:
    """Run one of the applications: run NAME --input ... --output ..."""
    if name not in PIPELINES:
        print(f"beam-rnn: there is no {name}: it is one of {', '.join(PIPELINES)}", file=sys.stderr)
        raise typer.Exit(2)
    raise typer.Exit(_run(name.replace("-", "_"), context.args))


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(help="A block of state, or a model.")],
    most: Annotated[int, typer.Option(min=0, help="Streams, labels or tokens listed.")] = 20,
) -> None:
    """Print what a file of state or a model holds."""
    from rich.console import Console

    from beam_rnn.errors import RnnError
    from beam_rnn.inspection import inspected

    try:
        Console().print(inspected(file, most))
    except (RnnError, ImportError) as error:
        print(f"beam-rnn: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


@app.command()
def doctor() -> None:
    """Print what is here: versions, BLAS, the layout of the kernels, runners that can start."""
    from rich.console import Console

    from beam_rnn.doctor import examined

    Console(soft_wrap=True).print(examined())


@app.command()
def reshard(
    source: Annotated[str, typer.Argument(help="The folder that rnn.WriteState wrote.")],
    target: Annotated[str, typer.Argument(help="The folder for the state of the new job.")],
    shards: Annotated[int, typer.Option(min=1, max=1 << 20, help="Shards of the new job.")],
) -> None:
    """Write the state of a job for a job with another number of shards."""
    from beam_rnn.errors import RnnError
    from beam_rnn.transforms import moving

    try:
        moving.reshard(source, target, shards)
    except (RnnError, OSError, ValueError) as error:
        print(f"beam-rnn: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


def _run(pipeline: str, arguments: list[str]) -> int:
    # Imported late: the library does not know the pipelines, which are a package beside it.
    return int(importlib.import_module(f"pipelines.{pipeline}").main(arguments))


def main() -> None:
    """Runs the command line."""
    app()
