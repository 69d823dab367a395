"""Package metadata of beam-rnn; ships whole with ``--setup_file=./setup.py``."""

from pathlib import Path

from setuptools import find_packages, setup

README = Path(__file__).parent / "README.md"

# What the command line needs: live coloured lines, commands, pages.
CLI = ["jinja2>=3.1", "rich>=13", "typer>=0.12"]
ONNX = ["onnx>=1.16", "onnxruntime>=1.18"]
KERAS = ["h5py>=3.10", "keras>=3.5", "jax>=0.4.30"]
AUDIO = ["scipy>=1.11"]  # resampling
# What the applications read and draw.
READ = [
    "abcnotes>=0.1,<0.2",
    "biopython>=1.83",
    "matplotlib>=3.8",
    "mido>=1.3",
    "opencv-python-headless>=4.8",
    "soundfile>=0.12",
]
APPS = sorted({*CLI, *AUDIO, *READ})
FAST = ["numba>=0.61"]  # compiled steps
KAFKA = ["confluent-kafka>=2.6"]
# Pipelines in YAML, and DataFrames; the last two are those that Beam cannot do without.
YAML = ["apache-beam[yaml]>=2.72,<3", "docstring-parser>=0.15", "jsonschema>=4"]
TRAIN = [
    "jax>=0.4.30",
    "music21>=9.5",
    "optax>=0.2.2",
    "pysword>=0.2.8",
    "rdata>=0.11",
    "sacrebleu>=2.4",
    "scikit-learn>=1.4",
    "scipy>=1.11",
    "sentencepiece>=0.2",
]
# Peers, plots, and what tells which BLAS it was.
BENCH = ["bytewax>=0.21", "matplotlib>=3.8", "threadpoolctl>=3.1"]
DOCS = ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"]
DEV = [
    "build>=1.2",
    "hypothesis>=6.100",
    "import-linter>=2.1",
    "jsonschema>=4.18",
    "librosa>=0.10.1",
    "mypy>=1.13",
    "playwright>=1.45",
    "pytest>=8.2",
    "pytest-xdist>=3.6",
    "ruff>=0.8",
]

setup(
    name="beam-rnn",
    description="Recurrent networks over unbounded streams, their state kept in Apache Beam",
    long_description=README.read_text(encoding="utf-8") if README.exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    # The applications go along, with weights and samples: workers and the command line need them.
    packages=[*find_packages(include=["beam_rnn*", "pipelines*"]), "pipelines.models"],
    package_dir={"pipelines.models": "models"},
    package_data={
        "beam_rnn": ["py.typed", "report/page.*", "report/parts.html", "providers.yaml"],
        "pipelines": ["sample/*", "deploy/*"],
        "pipelines.models": ["*.safetensors"],
    },
    install_requires=["apache-beam>=2.72,<3", "numpy>=1.26", "pyarrow>=14", "safetensors>=0.4.3"],
    extras_require={
        "apps": APPS,
        "cli": CLI,
        "onnx": ONNX,
        "keras": KERAS,
        "torch": ["torch>=2.2"],
        "train": TRAIN,
        "audio": AUDIO,
        "fast": FAST,
        "kafka": KAFKA,
        "yaml": YAML,
        "docs": DOCS,
        "bench": sorted({*BENCH, *CLI, *FAST, *ONNX}),
        # No torch: its layouts are tested on saved files, and it is a large install.
        "dev": sorted({*DEV, *APPS, *ONNX, *FAST, *KERAS, *AUDIO, *KAFKA, *YAML, *TRAIN, *DOCS}),
    },
    entry_points={"console_scripts": ["beam-rnn = beam_rnn.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
)
