"""Audio front ends: any cut of the sound gives the same bits; the values are those of librosa."""

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_rnn.errors import InputError, OptionError, StateError
from beam_rnn.features import MFCC, PCEN, Deltas, Feature, Frames, LogMel, Sound, Stacked
from beam_rnn.features.resample import Resampler

RATE = 8000
FRAMES = Frames(RATE, 200, 80)
LOGMEL = LogMel(FRAMES, bands=23)
FEATURES = {
    "frames": FRAMES,
    "frames side by side": Frames(RATE, 64, 64),
    "centred": Frames(RATE, 200, 80, center=True),
    "centred, odd": Frames(RATE, 101, 33, center=True),
    "zeros before": Frames(RATE, 200, 80, before=120),
    "filled up": Frames(RATE, 200, 80, pad=True),
    "pre-emphasis": Frames(RATE, 200, 80, preemphasis=0.97),
    "resampled up": Frames(RATE, 200, 80, source_rate=5000),
    "resampled down": Frames(RATE, 200, 80, source_rate=11025, pad=True),
    "log-mel": LOGMEL,
    "cepstra": MFCC(LOGMEL),
    "normalised": PCEN(LOGMEL, smooth=0.1),
    "stacks": Stacked(PCEN(LOGMEL), 3),
    "stacks of resampled frames": Stacked(Frames(RATE, 200, 80, source_rate=5000), 2),
    "slopes": Deltas(MFCC(LOGMEL), order=1),
    "slopes of slopes": Deltas(MFCC(LogMel(Frames(RATE, 200, 80, 5000, 0.97, True), 23)), 3),
}


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Tones that come and go, with noise; int16."""
    t = np.arange(int(seconds * RATE)) / RATE
    draw = np.random.default_rng(seed)
    tones = sum(
        np.sin(2 * np.pi * f * t) * np.sin(np.pi * g * t) ** 2
        for f, g in draw.uniform((100, 1), (3500, 8), (4, 2))
    )
    return (2000 * tones + draw.normal(0, 300, len(t))).astype(np.int16)


def whole(feature: Any, samples: Any) -> np.ndarray:
    """All rows of a sound that comes in one piece."""
    pieces, memory = feature.feed(samples, b"")
    return np.array([x for _, x in pieces + feature.finish(memory)])


@pytest.mark.parametrize("name", FEATURES)
@given(
    seconds=st.floats(0.03, 0.4), cuts=st.lists(st.floats(0, 1), max_size=8), seed=st.integers(0, 9)
)
def test_any_cut_gives_the_same_bits(
    name: str, seconds: float, cuts: list[float], seed: int
) -> None:
    feature = FEATURES[name]
    samples = sound(seconds, seed)
    edges = [0, *sorted(int(cut * len(samples)) for cut in cuts), len(samples)]
    pieces: list[Any] = []
    memory = b""
    for start, stop in itertools.pairwise(edges):
        more, memory = feature.feed(samples[start:stop].tobytes(), memory)
        pieces += more
        assert len(memory) < 8 * RATE
    pieces += feature.finish(memory)
    once, memory = feature.feed(samples, b"")
    once += feature.finish(memory)
    assert [time for time, _ in pieces] == [time for time, _ in once]
    got, expected = (np.array([x for _, x in some]) for some in (pieces, once))
    assert got.dtype == np.float32
    assert got.shape == (len(once), feature.width)
    assert got.tobytes() == expected.tobytes()


def test_frames_begin_where_they_say() -> None:
    samples = sound(0.1)
    pieces, _ = FRAMES.feed(samples, b"")
    assert [time for time, _ in pieces] == [i * 0.01 for i in range(8)]
    for time, frame in pieces:
        at = round(time * RATE)
        assert np.array_equal(frame, samples[at : at + 200] / np.float32(32768))


def test_zeros_before_the_sound() -> None:
    samples = sound(0.1)
    pieces, _ = Frames(RATE, 200, 80, before=120).feed(samples, b"")
    assert [time for time, _ in pieces[:3]] == [-0.015, -0.005, 0.005]
    assert np.array_equal(pieces[0][1], np.r_[np.zeros(120), samples[:80] / np.float32(32768)])
    _, memory = Frames(RATE, 200, 80, before=120).feed(samples[:70], b"")
    with pytest.raises(InputError, match="ended after 70 samples"):
        Frames(RATE, 200, 80, before=120).finish(memory)


def test_a_last_frame_is_filled_up_or_dropped() -> None:
    samples = sound(0.5)[:450]  # frames at 0, 80, 160, 240: the last sample heard is 439
    assert len(whole(FRAMES, samples)) == 4
    filled = whole(Frames(RATE, 200, 80, pad=True), samples)
    assert len(filled) == 5
    assert np.array_equal(filled[-1][:130], samples[320:] / np.float32(32768))
    assert not filled[-1][130:].any()
    assert len(whole(Frames(RATE, 200, 80, pad=True), samples[:440])) == 4


def test_chunks_may_be_bytes_integers_or_floats() -> None:
    samples = sound(0.2)
    expected = whole(LOGMEL, samples).tobytes()
    scaled = samples / np.float32(32768)
    for same in (samples.tobytes(), scaled, scaled.astype(np.float64), Sound(samples, RATE)):
        assert whole(LOGMEL, same).tobytes() == expected


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (b"abc", "3 bytes of sound, expected 2 for each sample"),
        (b"RIFF....WAVEfmt ", "header of a WAV file"),
        (Sound(b"ab", 16000), "16000 samples per second, expected 8000"),
        (np.array([0.1, np.nan]), "nan at sample 1"),
        (np.array([np.inf, 0], np.float32), "inf at sample 0"),
        (np.array([1e300]), "inf at sample 0"),
        (np.zeros((5, 2), np.int16), r"shape \(5, 2\), expected one channel"),
        (np.arange(5), "type int64, expected int16 or floats"),
        ("sound", "expected one channel"),
        (None, "expected one channel"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(chunk: Any, reason: str) -> None:
    for feature in (FRAMES, LOGMEL, MFCC(LOGMEL), Deltas(LOGMEL)):
        with pytest.raises(InputError, match=reason):
            feature.feed(chunk, b"")


def test_the_rate_is_that_of_the_sound_before_it_is_resampled() -> None:
    feature = Frames(RATE, 200, 80, source_rate=16000)
    feature.feed(Sound(b"ab", 16000))
    with pytest.raises(InputError, match="8000 samples per second, expected 16000"):
        feature.feed(Sound(b"ab", RATE))


@pytest.mark.parametrize("name", ["frames", "log-mel", "slopes"])
def test_a_sound_without_a_frame_is_refused_by_name(name: str) -> None:
    _, memory = FEATURES[name].feed(sound(0.02)[:120], b"")
    with pytest.raises(InputError, match="ended after 120 samples, before its first frame of 200"):
        FEATURES[name].finish(memory)


@pytest.mark.parametrize("name", FEATURES)
def test_broken_memory_is_refused(name: str) -> None:
    feature = FEATURES[name]
    _, memory = feature.feed(sound(0.2), b"")
    for broken in (memory[:3], memory[:-1], memory + b"\0" * 100_000):
        with pytest.raises(StateError):
            feature.feed(sound(0.1), broken)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Frames(0, 10, 5), "rates of 0"),
        (lambda: Frames(RATE, 10, 11), "hop is 11"),
        (lambda: Frames(RATE, 10, 5, preemphasis=1), "preemphasis is 1"),
        (lambda: Frames(RATE, 10, 5, before=10), "before is 10"),
        (lambda: Frames(RATE, 10, 5, before=1, center=True), "none with center"),
        (lambda: LogMel(FRAMES, fft_size=128), "fft_size is 128, expected at least 200"),
        (lambda: LogMel(FRAMES, high=5000), "0 <= low < high <= 4000"),
        (lambda: LogMel(FRAMES, window="kaiser"), "window is 'kaiser'"),
        (lambda: LogMel(FRAMES, bands=200), "has no point of a transform of 256"),
        (lambda: MFCC(LOGMEL, 24), "number is 24"),
        (lambda: Deltas(len), "expected Frames, LogMel or MFCC"),
        (lambda: PCEN(LOGMEL, smooth=0), "smooth is 0"),
        (lambda: PCEN(LOGMEL, power=0), "power and eps above 0"),
        (lambda: PCEN(LogMel(FRAMES, 23, decibels=True)), "expected natural logarithms"),
        (lambda: Stacked(LOGMEL, 0), "number is 0"),
        (lambda: Stacked(len, 2), "expected Frames, LogMel, PCEN"),
        (lambda: Deltas(LOGMEL, order=3), "order 3"),
    ],
)
def test_options_are_checked(make: Any, reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        make()


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_features_and_pickle(name: str) -> None:
    feature = FEATURES[name]
    assert isinstance(feature, Feature)
    again = pickle.loads(pickle.dumps(feature))
    assert whole(again, sound(0.1)).tobytes() == whole(feature, sound(0.1)).tobytes()


# librosa compiles itself when it is first used on a machine, for 20 s and more.
@pytest.mark.slow
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize("norm", [False, True])
def test_log_mel_is_that_of_librosa(center: bool, htk: bool, norm: bool) -> None:
    librosa = pytest.importorskip("librosa")
    samples = sound(1.0)
    feature = LogMel(
        Frames(RATE, 256, 100, center=center), bands=40, low=50, htk=htk, norm=norm, decibels=True
    )
    expected = librosa.power_to_db(
        librosa.feature.melspectrogram(
            y=samples / 32768,
            sr=RATE,
            n_fft=256,
            hop_length=100,
            center=center,
            n_mels=40,
            fmin=50,
            fmax=RATE / 2,
            htk=htk,
            norm="slaney" if norm else None,
        ),
        top_db=None,
    ).T
    got = whole(feature, samples)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_cepstra_slopes_and_pre_emphasis_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    samples = sound(1.0)
    frames = Frames(RATE, 256, 80, preemphasis=0.97, center=True)
    mel = LogMel(frames, bands=40, decibels=True)
    emphasised = librosa.effects.preemphasis(samples / 32768, coef=0.97, zi=[0])
    power = librosa.feature.melspectrogram(
        y=emphasised, sr=RATE, n_fft=256, hop_length=80, n_mels=40, fmax=RATE / 2
    )
    cepstra = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=13)
    slopes = [cepstra]
    for _ in range(2):
        slopes.append(librosa.feature.delta(slopes[-1], width=7, order=1, mode="nearest"))
    got = whole(Deltas(MFCC(mel), reach=3), samples)
    np.testing.assert_allclose(got, np.concatenate(slopes).T, rtol=0, atol=5e-3)


@pytest.mark.slow
def test_normalised_energies_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    samples = sound(1.0)
    energy = np.exp(whole(LOGMEL, samples).astype(np.float64)).T
    smooth, eps = 0.04, 1e-3
    expected = librosa.pcen(
        energy, b=smooth, gain=0.8, bias=1.5, power=0.4, eps=eps, zi=(1 - smooth) * energy[:, :1]
    ).T
    feature = PCEN(LOGMEL, smooth=smooth, gain=0.8, bias=1.5, power=0.4, eps=eps)
    np.testing.assert_allclose(whole(feature, samples), expected, rtol=1e-4, atol=1e-5)
    # Loudness goes.
    soft = whole(PCEN(LOGMEL, gain=1, eps=1e-12), samples / np.float32(32768) / 8)
    loud = whole(PCEN(LOGMEL, gain=1, eps=1e-12), samples / np.float32(32768))
    np.testing.assert_allclose(soft, loud, rtol=1e-3, atol=1e-3)


def test_stacks_are_rows_side_by_side() -> None:
    samples = sound(0.2)
    rows, feature = whole(LOGMEL, samples), Stacked(LOGMEL, 4)
    assert len(rows) == 18
    stacks = whole(feature, samples)
    assert stacks.shape == (5, 4 * 23)
    assert np.array_equal(stacks[:4].reshape(16, 23), rows[:16])
    # The last one is filled up with its last row.
    assert np.array_equal(stacks[4].reshape(4, 23), rows[[16, 17, 17, 17]])
    assert feature.seconds == 0.04
    assert [time for time, _ in feature.feed(samples)[0]] == [0.0, 0.04, 0.08, 0.12]


def test_a_window_shorter_than_the_transform_is_a_plain_sum() -> None:
    """The float64 transcription of |sum w[n] x[n] exp(-2 pi i k n / N)|, with HTK triangles."""
    samples = sound(0.2) / 32768
    feature = LogMel(
        FRAMES, bands=20, fft_size=512, window="hamming", power=1, htk=True, norm=False, floor=1e-6
    )
    w = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(200) / 200)
    basis = np.exp(-2j * np.pi * np.arange(257)[:, None] * np.arange(200) / 512)
    mel = np.linspace(0, 2595 * np.log10(1 + 4000 / 700), 22)
    edges = 700 * (10 ** (mel / 2595) - 1)
    hertz = np.arange(257) * RATE / 512
    bands = np.array(
        [np.interp(hertz, edges[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(20)]
    )
    frames = np.lib.stride_tricks.sliding_window_view(samples, 200)[::80]
    expected = np.log(np.maximum(np.abs(frames * w @ basis.T) @ bands.T, 1e-6))
    np.testing.assert_allclose(whole(feature, samples), expected, rtol=0, atol=1e-5)


@given(
    rates=st.sampled_from([(8000, 16000), (16000, 8000), (44100, 16000), (11025, 8000)]),
    number=st.integers(0, 700),
    cuts=st.lists(st.integers(0, 700), max_size=6),
)
def test_resampling_is_that_of_scipy(rates: tuple[int, int], number: int, cuts: list[int]) -> None:
    signal = pytest.importorskip("scipy.signal")
    resampler = Resampler(*rates)
    samples = np.random.default_rng(number).normal(size=number).astype(np.float32)
    memory, parts = b"", []
    for start, stop in itertools.pairwise([0, *sorted(min(c, number) for c in cuts), number]):
        made, memory = resampler.feed(samples[start:stop], memory)
        parts.append(made)
        assert len(memory) <= 16 + 4 * (60 * max(rates) // min(rates) + 442)
    got = np.concatenate([*parts, resampler.finish(memory)])
    if number:
        expected = signal.resample_poly(samples.astype(np.float64), rates[1], rates[0])
        assert got.tobytes() == expected.astype(np.float32).tobytes()
    else:
        assert not len(got)
