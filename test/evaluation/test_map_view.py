"""The page of a map: self-contained, whatever the map, and its figures are right."""

from __future__ import annotations

import re

import numpy as np
import pytest

from relpose_ros.evaluation.page.map_view import write_map_page
from relpose_ros.evaluation.plots.map_scene import HEADINGS, MapScene, headings_covered
from relpose_ros.geometry.rigid import Rigid

INFO = {"name": "hall <1>", "bytes": 1_200_000, "metric": True, "path": "hall.relmap"}


def level(turn: float, at) -> Rigid:
    """A level camera in a map with z up; 0 looks along x."""
    forward = np.array([np.cos(turn), np.sin(turn), 0.0])
    right = np.array([np.sin(turn), -np.cos(turn), 0.0])
    return Rigid(np.stack([right, [0.0, 0.0, -1.0], forward], axis=1), np.array(at, float))


def scene(poses, landmarks=None, partners=None, **fields) -> MapScene:
    count = len(poses)
    return MapScene(
        names=fields.pop("names", [f"{i}.jpg" for i in range(count)]),
        map_from_camera=Rigid.stack(poses),
        points=fields.pop("points", np.random.default_rng(0).uniform(-5, 5, (200, 3))),
        landmarks=np.array(landmarks if landmarks is not None else [100] * count),
        partners=np.array(partners if partners is not None else [5] * count),
        conditions=fields.pop("conditions", ["day"] * count),
        **fields,
    )


def drive(count: int = 12) -> list[Rigid]:
    turns = 2 * np.pi * np.arange(count) / count
    return [level(t, [3 * np.cos(t), 2 * np.sin(t), 0.01 * t]) for t in turns.tolist()]


def test_axes_by_spread() -> None:
    assert scene(drive()).axes == (0, 1, 2)
    up = [Rigid(p.rotation, p.translation[[0, 2, 1]]) for p in drive()]
    assert scene(up).axes == (0, 2, 1)


def test_headings_are_counted_where_references_stand() -> None:
    """All around in one place, one way in another, nothing in between."""
    around = [level(2 * np.pi * i / HEADINGS, [0, 0, 0]) for i in range(HEADINGS)]
    ahead = [level(0.0, [10, 0.001 * i, 0]) for i in range(3)]
    x, y, covered = headings_covered(scene([*around, *ahead], points=np.zeros((0, 3))), cells=10)
    assert covered[0, 0] == HEADINGS and covered[-1, 0] == 1 and np.isnan(covered[1:-1]).all()
    assert x[0] == 0 and x[-1] >= 10 and len(x) == len(covered) + 1 and len(y) == covered.shape[1] + 1


def test_a_view_down_has_no_heading() -> None:
    down = Rigid(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
    _, _, covered = headings_covered(scene([down, Rigid(down.rotation, np.array([4.0, 3.0, 0]))]))
    assert np.nanmax(covered) == 0


def test_the_page_is_one_file_without_scripts(tmp_path) -> None:
    drawn = scene(
        drive(), landmarks=[100] * 10 + [3, 0], partners=[5] * 9 + [0] * 3,
        conditions=["day"] * 6 + ["night & fog"] * 6, used={"0.jpg": 4},
    )  # fmt: skip
    rows = [("day", "6", "80", "10"), ("night & fog", "6", "70", "10")]
    findings = [("warning", "no landmarks: <11.jpg>", "add images")]
    text = write_map_page(drawn, INFO, tmp_path / "map.html", conditions=rows, findings=findings).read_text()
    assert not re.search(r"<script|(src|href)=\"http|url\(http|@import", text)
    assert text.count("<svg") == 4 and "hall &lt;1&gt;" in text and "&lt;11.jpg&gt;" in text
    assert (
        "night &amp; fog" in text and "11 references</summary>" in text and "3 references</summary>" in text
    )
    assert [p.name for p in tmp_path.iterdir()] == ["map.html"]


def test_poor_lone_and_unused() -> None:
    made = scene(drive(4), landmarks=[100, 7, 0, 50], partners=[3, 1, 0, 0], used={"0.jpg": 1, "3.jpg": 2})
    assert made.poor.tolist() == [False, True, True, False]
    assert made.lone.tolist() == [False, False, False, True]
    assert made.unused.tolist() == [False, True, True, False]
    assert not scene(drive(4)).unused.any()


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.zeros((1, 3)), np.full((3, 3), 1e6)])
@pytest.mark.parametrize(
    "poses",
    [
        [level(0, [0, 0, 0])] * 2,
        [level(0, [0, 0, 0]), level(1, [5, 0, 0])],
        [level(0, [i, i, i]) for i in range(3)],
    ],
)
def test_any_map_is_drawn(tmp_path, poses, points) -> None:
    made = scene(poses, points=points, metric=False)
    assert write_map_page(made, INFO, tmp_path / "m.html").read_text().count("<svg") == 4
