"""TUM files: written, read back, and refused when they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_ros.evaluation.trajectories import read_tum, record_stamps, write_trajectories, write_tum
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import State


def test_round_trip(tmp_path: Path):
    random = np.random.default_rng(0)
    poses = [Rigid.from_rotation_vector(random.normal(size=3), random.normal(size=3)) for _ in range(5)]
    stamps = [1700000000.25, 3.0, 2.0, 1.5, 1.0]
    times, back = read_tum(write_tum(tmp_path / "a.tum", stamps, poses))
    assert times == pytest.approx(sorted(stamps))
    distance, angle = back.distance_to(Rigid.stack([poses[i] for i in np.argsort(stamps)]))
    assert distance.max() < 1e-8 and angle.max() < 1e-7


def test_columns_are_x_y_z_w(tmp_path: Path):
    pose = Rigid.from_quaternion([0.5, -0.5, 0.5, 0.5], [1, 2, 3])
    line = write_tum(tmp_path / "a.tum", [7.5], [pose]).read_text().splitlines()[-1]
    assert [float(w) for w in line.split()] == pytest.approx([7.5, 1, 2, 3, 0.5, -0.5, 0.5, 0.5])


def test_estimate_and_truth_share_stamps(record, tmp_path: Path):
    records = [
        record("a", stamp=1.0),
        record("b", stamp=2.0, state=State.UNLOCALIZED),
        record("c", stamp=3.0, known=False),
        record("d", stamp=4.0, map_from_camera=Rigid(np.eye(3), np.full(3, np.nan))),
    ]
    estimate, truth = write_trajectories(records, tmp_path)
    assert read_tum(estimate)[0].tolist() == [1.0, 3.0]
    assert read_tum(truth)[0].tolist() == [1.0, 2.0, 4.0]


def test_stamps_that_repeat_are_replaced_by_numbers(record):
    assert record_stamps([record(), record(), record()]).tolist() == [0, 1, 2]
    assert record_stamps([record(stamp=5.0), record(stamp=4.0)]).tolist() == [5, 4]


def test_empty_trajectory(tmp_path: Path):
    times, poses = read_tum(write_tum(tmp_path / "a.tum", [], []))
    assert len(times) == 0 and poses.translation.shape == (0, 3)


@pytest.mark.parametrize(
    "line", ["1 2 3", "1 0 0 0 0 0 0 0", "a b c d e f g h", "nan 0 0 0 0 0 0 1", "1 " * 9]
)
def test_bad_lines_are_named(tmp_path: Path, line: str):
    path = tmp_path / "bad.tum"
    path.write_text(f"# comment\n1 0 0 0 0 0 0 1\n{line}\n")
    with pytest.raises(DatasetError, match=r"bad.tum:3: expected 'timestamp tx"):
        read_tum(path)


def test_what_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "x.tum").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("x.tum", "missing.tum"):
        with pytest.raises(DatasetError, match="expected a TUM trajectory"):
            read_tum(tmp_path / name)


def test_a_stamp_for_each_pose(tmp_path: Path):
    with pytest.raises(ValueError, match="expected a stamp for each pose"):
        write_tum(tmp_path / "a.tum", [1.0], [])
