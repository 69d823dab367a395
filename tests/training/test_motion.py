"""Scenes made of clips, their drawings, and the committed detectors."""

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="the extra apps is not installed")

import beam_rnn as rnn  # noqa: E402
from beam_rnn.features import Pose, Silhouette  # noqa: E402
from training import evaluate_running, motion  # noqa: E402
from training.drawing import View, draw_mask, photograph, roughened  # noqa: E402
from training.motion import Clip, mirrored, scene, stretched, turned  # noqa: E402

MODELS = Path(__file__).parents[2] / "models"
DRAW = np.random.default_rng(0)
# Legs, arms and a head that stand apart, so that a drawing has a shape.
UPRIGHT = np.zeros((38, 3), np.float32)
UPRIGHT[:, 1] = DRAW.uniform(-14, 10, 38)
UPRIGHT[:, 0] = DRAW.uniform(-3, 3, 38)


def clip(name: str, action: str, frames: int) -> Clip:
    wave = np.sin(np.arange(frames) / 3)[:, None, None].astype(np.float32)
    return Clip(f"train/{name}", "train", action, UPRIGHT + wave)


def test_the_same_motion_otherwise() -> None:
    poses = clip("a", "walking", 40).poses
    np.testing.assert_array_equal(mirrored(mirrored(poses)), poses)
    assert (mirrored(poses)[:, 3, 0] == -poses[:, 9, 0]).all()
    assert len(stretched(poses, 2.0)) == 78
    np.testing.assert_allclose(stretched(poses, 2.0)[::2], poses[:-1], atol=1e-5)
    np.testing.assert_allclose(turned(turned(poses, 90), -90), poses, atol=1e-4)
    np.testing.assert_allclose(turned(poses, 90)[..., 1], poses[..., 1])


def test_a_scene_runs_a_third_of_the_time_or_more() -> None:
    clips = [clip("running_1", "running", 40), clip("walking_1", "walking", 90)]
    draw = np.random.default_rng(0)
    scenes = [scene(clips, 240, draw) for _ in range(30)]
    assert all(poses.shape == (240, 38, 3) and runs.shape == (240,) for poses, runs in scenes)
    share = np.mean([runs.mean() for _, runs in scenes])
    assert 0.2 < share < 0.6
    assert not np.array_equal(scenes[0][0], scenes[1][0])


@pytest.mark.parametrize("height", [32, 120])
@pytest.mark.parametrize("degrees", [0, 90])
def test_a_drawing_is_as_high_as_it_should_be(height: int, degrees: int) -> None:
    mask = draw_mask(UPRIGHT, View(degrees, height))
    rows = np.flatnonzero(mask.any(axis=1))
    assert 0.6 * height < rows[-1] - rows[0] < 1.4 * height
    again = roughened(mask, np.random.default_rng(0))
    both = ((again > 0) & (mask > 0)).sum()
    assert both > 0.5 * (mask > 0).sum()
    picture = photograph(mask, 20, np.random.default_rng(0))
    assert picture[mask > 0].mean() > picture[mask == 0].mean() + 60


def test_what_the_detectors_say_of_themselves() -> None:
    poses = rnn.load(MODELS / "detect_running.safetensors")
    video = rnn.load(MODELS / "detect_running_video.safetensors")
    assert poses.input_shape == (Pose.width,)
    assert video.input_shape == (Silhouette.width,)
    for network, least in ((poses, 0.95), (video, 0.9)):
        assert network.labels == ("other", "running")
        assert network.card["test_f1"] >= least
        assert network.card["test_false_alarms_per_minute"] < 1
        assert network.card["test_seconds_to_answer"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["detect_running", "detect_running_video"])
def test_the_figures_of_the_cards(name: str) -> None:
    if not motion.DATA.exists():
        pytest.skip(f"the motion capture is not here: {motion.DATA}")
    network = rnn.load(MODELS / f"{name}.safetensors")
    kind = evaluate_running.POSES if name == "detect_running" else evaluate_running.VIDEO
    clips = [clip for clip in motion.read_clips() if clip.split == "test"]
    figures = evaluate_running.evaluate(network, clips, kind)
    assert figures.f1 == pytest.approx(network.card["test_f1"], abs=1e-3)
    assert figures.false_per_minute == pytest.approx(
        network.card["test_false_alarms_per_minute"], abs=0.01
    )
