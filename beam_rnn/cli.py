"""The command line: each command runs one of the pipelines."""

import importlib
import sys

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


@app.callback()
def _commands() -> None:
    """Keeps the commands named even while there is only one."""


PIPELINES = {
    "tag-names": "Mark the names of people, places and organisations in many live texts.",
    "annotate-dna": "Find the coding regions of DNA while it is being read.",
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


def _run(pipeline: str, arguments: list[str]) -> int:
    # Imported late: the library does not know the pipelines, which are a package beside it.
    try:
        module = importlib.import_module(f"pipelines.{pipeline}")
    except ModuleNotFoundError as error:
        if error.name not in ("pipelines", f"pipelines.{pipeline}"):
            raise
        print(
            "beam-rnn: there is no folder pipelines here: run it in a clone of the project",
            file=sys.stderr,
        )
        return 2
    return int(module.main(arguments))


def main() -> None:
    """Runs the command line."""
    app()
