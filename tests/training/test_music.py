"""Tunes that are kept apart and moved, n-grams, counters, the export, and the committed network."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="the training extra is not installed")
pytest.importorskip("abcnotes", reason="the extra apps is not installed")

import beam_rnn as rnn  # noqa: E402
from beam_rnn.features.tunes import Abc, Key, tokens  # noqa: E402
from training import generate_music, tunes  # noqa: E402
from training.evaluate_music import bits_of, bits_of_ngrams, copied, parse, runs_of  # noqa: E402
from training.generate_music import COUNTERS, HIDDEN, forward, init_params, to_network  # noqa: E402
from training.kneser_ney import NGrams  # noqa: E402
from training.recurrent import init_lstm, lstm  # noqa: E402
from training.tunes import Tune, groups_of, in_key, split, title_of  # noqa: E402

MODEL = Path(__file__).parents[2] / "models" / "generate_music.safetensors"
HEAD = "M:6/8\nL:1/8\nK:G\n"


def melody(seed: int) -> str:
    letters = "".join(np.random.default_rng(seed).choice(list("GABcdefg"), 48))
    return "|".join(letters[i : i + 6] for i in range(0, 48, 6)) + "|]\n"


def test_one_title_or_one_melody_is_one_tune() -> None:
    moved = in_key(HEAD + melody(0), Key.read("D"))
    assert moved is not None
    found = [
        Tune("first", HEAD + melody(0)),
        Tune("other", HEAD + melody(1)),
        Tune("first", HEAD + melody(2)),
        Tune("third", moved[:-8] + "d3|]\n"),  # the first one in D, with another end
    ]
    groups = groups_of(found)
    assert groups[0] == groups[2] == groups[3]
    assert groups[0] != groups[1]
    assert title_of("X:1\nT: THE Blackbird -- Reel\n") == title_of("T:Blackbird, The\n")


def test_no_tune_is_on_both_sides() -> None:
    found = [Tune(f"title{i // 2}", HEAD + melody(i)) for i in range(300)] * 2
    data = split(found)
    assert len(data.train) + len(data.valid) + len(data.test) == 300  # each text once
    titles = [{tune.title for tune in found if tune.text in set(part)} for part in data]
    assert not (titles[0] & titles[1])
    assert not (titles[0] & titles[2])
    assert not (titles[1] & titles[2])
    assert 10 < len(data.test) < 60


def test_a_tune_in_another_key_keeps_its_scale() -> None:
    assert in_key(HEAD + "G^c=fB|d2|]\n", Key.read("F")) == "M:6/8\nL:1/8\nK:F\nF=B_eA|c2|]\n"
    assert in_key(HEAD + "G^f|]\n", Key.read("A")) == "M:6/8\nL:1/8\nK:A\nA^g|]\n"
    assert in_key(HEAD + "GBd|]\n", Key.read("G")) == HEAD + "GBd|]\n"
    assert in_key(HEAD + "d''|]\n", Key.read("C")) is None  # too high
    there = in_key(HEAD + melody(3), Key.read("Bb"))
    assert there is not None
    assert in_key(there, Key.read("G")) == HEAD + melody(3)


def test_ngrams_are_a_distribution_and_know_what_they_saw() -> None:
    model = NGrams(["abcabcabd\n", "abcabe\n"], 3)
    for context in ("ab", "bc", "xy", "\n\n"):
        total = sum(model.probability(context, symbol) for symbol in "abcde\n\3?")
        assert total == pytest.approx(1, abs=1e-9)
    assert model.probability("ab", "c") > model.probability("ab", "d")
    assert model.probability("ab", "d") > model.probability("ab", "a") > 0
    bits = bits_of_ngrams(model, ["M\nL\nK\nabc\n"])
    assert bits.each == pytest.approx(
        -sum(map(math.log2, model.probabilities("M\nL\nK\nabc\n"))) / 10
    )
    assert bits.of_notes == 4


def test_interpolated_by_hand() -> None:
    """Bigrams: discounts fall back to a half where there are too few counts."""
    model = NGrams(["aab"], 2)  # bigrams: Sa, aa, ab, bE; continuations: a 2, b 1, E 1
    p_b = (1 - 0.5 + 3 * 0.5 * (1 / 4)) / 4  # uniform over a, b, E and what was never seen
    assert model.probability("a", "b") == pytest.approx((1 - 0.5 + 2 * 0.5 * p_b) / 2)


@pytest.mark.slow
def test_export_equals_jax_and_counters_count() -> None:
    text = "M:6/8\nL:1/8\nK:G\nA|B2c3/A>B(3cde|A|]\n"
    vocabulary = ["", *sorted(set(tokens(text)))]
    params = init_params(vocabulary, 1)
    ids = np.array([0, *Abc(vocabulary).ids(text)])
    y, _ = to_network(params, vocabulary, {}).unroll(ids)
    np.testing.assert_allclose(y, jax.nn.softmax(forward(params, ids[:, None]))[:, 0], atol=1e-5)
    x = np.concatenate([params["token"][ids], params["counts"][ids]], 1)[:, None]
    h = np.asarray(lstm(generate_music.with_counters(params["first"]), x))[:, 0, HIDDEN:]
    counted = np.arctanh(h) * [20, 20, 16, 64]
    assert h.shape == (len(ids), COUNTERS)
    np.testing.assert_allclose(
        counted[3:, 0],
        [1, 0, 1, 2, 3, 3.5, 4.5, 4.5, 5.5, 4.5, 5.5, 6.5, 7.5, 0, 1, 0, 0],
        atol=1e-4,
    )
    np.testing.assert_allclose(counted[1:, 1], 6, atol=1e-3)
    np.testing.assert_allclose(counted[-1, 2:], [0, 3], atol=1e-3)  # |] begins a section


@pytest.mark.slow
def test_the_gradient_is_that_of_jax() -> None:
    draw = np.random.default_rng(0)
    cell, x = init_lstm(draw, 5, 3), draw.normal(size=(3, 2, 3)).astype(np.float32)
    weights = draw.normal(size=(3, 2, 5))

    def plain(cell: Any) -> Any:
        h = c = jax.numpy.zeros((2, 5))
        outputs = []
        for now in x:
            gates = now @ cell["W_x"].T + cell["b"] + h @ cell["W_a"].T
            i, f, g, o = jax.numpy.split(gates, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jax.numpy.tanh(g)
            h = jax.nn.sigmoid(o) * jax.numpy.tanh(c)
            outputs.append(h)
        return (jax.numpy.stack(outputs) * weights).sum()

    ours = jax.grad(lambda cell: (lstm(cell, x) * weights).sum())(cell)
    theirs = jax.grad(plain)(cell)
    for name in cell:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5)


def test_rows_are_tunes_end_to_end() -> None:
    forms = [[np.full(90, i + 1, np.int32)] for i in range(200)]
    (first, *others) = generate_music.batches(forms, np.random.default_rng(0))
    assert first.shape == (generate_music.STEPS + 1, generate_music.BATCH)
    assert (first[0] == 0).all()
    assert [len(set(first[1:, b].tolist())) for b in range(3)] == [3, 3, 3]  # the third one cut
    assert len(others) == 200 // 3 // generate_music.BATCH - 1


def test_what_is_copied() -> None:
    runs = runs_of([HEAD + "abcdefgabcdefgabcdefgabcdefg|]\n"])
    assert copied([HEAD + "abcdefgabcdefgabcdefgabc|]\n"], runs) == (0, 0, 0)  # 24
    tunes_share, characters, longest = copied(
        [HEAD + "GGGGabcdefgabcdefgabcdefgabcdGGGG\n", HEAD + "A|]\n"], runs
    )
    assert (tunes_share, longest) == (0.5, 25)
    assert characters == pytest.approx(25 / (34 + 4))


def test_music21_says_which_bars_are_complete() -> None:
    pytest.importorskip("music21", reason="the training extra is not installed")
    assert parse(HEAD + "G|ABcdef|g3f2:|d|cde3d|G3-G2|]\n") == (True, True)
    assert parse(HEAD + "G|ABcde|g3f2e|]\n") == (True, False)  # short within
    assert parse(HEAD + "G|ABcdefg|g3f2e|]\n") == (True, False)  # long
    assert parse(HEAD + "(3ABcd2ef|A>Bcd3|]\n") == (True, True)
    assert parse("") == (False, False)
    assert not parse("K:\nhello").complete


def test_what_it_says_of_itself() -> None:
    network = rnn.load(MODEL)
    assert MODEL.stat().st_size < 8_000_000
    assert network.vocabulary is not None
    y, _ = network.unroll(
        np.array([0, *Abc(network.vocabulary).ids(HEAD + "GAB d2e".replace(" ", ""))])
    )
    likeliest = network.vocabulary[int(y[-1].argmax())]
    assert likeliest == "|"  # the bar is full
    assert y[-2, network.vocabulary.index("|")] < 0.1  # it was not


@pytest.mark.slow
def test_the_figures_of_the_card() -> None:
    if not list(tunes.FOLDER.glob("*.whl")):
        pytest.skip("the tunes are not here; training/evaluate_music.py fetches them")
    network = rnn.load(MODEL)
    test = split(tunes.read()[0]).test
    assert bits_of(network, test).each == pytest.approx(
        network.card["test_bits_per_character"], abs=1e-3
    )
