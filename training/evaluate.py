"""Recomputes the figures of every model from weights and data, and prints their tables.

python training/evaluate.py
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIGURES = {
    "tag_names": ["evaluate_names.py", "models/tag_names.safetensors"],
    "tag_names on WNUT-17": ["evaluate_names.py", "models/tag_names.safetensors", "--wnut"],
    "annotate_dna": ["evaluate_dna.py", "models/annotate_dna.safetensors"],
    "splice_sites": ["splice_sites.py", "--evaluate", "models/splice_sites.safetensors"],
    "classify_sentiment": ["evaluate_sentiment.py", "models/classify_sentiment.safetensors"],
    "detect_running": ["evaluate_running.py", "models/detect_running.safetensors"],
    "detect_running_video": ["evaluate_running.py", "models/detect_running_video.safetensors"],
    "translate_text": ["evaluate_translation.py", "models/translate_text.safetensors"],
    "walkers": ["evaluate_running.py", "models/detect_running_video.safetensors", "--walkers"],
    "transcribe_speech": ["evaluate_speech.py", "models/transcribe_speech.safetensors"],
    "another voice": ["evaluate_speech.py", "models/transcribe_speech.safetensors", "--other"],
    "generate_music": ["evaluate_music.py", "models/generate_music.safetensors"],
}
"""The module that gives the figures of each model, and its arguments."""


def main() -> int:
    """Runs them one after the other; returns 1 if one failed."""
    failed = []
    for name, (module, *arguments) in FIGURES.items():
        print(f"\n== {name}", flush=True)
        command = [sys.executable, str(ROOT / "training" / module), *arguments]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
