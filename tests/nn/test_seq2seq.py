"""EncoderDecoder and attention: against the textbook, one source at a time, and its own batches."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_rnn import nn
from beam_rnn.errors import InputError, ModelError
from tests.nn.models import cell, normal
from tests.nn.translators import (
    MODELS,
    START,
    STOP,
    V_IN,
    V_OUT,
    D,
    H,
    additive,
    decoder,
    encoder,
)


def sources(seed: int, number: int, longest: int = 8) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, V_IN, rng.integers(1, longest + 1)) for _ in range(number)]


def attended(layer: Any, q: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, int]:
    """c (C,) for one query and outputs m (T, C), by the papers' formulas."""
    if isinstance(layer, nn.Multiplicative):
        bias = 0 if layer.b_q is None else layer.b_q
        scores = m @ (layer.W_q @ q + bias)
    else:
        scores = np.tanh(layer.W_q @ q + m @ layer.W_k.T + layer.b) @ layer.v
    weights = np.exp(scores - scores.max())
    weights /= weights.sum()
    return weights @ m, int(weights.argmax())


def plainly(model: nn.EncoderDecoder, source: np.ndarray) -> tuple[list[int], float, list[int]]:
    """Greedy, one source: tokens, score and what was read most."""
    x = np.concatenate([source, model.closing(len(source))])
    m, a = model.encoder.unroll(x)
    for layer in model.bridge:
        a = layer.apply(a[None])[0]
    tokens: list[int] = []
    reads: list[int] = []
    score, token = 0.0, model.start
    while len(tokens) < model.limit:
        x, read = np.array([token]), []
        for layer in model.decoder.layers:
            if isinstance(layer, nn.Additive | nn.Multiplicative):
                q = a[: layer.query_size] if layer.query == "state" else x[0]
                c, place = attended(layer, q, m)
                x = np.concatenate([c, x[0]])[None].astype(np.float32)
                read.append(place)
            elif hasattr(layer, "kernel"):
                x, after = nn.Network([layer]).step(x, a[None])
                a = after[0]
            else:
                x = layer.apply(x)
        token = int(x[0].argmax())
        score += float(np.log(x[0, token]))
        if token == model.stop:
            break
        tokens.append(token)
        reads += read[:1]
    return tokens, score, reads


@pytest.mark.parametrize("name", MODELS)
def test_greedy_is_the_textbook(name: str) -> None:
    model = MODELS[name]
    mine = sources(1, 12)
    found = model.translate(mine)
    assert len({len(hypotheses[0].tokens) for hypotheses in found}) > 2
    for source, (hypothesis,) in zip(mine, found, strict=True):
        tokens, score, reads = plainly(model, source)
        assert hypothesis.tokens.tolist() == tokens
        assert hypothesis.score == pytest.approx(score, rel=1e-4)
        if model.attends:
            assert hypothesis.alignment is not None
            assert hypothesis.alignment.tolist() == reads


@settings(max_examples=20)
@given(
    name=st.sampled_from(list(MODELS)),
    seed=st.integers(0, 1000),
    number=st.integers(2, 9),
    how=st.sampled_from([{}, {"width": 3, "best": 2}, {"width": 5, "best": 5, "alpha": 0.8}]),
)
def test_a_source_gives_the_same_bits_in_any_company(
    name: str, seed: int, number: int, how: dict[str, Any]
) -> None:
    model = MODELS[name]
    mine = sources(seed, number)
    together = model.translate(mine, **how)
    for source, hypotheses in zip(mine, together, strict=True):
        (alone,) = model.translate([source], **how)
        assert [h.score for h in alone] == [h.score for h in hypotheses]
        for one, other in zip(alone, hypotheses, strict=True):
            assert one.tokens.tolist() == other.tokens.tolist()
            if model.attends:
                assert one.alignment is not None
                assert other.alignment is not None
                assert one.alignment.tolist() == other.alignment.tolist()


@pytest.mark.parametrize("name", MODELS)
def test_a_wider_beam_finds_no_worse(name: str) -> None:
    mine = sources(2, 20)
    greedy = [h[0].score for h in MODELS[name].translate(mine)]
    wide = [h[0].score for h in MODELS[name].translate(mine, width=30, best=3)]
    assert all(w >= g for w, g in zip(wide, greedy, strict=True))
    assert any(w > g for w, g in zip(wide, greedy, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_attention_is_where_the_alignment_is(name: str) -> None:
    model, source = MODELS[name], [3, 1, 4, 1, 5]
    ((best, *_),) = model.translate([source], width=3)
    if not model.attends:
        with pytest.raises(ModelError, match="no attention"):
            model.attention(source, best.tokens)
        return
    weights = model.attention(source, best.tokens)
    assert weights.shape == (len(best.tokens), 5 + len(model.closing(5)))
    assert best.alignment is not None
    assert weights.argmax(axis=1).tolist() == best.alignment.tolist()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    with pytest.raises(InputError):
        model.attention([], best.tokens)
    with pytest.raises(InputError):
        model.attention(source, [99])


def test_fingerprints_tell_models_apart() -> None:
    prints = {model.fingerprint for model in MODELS.values()}
    assert len(prints) == len(MODELS)
    model = MODELS["none"]
    other = nn.EncoderDecoder(model.encoder, model.decoder, start=START, stop=STOP, limit=13)
    assert other.fingerprint != model.fingerprint
    assert pickle.loads(pickle.dumps(model)).fingerprint == model.fingerprint


def test_what_closes_a_source() -> None:
    model = MODELS["of the token"]
    assert model.closing(3).tolist() == [2, 0, 0, 0, 0, 0]
    assert model.closing(8).tolist() == [2]
    assert MODELS["none"].closing(3).tolist() == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "source 1: an empty source: expected at least one input"),
        (list(range(9)), "source 1: a source of 9 inputs, expected at most 8"),
        ([3, V_IN], rf"x has the id {V_IN}, expected 0\.\.{V_IN - 1}"),
    ],
    ids=["empty", "too long", "outside"],
)
def test_a_bad_source_is_refused(source: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        MODELS["of the token"].translate([[1, 2], np.array(source, np.int64)])


def build(**parts: Any) -> nn.EncoderDecoder:
    wanted: dict[str, Any] = {
        "encoder": encoder(),
        "decoder": decoder(cell("GRU after", D, H)),
        "start": START,
        "stop": STOP,
    }
    return nn.EncoderDecoder(**{**wanted, **parts})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"encoder": 5}, "encoder is a int, expected a Network"),
        (
            {"encoder": nn.Network([nn.Bidirectional(cell("LSTM", D, 4), cell("LSTM", D, 4))])},
            "encoder: expected a network that steps",
        ),
        ({"decoder": encoder()}, "decoder: the network ends in GRU"),
        ({"encoder": encoder("LSTM")}, r"the decoder's state has 8 values, the encoder gives \(16"),
        (
            {"bridge": [nn.Dense(normal(1, 5, H), normal(2, 5))]},
            r"state has 8 values, the encoder and the bridge give \(5,\)",
        ),
        (
            {"bridge": [nn.Dense(normal(1, 5, 3), normal(2, 5))]},
            r"bridge, layer 0: Dense.W_y takes 3 features",
        ),
        ({"start": V_OUT}, rf"start is {V_OUT}, expected an id in 0\.\.{V_OUT - 1}"),
        ({"stop": -1}, "stop is -1, expected an id"),
        ({"limit": 0}, "limit is 0, expected a number of tokens from 1"),
        ({"source_end": V_IN}, f"source_end: x has the id {V_IN}"),
        ({"source_length": 1, "source_end": 2}, "source_length is 1, expected from 2"),
        (
            {"decoder": decoder(additive("state", H, 3), cell("GRU after", D + 3, H))},
            "Additive reads 3 features, the encoder gives 8",
        ),
        (
            {"decoder": decoder(additive("state", 3, H), cell("GRU after", D + H, H))},
            "Additive.W_q takes 3 features, the cell behind it has 8",
        ),
        (
            {"decoder": decoder(cell("GRU after", D, H), additive("state", H, H), width=2 * H)},
            'Additive has query="state", but no cell comes behind it',
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_parts_that_do_not_fit_are_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(**parts)


def test_attention_needs_a_source_and_a_known_query() -> None:
    with pytest.raises(ModelError, match=r"query is 'here', expected"):
        additive("here", H, H)
    alone = decoder(nn.Multiplicative(normal(1, H, D)), cell("GRU after", D + H, H))
    with pytest.raises(ModelError, match="reads a source: use it in an EncoderDecoder"):
        alone.step([1], alone.initial_state(1))
    with pytest.raises(ModelError, match="W_q takes 3 features, the layer before gives"):
        decoder(nn.Multiplicative(normal(1, H, 3)))
    with pytest.raises(ModelError, match="cannot be the first layer"):
        nn.Network([nn.Multiplicative(normal(1, H, 3))])
