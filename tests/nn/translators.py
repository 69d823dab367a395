"""Random EncoderDecoders of every kind."""

from typing import Any

from beam_rnn import nn
from tests.nn.models import cell, normal

V_IN, V_OUT, D, H, START, STOP = 11, 9, 5, 8, 0, 1


def additive(query: str, Q: int, C: int, seed: int = 60) -> nn.Additive:
    return nn.Additive(
        normal(seed, 7, Q, scale=1),
        normal(seed + 1, 7, C, scale=1),
        normal(seed + 2, 7, scale=2),
        normal(seed + 3, 7),
        query=query,
    )


def decoder(*layers: Any, width: int = H) -> nn.Network:
    last = nn.Dense(normal(41, V_OUT, width, scale=3), normal(42, V_OUT), "softmax")
    return nn.Network([nn.Embedding(normal(40, V_OUT, D, scale=1)), *layers, last])


def encoder(name: str = "GRU after b_n") -> nn.Network:
    return nn.Network([nn.Embedding(normal(30, V_IN, D, scale=1)), cell(name, D, H, 31)])


def models() -> dict[str, nn.EncoderDecoder]:
    """Every way to attend, by a name for the test."""
    dot = nn.Multiplicative(normal(70, H, H, scale=1))
    combined = nn.Dense(normal(72, H, 2 * H), normal(73, H), "tanh")
    of_token = nn.Multiplicative(normal(74, H, D, scale=1), normal(75, H))
    numbers: dict[str, Any] = {"start": START, "stop": STOP, "limit": 12}
    gru = cell("GRU after", D, H, 50)
    to_lstm = [nn.Dense(normal(80, 2 * H, H), normal(81, 2 * H), "tanh")]
    return {
        "none": nn.EncoderDecoder(encoder(), decoder(gru), **numbers),
        "Luong": nn.EncoderDecoder(encoder(), decoder(gru, dot, combined), **numbers),
        "Bahdanau": nn.EncoderDecoder(
            encoder(), decoder(additive("state", H, H), cell("GRU before", D + H, H, 51)), **numbers
        ),
        "of the token": nn.EncoderDecoder(
            encoder("LSTM"),
            decoder(of_token, cell("LSTM", D + H, H, 52)),
            source_end=2,
            source_length=9,
            **{**numbers, "stop": START},
        ),
        "both, through a bridge": nn.EncoderDecoder(
            encoder(),
            decoder(of_token, cell("LSTM", D + H, H, 53), additive("input", H, H), width=2 * H),
            bridge=to_lstm,
            **{**numbers, "stop": 6},
        ),
    }


MODELS = models()
