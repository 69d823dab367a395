"""Poses and silhouettes: what their vectors say, for any unit and size; what is refused."""

from typing import Any

import numpy as np
import pytest

from beam_rnn import InputError, OptionError, StateError
from beam_rnn.features import Pose, Silhouette
from beam_rnn.features.pose import PARENTS

DRAW = np.random.default_rng(0)
POSES = DRAW.normal(0, 5, (12, 38, 3)).astype(np.float32)
MASKS = [DRAW.random((40, 30)) < 0.5 for _ in range(8)]


@pytest.mark.parametrize(("feature", "values"), [(Pose(), POSES), (Silhouette(), MASKS)])
def test_one_by_one_is_all_at_once(feature: Any, values: Any) -> None:
    memory, rows = b"", []
    for value in values:
        pairs, memory = feature.feed(value, memory)
        rows += [x for _, x in pairs]
    assert not feature.finish(memory)
    np.testing.assert_array_equal(np.stack(rows), feature.rows(values))
    assert rows[0].shape == (feature.width,)
    assert rows[0].dtype == np.float32


def test_a_pose_has_no_unit_and_no_place() -> None:
    rows = Pose().rows(POSES)
    np.testing.assert_allclose(Pose().rows(POSES * 2.5 + 7), rows, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(Pose().rows(POSES.reshape(12, 114)), rows)


def test_speed_is_a_second_s() -> None:
    rows = Pose(rate=30).rows(POSES)
    assert (rows[0, 39:] == 0).all()
    np.testing.assert_allclose(rows[1:, 39:], 30 * (rows[1:, :39] - rows[:-1, :39]), rtol=1e-5)
    legs = np.zeros((38, 3))
    for joint in (3, 4, 9, 10):  # both legs two long, the right ankle at (0, -2, 0)
        legs[joint] = legs[PARENTS[joint]] + [0, -1, 0]
    ((_, row),), _ = Pose().feed(legs)
    assert row[3:6].tolist() == [0, -1, 0]


def test_a_grid_covers_the_shape_at_any_size() -> None:
    small = np.zeros((24, 12), bool)
    small[:, 4:8] = True
    large = np.kron(small, np.ones((5, 5), bool))
    moved = np.pad(large, ((7, 3), (50, 1)))
    row = Silhouette().rows([small])[0]
    for mask in (large, moved, 255 * moved.astype(np.uint8)):
        np.testing.assert_allclose(Silhouette().rows([mask])[0], row, atol=1e-6)
    grid = row[:144].reshape(12, 12)
    np.testing.assert_allclose(grid.sum(axis=1), 2, atol=1e-6)  # a sixth of the height, 12 columns
    np.testing.assert_allclose(grid[:, 5:7], 1, atol=1e-6)
    np.testing.assert_allclose(row[-2:], [1 / 6, 1 / 12], atol=1e-6)


def test_the_grid_that_was_before_is_taken_away() -> None:
    rows = Silhouette().rows(MASKS)
    assert (rows[0, 144:288] == 0).all()
    np.testing.assert_array_equal(rows[1:, 144:288], rows[1:, :144] - rows[:-1, :144])


@pytest.mark.parametrize(
    ("feature", "value", "says"),
    [
        (Pose(), np.zeros((38, 3)), "no length: no person"),
        (Pose(), np.full((38, 3), np.nan), "NaN or infinite"),
        (Pose(), np.ones((37, 3)), r"shape \(37, 3\), expected \(38, 3\)"),
        (Pose(), "standing", "expected the numbers of a pose"),
        (Pose(), [[1, 2], [3]], "expected the numbers of a pose"),
        (Silhouette(), np.zeros((9, 9), bool), "is empty: no person"),
        (Silhouette(), np.ones(9, bool), r"shape \(9,\)"),
        (Silhouette(), np.ones((9, 9)), "type float64, expected"),
    ],
)
def test_refused(feature: Any, value: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        feature.feed(value)
    with pytest.raises(StateError, match="memory of"):
        feature.feed(POSES[0] if isinstance(feature, Pose) else MASKS[0], b"123")


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_above_0(rate: float) -> None:
    with pytest.raises(OptionError, match="rate is"):
        Pose(rate)
