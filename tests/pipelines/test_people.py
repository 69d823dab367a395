"""People cut out of videos that are drawn here: who is who, who is none."""

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2", reason="the extra apps is not installed")

from pipelines.people import (  # noqa: E402
    Box,
    Tracks,
    frames_at_rate,
    shapes_in,
    silhouette_of,
)
from pipelines.video import pack_mask, people_in, unpack_mask  # noqa: E402


def person(image: np.ndarray, x: int, y: int, value: int = 200) -> None:
    image[y : y + 60, x : x + 20] = value


def write(path: Path, frames: list[np.ndarray], rate: float = 10) -> str:
    size = (frames[0].shape[1], frames[0].shape[0])
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, size)
    for frame in frames:
        video.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if frame.ndim == 2 else frame)
    video.release()
    return str(path)


def walkers(count: int) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    frames = []
    for t in range(count):
        frame = draw.normal(90, 3, (160, 320)).clip(0, 255).astype(np.uint8)
        if t >= 25:
            person(frame, 10 + 4 * (t - 25), 20)
            person(frame, 270 - 4 * (t - 25), 95, 20)
        frames.append(frame)
    return frames


def test_two_who_walk_are_two_streams(tmp_path: Path) -> None:
    path = write(tmp_path / "walk.avi", walkers(60))
    places: dict[int, list[Box]] = {}
    for _, _, seen, _ in people_in(path, silhouettes=False):
        for one in seen:
            places.setdefault(one.person, []).append(one.box)
    long = [boxes for boxes in places.values() if len(boxes) > 20]
    assert len(long) == 2
    assert {boxes[-1].x > boxes[0].x for boxes in long} == {True, False}


def test_nobody_is_seen_where_nothing_moves(tmp_path: Path) -> None:
    path = write(tmp_path / "still.avi", walkers(24))
    assert not [one for _, _, seen, _ in people_in(path, False) for one in seen]
    black = write(tmp_path / "black.avi", [np.zeros((80, 80), np.uint8)] * 5)
    assert not [one for _, _, seen, _ in people_in(black, True) for one in seen]


def test_shapes_that_are_no_people() -> None:
    mask = np.zeros((200, 300), np.uint8)
    person(mask, 50, 50)
    assert [box for box, _ in shapes_in(mask)] == [Box(50, 50, 20, 60)]
    for y, x, height, width in [(5, 100, 10, 4), (5, 100, 30, 90), (0, 100, 60, 20)]:
        other = np.zeros_like(mask)  # small, broad, cut off by the border
        other[y : y + height, x : x + width] = 255
        assert not shapes_in(other)


def test_who_is_gone_for_a_moment_is_the_same() -> None:
    tracks = Tracks()
    one = [(Box(10, 10, 20, 60), np.ones((60, 20), np.uint8))]
    other = [(Box(100, 10, 20, 60), np.ones((60, 20), np.uint8))]
    assert [s.person for s in tracks.follow(one)[0]] == [1]
    assert tracks.follow([]) == ([], [])
    assert [s.person for s in tracks.follow(one + other)[0]] == [1, 2]
    left = [tracks.follow(other)[1] for _ in range(5)]
    assert left == [[], [], [], [], [1]]
    assert [s.person for s in tracks.follow(one)[0]] == [3]


def test_light_on_dark() -> None:
    frame = np.random.default_rng(0).normal(60, 10, (100, 80)).clip(0, 255).astype(np.uint8)
    person(frame, 30, 20)
    ((box, _),) = shapes_in(silhouette_of(frame))
    assert abs(box.x - 30) <= 2
    assert abs(box.height - 60) <= 4


def test_frames_are_ten_a_second(tmp_path: Path) -> None:
    frames = [np.full((32, 32), i, np.uint8) for i in range(60)]
    times = [t for t, _ in frames_at_rate(write(tmp_path / "fast.avi", frames, 30))]
    np.testing.assert_allclose(times, np.arange(20) / 10, atol=0.02)
    with pytest.raises(ValueError, match="5 frames a second, expected at least 10"):
        next(frames_at_rate(write(tmp_path / "slow.avi", frames, 5)))


def test_masks_travel_as_png() -> None:
    mask = (np.random.default_rng(0).random((30, 20)) < 0.5).astype(np.uint8) * 255
    np.testing.assert_array_equal(unpack_mask(pack_mask(mask)), mask)
    for broken in ("", "no base64!", "aGVsbG8=", 5, None):
        with pytest.raises(ValueError, match="PNG file"):
            unpack_mask(broken)
