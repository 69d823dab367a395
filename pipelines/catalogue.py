"""The applications: what each does, the weights that it has, and their figures."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

import beam_rnn as rnn
from beam_rnn.cli import PIPELINES
from pipelines.places import MODELS

WEIGHTS = {
    "tag-names": ("tag_names",),
    "annotate-dna": ("annotate_dna", "splice_sites"),
    "classify-sentiment": ("classify_sentiment",),
    "detect-running": ("detect_running", "detect_running_video"),
    "transcribe-speech": ("transcribe_speech",),
    "generate-music": ("generate_music",),
    "translate-text": ("translate_text",),
}
"""The models of each command, by their names in the folder models."""

_FIGURES = ("test_", "cross_validated_")


def figures_of(model: str) -> dict[str, float]:
    """The figures on a model's card that are of data that training never saw."""
    card = rnn.load(str(MODELS / f"{model}.safetensors")).card
    return {
        name.removeprefix("test_").replace("_", " "): value
        for name, value in card.items()
        if name.startswith(_FIGURES)
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    table = Table("command", "what it does", "figures on test data", show_lines=True)
    for command, models in WEIGHTS.items():
        lines = []
        for model in models:
            said = ", ".join(f"{name} {value:g}" for name, value in figures_of(model).items())
            lines.append(f"{model}: {said}" if len(models) > 1 else said)
        table.add_row(command, PIPELINES[command], "\n".join(lines))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
