"""What `relpose replay` plays of a source that is no bag."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.rosbag import open_rosbag
from relpose_ros.errors import DatasetError
from relpose_ros.nodes.replay_source import as_bag


@pytest.fixture
def folder(tmp_path):
    """Makes a posed folder of four images, at 0, 1, 2, 3 m along x."""

    def make(splits="", stamps=""):
        path = tmp_path / "drive"
        (path / "images").mkdir(parents=True)
        rng = np.random.default_rng(0)
        for n in range(4):
            cv2.imwrite(str(path / "images" / f"{n}.png"), rng.integers(0, 255, (24, 32, 3), np.uint8))
        poses = [f"{n}.png {n} 0 0 0 0 0 1\n" for n in range(4)]
        (path / "poses.txt").write_text("".join(poses))
        (path / "intrinsics.txt").write_text("30 30 15.5 11.5 32 24\n")
        for name, text in (("split.txt", splits), ("stamps.txt", stamps)):
            if text:
                (path / name).write_text(text)
        return path

    return make


def played(path, out):
    with as_bag(path, out) as bag:
        images = open_rosbag(bag, split="query").images
        return [(i.stamp, i.map_from_camera.translation[0], i.load()) for i in images]


def test_a_folder_is_played_whole_with_its_poses(folder, tmp_path):
    path = folder()
    seen = played(path, tmp_path / "out")
    assert [x for _, x, _ in seen] == pytest.approx([0, 1, 2, 3])
    assert np.diff([stamp for stamp, _, _ in seen]) == pytest.approx(0.1, abs=1e-6)  # no times: 10 Hz
    assert seen[0][0] > 0
    np.testing.assert_array_equal(seen[2][2], cv2.imread(str(path / "images" / "2.png")))
    assert not list((tmp_path / "out").iterdir())  # what was made has been removed


def test_of_a_folder_with_queries_they_are_played_at_their_times(folder, tmp_path):
    splits = "".join(f"{n}.png {'query' if n > 1 else 'map'}\n" for n in range(4))
    seen = played(folder(splits, "2.png 100.5\n3.png 102.0\n"), tmp_path)
    assert [stamp for stamp, _, _ in seen] == pytest.approx([100.5, 102.0])
    assert [x for _, x, _ in seen] == pytest.approx([2, 3])


def test_a_bag_is_played_as_it_is(tmp_path, folder):
    with as_bag(folder(), tmp_path / "out") as bag, as_bag(bag, tmp_path / "other") as same:
        assert same == bag and not (tmp_path / "other").exists()


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="posed-image"), as_bag(tmp_path, tmp_path):
        pass
