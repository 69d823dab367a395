"""The committed tagger: what it says of itself, and that it finds names."""

from pathlib import Path

import numpy as np
import pytest

import beam_rnn as rnn
from beam_rnn.features import Words
from training import neuroner
from training.evaluate_names import WNUT_TEST, evaluate, evaluate_wnut, read_wnut, tag

MODEL = Path(__file__).parents[2] / "models" / "tag_names.safetensors"


@pytest.fixture(scope="module")
def network() -> rnn.Network:
    return rnn.load(MODEL)


def names_of(network: rnn.Network, text: str) -> set[str]:
    words = Words(network.vocabulary or ())
    text_words = text.split()
    labels = tag(network, words, text_words)
    pairs = zip(text_words, labels, strict=True)
    return {f"{word}/{label[2:]}" for word, label in pairs if label != "O"}


def test_what_it_says_of_itself(network: rnn.Network) -> None:
    assert network.labels == ("O", "I-PER", "I-LOC", "I-ORG", "I-MISC")
    assert network.lookahead == 2
    assert network.causal
    assert network.input_shape == (Words.width,)
    assert network.card["test_f1"] >= 85
    assert MODEL.stat().st_size < 8_000_000


def test_finds_names(network: rnn.Network) -> None:
    text = "Mr. Darcy left London on Monday and met Bill Clinton of the United Nations in France ."
    expected = "Darcy/PER London/LOC Bill/PER Clinton/PER United/ORG Nations/ORG France/LOC"
    assert names_of(network, text) == set(expected.split())


def test_one_stream_in_steps_equals_the_whole(network: rnn.Network) -> None:
    words = Words(network.vocabulary or ())
    rows = words.rows(
        ["The", "British", "Broadcasting", "Corporation", "said", "Peter", "Blackburn", "left", "."]
    )
    whole, last = network.unroll(rows)
    a = network.initial_state(1)
    for row, expected in zip(rows, whole, strict=True):
        y, a = network.step(row[None], a)
        np.testing.assert_array_equal(y[0], expected)
    np.testing.assert_array_equal(a[0], last)


@pytest.mark.slow
def test_the_figure_of_the_card(network: rnn.Network) -> None:
    if not list(neuroner.FOLDER.glob("*.whl")):
        pytest.skip("CoNLL-2003 is not here; training/evaluate_names.py fetches it")
    documents = neuroner.read_documents(neuroner.fetch(), "test")
    f1 = evaluate(network, documents)["all"].f1
    assert f1 == pytest.approx(network.card["test_f1"], abs=0.05)


@pytest.mark.slow
def test_the_figure_on_tweets(network: rnn.Network, shared_data: Path) -> None:
    texts = read_wnut(shared_data / "wnut17" / WNUT_TEST)
    assert len(texts) == 1287
    assert f"{evaluate_wnut(network, texts)['all'].f1:.1f}" == "25.7"


def test_kinds_of_wnut_become_those_of_the_tagger(tmp_path: Path) -> None:
    path = tmp_path / WNUT_TEST
    path.write_text("Empire\tB-location\nState\tI-location\n\t\niPad\tB-product\nNATO\tB-group\n\n")
    assert read_wnut(path) == [
        (["Empire", "State"], ["B-LOC", "I-LOC"]),
        (["iPad", "NATO"], ["O", "B-ORG"]),
    ]
