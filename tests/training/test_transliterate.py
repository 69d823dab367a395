"""indicate as an EncoderDecoder, against Keras on JAX with the package's weights."""

import os
import subprocess
from functools import cache
from typing import Any

import numpy as np
import pytest

import beam_rnn as rnn
from training import transliterate

os.environ.setdefault("KERAS_BACKEND", "jax")

WORDS = ["राजशेखर", "भारत", "हिंदी", "क", "विश्वविद्यालय"]


@cache
def hindi() -> rnn.EncoderDecoder:
    try:
        return transliterate.model(transliterate.fetch())
    except subprocess.CalledProcessError:
        pytest.skip(f"{transliterate.PACKAGE} is not in the cache and cannot be downloaded")


def read(words: rnn.EncoderDecoder, best: Any) -> str:
    assert words.vocabulary is not None
    return "".join(words.vocabulary[id] for id in best.tokens)


@cache
def layers() -> dict[str, Any]:
    """The layers of the package's Encoder and Decoder, as Keras makes them, with its weights."""
    keras = pytest.importorskip("keras")
    folder = transliterate.fetch()
    encoder = transliterate.read_arrays(folder, "encoder")
    decoder = transliterate.read_arrays(folder, "decoder")
    made = {
        "read": (keras.layers.Embedding(200, 256), "embedding", encoder, (None, None)),
        "reader": (keras.layers.LSTMCell(1024), "layers/lstm/cell", encoder, (None, 256)),
        "written": (keras.layers.Embedding(137, 256), "embedding", decoder, (None, None)),
        "query": (keras.layers.Dense(1024), "layers/dense_1", decoder, (None, None, 256)),
        "writer": (keras.layers.LSTMCell(1024), "decoder_rnn/cell", decoder, (None, 1280)),
        "fc": (keras.layers.Dense(137), "fc", decoder, (None, 1024)),
    }
    for layer, name, arrays, shape in made.values():
        layer.build(shape)
        layer.set_weights([arrays[f"{name}/{i}"] for i in range(len(layer.weights))])
    built: dict[str, Any] = {name: layer for name, (layer, *_) in made.items()}
    return {**built, "attention": keras.layers.Attention(), "ops": keras.ops}


def by_keras(ids: list[int]) -> tuple[list[int], float, list[int]]:
    """What ``indicate.utils.evaluate_sentence`` does: tokens, score, what was read most."""
    known = layers()
    ops = known["ops"]
    padded = np.zeros(transliterate.LONGEST, int)
    padded[: len(ids)] = ids
    state = [ops.zeros((1, 1024))] * 2
    outputs = []
    for x in known["read"](padded[:, None]):
        h, state = known["reader"](x, state)
        outputs.append(h)
    memory = ops.stack(outputs, axis=1)
    token, tokens, score, reads = 2, [], 0.0, []
    while len(tokens) < 173:
        x = known["written"](np.array([[token]]))
        c, weights = known["attention"]([known["query"](x), memory], return_attention_scores=True)
        h, state = known["writer"](ops.concatenate([c, x], axis=-1)[:, 0], state)
        log_p = np.array(ops.log_softmax(known["fc"](h)[0]))
        token = int(log_p.argmax())
        score += float(log_p[token])
        if token == 3:
            break
        tokens.append(token)
        reads.append(int(np.array(weights)[0, 0].argmax()))
    return tokens, score, reads


@pytest.mark.slow
def test_it_says_what_keras_says() -> None:
    model = hindi()
    ids = [transliterate.spell(model, word) for word in WORDS]
    found = [best for best, *_ in model.translate(ids)]
    assert read(model, found[1]) == "bharat"
    for word, best in zip(ids, found, strict=True):
        tokens, score, reads = by_keras(word)
        assert best.tokens.tolist() == tokens
        assert best.score == pytest.approx(score, abs=1e-4)
        assert best.alignment is not None
        assert best.alignment.tolist() == reads


@pytest.mark.slow
def test_a_beam_is_no_worse() -> None:
    model = hindi()
    ids = [transliterate.spell(model, word) for word in WORDS]
    greedy = [best.score for best, *_ in model.translate(ids)]
    wide = [best.score for best, *_ in model.translate(ids, width=5)]
    assert all(w >= g for w, g in zip(wide, greedy, strict=True))
