"""Where weights and samples are: beside this folder in a clone, inside it when installed."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent
_INSTALLED = _HERE / "models"

MODELS = _INSTALLED if _INSTALLED.is_dir() else _HERE.parent / "models"
SAMPLES = _HERE / "sample"
