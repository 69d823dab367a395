"""The command line: commands that run a pipeline, and commands for files."""

import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    import typer.core
except ImportError:  # pragma: no cover
    sys.exit("The command line needs more packages: pip install 'beam-rnn[cli]'")

__all__ = ["PIPELINES", "app", "main"]

# Beam says on each import that it cannot reach BigQuery, which nobody asked for.
logging.getLogger().addFilter(lambda record: "apitools not found" not in record.getMessage())

DEBUG = "BEAM_RNN_DEBUG"  # so that pipelines see it too, and it can be set for good


class _Commands(typer.core.TyperGroup):
    """The commands; an error in one of them is a line, with --debug where it came from."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            its_own = type(error).__module__.partition(".")[0] in ("typer", "click")
            if its_own or os.environ.get(DEBUG):
                raise
            known = isinstance(error, OSError | ValueError | ImportError)
            said = " ".join(str(error).split())
            said = (
                said if known else f"{type(error).__name__}: {said} (--debug: where it came from)"
            )
            print(f"beam-rnn: {said}", file=sys.stderr)
            raise typer.Exit(2) from None


app = typer.Typer(
    name="beam-rnn",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


PIPELINES = {
    "tag-names": "Mark the names of people, places and organisations in many live texts.",
    "annotate-dna": "Find the coding regions of DNA while it is being read.",
    "classify-sentiment": "Rate reviews and chats while they are being written.",
    "detect-running": "Tell who is running, from when to when, in a video or in poses.",
    "transcribe-speech": "Write down the digits that are said, while they are spoken.",
    "generate-music": "Go on with tunes, or begin new ones, without end.",
    "translate-text": "Translate lines of many texts, with what was read for each word.",
}
"""The commands, each the module of its name in the folder pipelines, and what they do."""

# A pipeline reads its own arguments, so that running its module and this command are the same.
_OWN_ARGUMENTS = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """Recurrent networks over unbounded streams, their state kept in Apache Beam.

    \b
    beam-rnn list
    beam-rnn tag-names --input texts.jsonl --output out
    beam-rnn convert model.onnx model.safetensors
    beam-rnn simulate model.safetensors --streams 100000 --rate 20000
    beam-rnn --install-completion
    """
    if debug:
        os.environ[DEBUG] = "1"


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


def _names(incomplete: str) -> list[str]:
    return [name for name in PIPELINES if name.startswith(incomplete)]


@app.command(context_settings=_OWN_ARGUMENTS)
def run(
    context: typer.Context, name: Annotated[str, typer.Argument(autocompletion=_names)]
) -> None:
    """Run one of the applications: run NAME --input ... --output ...

    \b
    beam-rnn run tag-names --input - --output out
    beam-rnn run annotate-dna --input genome.fasta --output out
    """
    if name not in PIPELINES:
        raise ValueError(f"there is no {name}: it is one of {', '.join(PIPELINES)}")
    raise typer.Exit(_run(name.replace("-", "_"), context.args))


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(help="A block of state, or a model.")],
    most: Annotated[int, typer.Option(min=0, help="Streams, labels or tokens listed.")] = 20,
) -> None:
    """Print what a file of state or a model holds.

    \b
    beam-rnn inspect model.safetensors
    beam-rnn inspect gs://bucket/state/shard-3 --most 100
    """
    from rich.console import Console

    from beam_rnn.inspection import inspected

    Console().print(inspected(file, most))


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A model of ONNX, Keras or PyTorch, or .npz.")],
    target: Annotated[str, typer.Argument(help="Where ours is written, .safetensors.")],
    kind: Annotated[
        str | None,
        typer.Option("--source", help="onnx, keras, torch or npz, where the name does not say it."),
    ] = None,
    labels: Annotated[str | None, typer.Option(help="A,B,C or a file with one per line.")] = None,
    vocabulary: Annotated[str | None, typer.Option(help="A file with one token per line.")] = None,
    lookahead: Annotated[int, typer.Option(min=0, help="How many inputs later y comes.")] = 0,
    output: Annotated[str | None, typer.Option(help="ONNX: the output that is y.")] = None,
    module: Annotated[
        list[str] | None,
        typer.Option(help="PyTorch: NAME or NAME=ROLE, once for each, in the order of the data."),
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="npz: a file of JSON with its layers, see rnn.from_npz.")
    ] = None,
    ignore_mask: Annotated[
        bool, typer.Option("--ignore-mask", help="Keras: read it as if it masked no padding.")
    ] = False,
    steps: Annotated[int, typer.Option(min=1, help="Inputs of a random sequence.")] = 50,
    tolerance: Annotated[float, typer.Option(help="By how much y may differ.")] = 1e-5,
) -> None:
    """Convert a model of ONNX, Keras, PyTorch or NumPy to ours.

    Where ONNX Runtime or Keras is installed, y is compared with theirs on random input, and nothing
    is written if it differs.

    \b
    beam-rnn convert tagger.onnx tagger.safetensors --labels O,PER,LOC
    beam-rnn convert model.keras model.safetensors --vocabulary words.txt
    beam-rnn convert weights.pt model.safetensors --module lstm --module head=softmax
    beam-rnn convert arrays.npz model.safetensors --layers layers.json
    """
    from beam_rnn.convert import converted

    pairs = [(name, role) if role else name for name, _, role in map(_parted, module or [])]
    with _busy("reading, and comparing on random input"):
        said = converted(
            source,
            target,
            kind,
            layers=layers,
            steps=steps,
            tolerance=tolerance,
            labels=_listed(labels),
            vocabulary=_listed(vocabulary),
            lookahead=lookahead,
            output=output,
            modules=pairs,
            ignore_mask=ignore_mask,
        )
    print(said)


def _parted(text: str) -> tuple[str, str, str]:
    return text.partition("=")


def _listed(given: str | None) -> list[str] | None:
    """Names: the lines of a file, or what is between commas."""
    if given is None:
        return None
    path = Path(given)
    return path.read_text("utf-8").splitlines() if path.is_file() else given.split(",")


@app.command()
def simulate(
    model: Annotated[str, typer.Argument(help="The path of a network.")],
    streams: Annotated[int, typer.Option(min=1, help="How many streams live at once.")],
    rate: Annotated[float, typer.Option(min=1e-3, help="Events per second, of all together.")],
    skew: Annotated[
        float, typer.Option(min=0, help="Exponent of a Zipf law over the streams; 0: all alike.")
    ] = 0.0,
    every: Annotated[float, typer.Option(min=1e-3, help="Seconds from bundle to bundle.")] = 0.5,
    shards: Annotated[int, typer.Option(min=1, max=1 << 20, help="Parts of the state.")] = 32,
) -> None:
    """Tell how many workers, how much state and what latency a job will have.

    What bundles cost is measured on this machine at the call, in about twenty seconds.

    \b
    beam-rnn simulate model.safetensors --streams 100000 --rate 20000
    beam-rnn simulate model.safetensors --streams 1000 --rate 5000 --skew 1.1 --every 1
    """
    from rich.console import Console

    from beam_rnn.simulation import Job, measured_apart, shown

    job = Job(streams, rate, skew, every, shards)
    with _busy("") as status:
        costs = measured_apart(model, lambda what: status.update(f"measuring {what}"))
    Console(soft_wrap=True).print(shown(costs, job))


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
    """Write the state of a job for a job with another number of shards.

    \b
    beam-rnn reshard gs://bucket/of-32 gs://bucket/of-128 --shards 128
    """
    from beam_rnn.transforms import moving

    with _busy(f"writing {shards} shards"):
        moving.reshard(source, target, shards)


@app.command(context_settings=_OWN_ARGUMENTS)
def bench(context: typer.Context) -> None:
    """Measure everything against its peers, in a clone of the project. (--help for more)

    \b
    beam-rnn bench --quick
    beam-rnn bench --only runners latency
    """
    if importlib.util.find_spec("benchmarks") is None:
        raise ValueError("there is no folder benchmarks here: run it in a clone of the project")
    sys.argv[1:] = context.args
    raise typer.Exit(importlib.import_module("benchmarks.__main__").main())


def _busy(what: str) -> Any:
    """A context in which the terminal shows that there is work, and what."""
    from rich.console import Console

    return Console(stderr=True).status(what)


def _run(pipeline: str, arguments: list[str]) -> int:
    # Imported late: the library does not know the pipelines, which are a package beside it.
    return int(importlib.import_module(f"pipelines.{pipeline}").main(arguments))


def main() -> None:
    """Runs the command line."""
    app(prog_name="beam-rnn")
