"""Verses and their markup, the dictionary, the gradients of the recipe, its export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="the training extra is not installed")

import jax.numpy as jnp  # noqa: E402

import beam_rnn as rnn  # noqa: E402
from beam_rnn.features import Pieces  # noqa: E402
from training import dictionary, evaluate_translation, recurrent, verses  # noqa: E402
from training import translate_text as recipe  # noqa: E402

MODEL = Path(__file__).parents[2] / "models" / "translate_text.safetensors"


def test_markup_is_read() -> None:
    marked = (
        '<title type="x">A head</title><title canonical="true">A <w lemma="strong:H4210">Psalm</w>.'
        '</title> <l level="1"/> ¶ <w lemma="strong:H3068 strong:H0430">LORD</w>,  <note>1.1 or'
        " <w>this</w></note>how\n<transChange>are</transChange> they\\ "
    )
    side = verses.parse(marked)
    assert side.text == "A Psalm. LORD, how are they"
    assert len(side.numbers) == len(side.text)
    assert side.numbers[2:7] == [("H4210",)] * 5
    assert side.numbers[9] == ("H3068", "H0430")
    assert not any(side.numbers[13:])
    assert verses.parse('<w lemma="strong:H7225">EN el principio</w>').text == "En el principio"
    assert verses.parse("¡OH Jehová").text == "¡Oh Jehová"
    assert verses.parse("LORD, how").text == "LORD, how"
    pieces = Pieces(["▁", "▁LO", "RD", *"A Psalm,.howrethyLORD"])
    numbers = [own for _, own in verses.coded(side, pieces)]
    assert [own for own in numbers if own] == [("H4210",)] * 5 + [("H3068", "H0430")] * 2


def test_the_dictionary_learns_words() -> None:
    pairs = [
        ("the house", "la casa"),
        ("the book", "el libro"),
        ("the house, a book", "la casa, un libro"),
        ("a house", "una casa"),
        ("a book", "un libro"),
    ] * 3
    words = dictionary.learn(pairs)
    assert (words["house"], words["book"], words[","]) == ("casa", "libro", ",")
    assert dictionary.translate("house, Zion!", words) == "casa, Zion!"
    assert dictionary.joined(["¿", "qué", "?", "sí", "."]) == "¿qué? sí."


def test_pieces_are_found_in_texts() -> None:
    pytest.importorskip("sentencepiece", reason="the training extra is not installed")
    texts = ["the house of the king", "the king said, the house is the king’s"] * 20
    names = recipe.vocabulary(texts, 40)
    assert names[:2] == ["<s>", "</s>"]
    assert len(names) == len(set(names))
    pieces = Pieces(names)
    assert [piece for piece, _ in pieces.whole("the king")] == ["▁the", "▁king"]
    assert not pieces.unknown("".join(texts))


def test_verses_are_translated_and_compared() -> None:
    pytest.importorskip("sacrebleu", reason="the training extra is not installed")
    model = rnn.load(MODEL)
    assert isinstance(model, rnn.EncoderDecoder)
    texts = ["And God said, Let there be light: and there was light.", "And he went up."]
    found = [text for text, _ in evaluate_translation.translate(model, texts, 4)]
    assert found[0].startswith("Y dijo Dios: ")
    same, same_letters = evaluate_translation.bleu(found, found)
    assert (same, same_letters) == (pytest.approx(100), pytest.approx(100))
    side = verses.parse('And <w lemma="strong:H0430">God</w> <w lemma="strong:H0559">said</w>')
    other = verses.parse('Y <w lemma="strong:H0559">dijo</w> <w lemma="strong:H0430">Dios</w>')
    verse = verses.Verse("Genesis", 0, side, other)
    right, chance = evaluate_translation.aligned(model, [verse])
    assert right == 1
    assert chance == pytest.approx(1 / 3)


def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "WIDTH", 8)
    monkeypatch.setattr(recipe, "HIDDEN", 12)


def batch() -> recipe.Batch:
    draw = np.random.default_rng(0)

    def coded(length: int) -> recipe.Coded:
        ids = np.append(draw.integers(2, 20, length), recipe.STOP).astype(np.int32)
        numbers = np.append(draw.integers(0, 4, (length, 2)), [[0, 0]], 0).astype(np.int32)
        return ids, numbers

    pairs = [(coded(a), coded(b)) for a, b in ((5, 7), (3, 2), (8, 9))]
    return recipe._batch(pairs, 12)


def test_the_gradient_is_that_of_the_plain_equations() -> None:
    """Against the gradient that JAX finds by itself."""
    draw = np.random.default_rng(1)
    cell = jax.tree.map(jnp.asarray, recurrent.init_gru(draw, 6, 4))
    cell |= {name: jnp.asarray(draw.normal(size=cell[name].shape)) for name in ("b", "b_n")}
    x = jnp.asarray(draw.normal(size=(5, 3, 4)), jnp.float32)
    start = jnp.asarray(draw.normal(size=(3, 6)), jnp.float32)
    weights = jnp.asarray(draw.normal(size=(5, 3, 6)), jnp.float32)
    keep = jnp.asarray(draw.random((5, 3)) < 0.7)

    def plainly(cell: Any, x: Any, h: Any) -> Any:
        states = []
        for given, stays in zip(x @ cell["W_x"].T + cell["b"], keep, strict=True):
            own = h @ cell["W_a"].T
            r, z = (jax.nn.sigmoid(given[:, g] + own[:, g]) for g in (slice(6), slice(6, 12)))
            n = jnp.tanh(given[:, 12:] + r * (own[:, 12:] + cell["b_n"]))
            h = jnp.where(stays[:, None], (1 - z) * n + z * h, h)
            states.append(h)
        return jnp.stack(states), h

    def weighed(run: Any) -> Any:
        def value(*given: Any) -> Any:
            h, last = run(*given)
            return (h * weights).sum() + last.sum()

        return jax.jit(jax.value_and_grad(value, (0, 1, 2)))(cell, x, start)

    ours, found = weighed(lambda *given: recurrent.gru(*given, keep))
    theirs, wanted = weighed(plainly)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * float(jnp.abs(other).max()))


@pytest.mark.slow
def test_the_export_writes_what_training_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes(monkeypatch)
    names = ["<s>", "</s>", *(f"▁{i}" for i in range(18))]
    params = recipe.initial(np.random.default_rng(2), 20, 20)
    params = jax.tree.map(lambda value: jnp.asarray(value) * 2, params)
    given = batch()
    logits, weights = recipe.forward(params, given, None)
    model = recipe.model(params, names, names, {})
    for b in range(3):
        source = given.source[: given.lengths[b] - 1, b]
        length = int((given.target[:, b] == recipe.STOP).argmax())
        target = given.target[:length, b].tolist()
        found = model.attention(source, target)
        wanted = np.asarray(weights[0, :length, b, : given.lengths[b]])
        np.testing.assert_allclose(found, wanted, atol=0.02)
        ((best, *_),) = model.translate([source])
        assert best.tokens[0] == int(np.asarray(logits)[0, b].argmax())
    # Behind the end of a target nothing counts.
    changed = given._replace(target=np.where(given.target == 0, 5, given.target))
    one, other = (recipe.losses(params, own, None, 0.1)[0] for own in (given, changed))
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_batches_have_each_verse() -> None:
    draw = np.random.default_rng(0)
    pairs = []
    for i in range(300):
        ids = np.array([*([2 + i % 18] * int(draw.integers(1, 30))), recipe.STOP], np.int32)
        numbers = np.zeros((len(ids), 2), np.int32)
        pairs.append(((ids, numbers), (ids, numbers)))
    found = list(recipe.batches(pairs, 2560, draw))
    assert sum(b.source.shape[1] for b in found) >= 300
    assert all((b.source == b.target).all() for b in found)
    assert {b.source.shape[0] for b in found} == {18, 24, 30}
