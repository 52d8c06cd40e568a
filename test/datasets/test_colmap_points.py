"""Points of a COLMAP model, by image."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from relpose_ros.datasets.colmap_points import colmap_points
from relpose_ros.errors import DatasetError

POINTS = {7: (1.0, 2.0, 3.0), 3: (4.0, 5.0, 6.0), 11: (-1.0, 0.5, 2.0)}
SEEN = {"a b.jpg": [3, -1, 7, 7], "b.jpg": [-1], "c.jpg": []}


def write_text(folder):
    folder.mkdir()
    (folder / "cameras.txt").write_text("1 SIMPLE_PINHOLE 64 48 50 32 24\n")
    lines = ["# comment"]
    for k, (name, ids) in enumerate(SEEN.items()):
        lines += [f"{k + 1} 1 0 0 0 0 0 0 1 {name}", " ".join(f"{i}.5 2.5 {n}" for i, n in enumerate(ids))]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{n} {x} {y} {z} 1 2 3 0.5 1 0 2 1" for n, (x, y, z) in POINTS.items()]
    (folder / "points3D.txt").write_text("\n".join(rows) + "\n")
    return folder


def write_binary(folder):
    folder.mkdir()
    (folder / "cameras.bin").write_bytes(struct.pack("<QIiQQ3d", 1, 1, 0, 64, 48, 50, 32, 24))
    images = struct.pack("<Q", len(SEEN))
    for k, (name, ids) in enumerate(SEEN.items()):
        images += struct.pack("<I7dI", k + 1, 1, 0, 0, 0, 0, 0, 0, 1) + name.encode() + b"\0"
        images += struct.pack("<Q", len(ids)) + b"".join(struct.pack("<ddq", 0.5, 2.5, n) for n in ids)
    (folder / "images.bin").write_bytes(images)
    points = struct.pack("<Q", len(POINTS))
    for n, point in POINTS.items():
        points += struct.pack("<Q3d3Bd", n, *point, 1, 2, 3, 0.5) + struct.pack("<Q4I", 2, 1, 0, 2, 1)
    (folder / "points3D.bin").write_bytes(points)
    return folder


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_each_image_sees_its_points_once(tmp_path, write):
    seen = colmap_points(write(tmp_path / "sparse"))
    assert list(seen) == list(SEEN)
    np.testing.assert_array_equal(seen["a b.jpg"], [POINTS[3], POINTS[7]])
    assert seen["b.jpg"].shape == seen["c.jpg"].shape == (0, 3)


@pytest.mark.parametrize("write", [write_text, write_binary])
def test_a_point_that_is_not_there(tmp_path, write, monkeypatch):
    monkeypatch.setitem(SEEN, "b.jpg", [8])
    with pytest.raises(DatasetError, match=r"'b\.jpg' sees a point"):
        colmap_points(write(tmp_path / "sparse"))
    monkeypatch.setitem(SEEN, "b.jpg", [99])
    with pytest.raises(DatasetError, match=r"'b\.jpg' sees a point"):
        colmap_points(write(tmp_path / "more"))


def test_broken_models(tmp_path):
    with pytest.raises(DatasetError, match="expected a COLMAP model"):
        colmap_points(tmp_path)
    model = write_binary(tmp_path / "sparse")
    data = (model / "points3D.bin").read_bytes()
    (model / "points3D.bin").write_bytes(data[:-9])
    with pytest.raises(DatasetError, match="too early"):
        colmap_points(model)
    (model / "points3D.bin").unlink()
    with pytest.raises(DatasetError, match=r"points3D\.bin: cannot read"):
        colmap_points(model)


@pytest.mark.parametrize("points", ["", "nan", "1e30"])
def test_points_that_are_none(tmp_path, points):
    """No point at all, though images see some; one that is nowhere; a number beyond all."""
    model = write_text(tmp_path / "sparse")
    numbers = {"": "", "nan": "7 nan 2 3 1 1 1 0.5\n", "1e30": "1e30 1 2 3 1 1 1 0.5\n"}
    (model / "points3D.txt").write_text(numbers[points])
    with pytest.raises(DatasetError, match="sees a point" if not points else "finite"):
        colmap_points(model)
