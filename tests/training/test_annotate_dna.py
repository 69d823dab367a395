"""The committed annotator of DNA and classifier of splice sites: what they say of themselves."""

from pathlib import Path

import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.features import Nucleotides, SpliceWindow

jax = pytest.importorskip("jax", reason="the training extra is not installed")

from training import annotate_dna, evaluate_dna, genome, splice_sites  # noqa: E402
from training.splice_sites import regions  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"
DNA, SPLICE = MODELS / "annotate_dna.safetensors", MODELS / "splice_sites.safetensors"


def test_what_they_say_of_themselves() -> None:
    dna, splice = rnn.load(DNA), rnn.load(SPLICE)
    assert dna.labels == tuple(genome.LABELS)
    assert dna.input_shape == (Nucleotides.width,)
    assert dna.card["lookahead"] <= 300
    assert dna.card["test_strand"] >= 0.85
    assert splice.labels == tuple(splice_sites.LABELS)
    assert splice.input_shape == (len(SpliceWindow.columns),)
    assert splice.card["cross_validated_accuracy"] >= 0.94


def test_export_equals_jax() -> None:
    params = annotate_dna.init_params(0)
    text = "".join(np.random.default_rng(0).choice(list("ACGTN"), 90))
    rows = Nucleotides(30).rows(text)
    y, _ = annotate_dna.to_network(params, {}).unroll(rows)
    logits = annotate_dna.forward(params, rows[:, None])
    np.testing.assert_allclose(y, jax.nn.softmax(logits)[:, 0], atol=1e-5)


def test_windows_that_share_bases_are_one_region() -> None:
    draw = np.random.default_rng(0)
    a, b = ("".join(draw.choice(list("ACGT"), 60)) for _ in range(2))
    assert len(set(regions([a, b]).tolist())) == 2
    shared = [a, b, b[40:] + a[:40], a[15:35] + b[:40]]
    assert len(set(regions(shared).tolist())) == 1
    assert len(set(regions([a, a[41:] + b[:41]]).tolist())) == 2  # 19 bases


@pytest.mark.slow
def test_the_figures_of_the_cards() -> None:
    if len(list(genome.FOLDER.glob("*.deb"))) < 2:
        pytest.skip("the data is not here; training/annotate_dna.py fetches it")
    dna, splice = rnn.load(DNA), rnn.load(SPLICE)
    test = genome.split(genome.read_genome(), "test")
    assert evaluate_dna.accuracy(dna, test, 300).strand == pytest.approx(
        dna.card["test_strand"], abs=5e-4
    )
    windows = splice_sites.read_windows()
    own = windows.chosen(splice_sites.folds(windows) == 0)
    assert splice_sites.accuracy(splice, own) == pytest.approx(
        splice.card["test_accuracy"], abs=5e-4
    )
