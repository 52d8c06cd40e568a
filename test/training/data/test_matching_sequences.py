"""Labelled pairs of posed images: true to the scene, chosen by overlap, the same after a kill."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError, DatasetError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.correspondence_set import Target, prepare_correspondences
from relpose_training.data.matching_fields import FIELDS
from relpose_training.data.matching_options import PUBLISHED, MatchingOptions
from relpose_training.data.matching_sequences import common_landmarks, labelled_pairs
from relpose_training.data.matching_views import depth_of_landmarks
from relpose_training.data.sequences import SourceSequence
from relpose_training.data.shards import ShardSet

OPTIONS = MatchingOptions(max_keypoints=250, pairs=6, least_keypoints=40, most_overlap=0.95)
WALL_Z = 2.0


@dataclass(frozen=True)
class Walls:
    """Images of the wall, optionally without depth but with the points that they see."""

    wall: object
    depth: bool = True
    points: object = None
    name: str = "wall"

    def __repr__(self):
        return f"Walls({self.name}, {self.depth})"

    def images(self):
        return self.wall(6, depth=self.depth)

    def landmarks(self):
        return self.points


def on_the_wall(sample, side, pose):
    """Where the keypoints are on the wall (n, 2)."""
    rays = np.c_[sample[f"rays{side}"], np.ones(len(sample[f"rays{side}"]))] @ pose.rotation.T
    at = (WALL_Z - pose.translation[2]) / rays[:, 2]
    return pose.translation[:2] + at[:, None] * rays[:, :2]


def check_labels(pairs, poses, least):
    for pair in pairs:
        first, second = (on_the_wall(pair.sample, k, poses[name]) for k, name in enumerate(pair.names))
        a, b = pair.sample["matches"].T
        pixels = np.linalg.norm(first[a] - second[b], axis=1) * 150 / WALL_Z
        assert len(a) >= least and pixels.max() < 2 * OPTIONS.inlier_px
        apart = np.linalg.norm(first[:, None] - second, axis=2) * 150 / WALL_Z
        assert apart[pair.sample["unmatched0"]].min(axis=1, initial=99).min(initial=99) > 4
        assert apart[:, pair.sample["unmatched1"]].min(axis=0, initial=99).min(initial=99) > 4


@pytest.fixture(scope="module")
def poses(wall):
    return {image.name: image.map_from_camera for image in wall(6)}


@pytest.fixture(scope="module")
def pairs(wall, tmp_path_factory):
    return list(labelled_pairs(Walls(wall), OPTIONS, tmp_path_factory.mktemp("kept")))


def test_labels_are_true_to_the_wall(pairs, poses):
    assert len(pairs) == 6
    check_labels(pairs, poses, 20)
    assert sum(len(p.sample["unmatched0"]) for p in pairs) > 20


def test_a_sample_has_the_fields_that_are_promised(pairs, poses):
    for names, sample in pairs:
        assert set(sample) == set(FIELDS)
        n = len(sample["keypoints0"])
        assert sample["descriptors0"].shape == (n, 64) and sample["descriptors0"].dtype == np.uint8
        assert sample["scores0"][0] == 1 and (np.diff(sample["scores0"]) < 0).all()
        assert sample["matches"].dtype == sample["unmatched1"].dtype == sample["size0"].dtype == np.int32
        assert sample["size0"].tolist() == [200, 150] and 0.1 <= sample["overlap"] <= 0.95
        second_from_first = poses[names[1]].inverse() @ poses[names[0]]
        np.testing.assert_allclose(sample["t"], second_from_first.translation, atol=1e-6)
        np.testing.assert_allclose(sample["R"], second_from_first.rotation, atol=1e-6)
        K = sample["K0"].astype(float)
        pixels = sample["rays0"] * K[[0, 1], [0, 1]] + K[:2, 2]
        np.testing.assert_allclose(pixels, sample["keypoints0"], atol=1e-3)


def test_without_depth_landmarks_say_what_matches(wall, poses, pairs, tmp_path):
    """Points of the wall wherever an image has a keypoint: fewer labels than with depth, all of them true."""
    points = {}
    for pair in pairs:
        for side, name in enumerate(pair.names):
            places = on_the_wall(pair.sample, side, poses[name])
            points[name] = np.c_[places, np.full(len(places), WALL_Z)]
    every = np.concatenate(list(points.values()))
    for name, pose in poses.items():
        camera = wall(1)[0].camera
        points[name] = every[camera.contains(camera.project(pose.inverse().apply(every)))]
    found = list(labelled_pairs(Walls(wall, False, points), OPTIONS, tmp_path))
    assert len(found) >= 4
    check_labels(found, poses, 20)


def test_nothing_known_says_what_to_do(wall, tmp_path):
    with pytest.raises(DatasetError, match=r"neither depth nor landmarks.*--landmarks MAP\.relmap"):
        list(labelled_pairs(Walls(wall, False), OPTIONS, tmp_path))


def test_overlap_is_within_bounds(wall, tmp_path):
    options = replace(OPTIONS, least_overlap=0.5, most_overlap=0.7, pairs=100)
    found = [p.sample["overlap"] for p in labelled_pairs(Walls(wall), options, tmp_path)]
    assert found and min(found) >= 0.5 and max(found) <= 0.7 + 1e-6


def test_too_few_keypoints_or_matches_are_left_out_and_counted(wall, tmp_path):
    for change, count in (({"least_keypoints": 251}, "few_keypoints"), ({"least_matches": 240}, "few_true")):
        options = replace(OPTIONS, **change)
        tally = options.new_tally()
        assert len(list(labelled_pairs(Walls(wall), options, tmp_path, tally=tally))) == tally.kept == 0
        assert getattr(tally, count) > 0 and str(getattr(tally, count)) in tally.sentence()


def broken_at(wall, number, error):
    """The wall, but image `number` cannot be loaded."""

    def see(count, depth=True):
        images = wall(count, depth=depth)

        def fail():
            raise error

        images[number] = replace(images[number], load=fail)
        return images

    return see


def test_a_run_that_was_killed_goes_on_and_gives_the_same_shards(wall, tmp_path):
    target = Target(tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        prepare_correspondences(
            [Walls(broken_at(wall, 4, KeyboardInterrupt()))], {"train": 1.0}, target, OPTIONS
        )
    kept = sorted((tmp_path / "killed").rglob("*.npz"))
    assert len(kept) == 4
    kept[1].write_bytes(kept[1].read_bytes()[:-700])  # the kill came while it was written
    loaded = []

    def counted(count, depth=True):
        return [
            replace(image, load=lambda image=image: loaded.append(image.name) or image.load())
            for image in wall(count, depth=depth)
        ]

    prepare_correspondences([Walls(counted)], {"train": 1.0}, target, OPTIONS)
    assert loaded == ["001.png", "004.png", "005.png"]
    prepare_correspondences([Walls(wall)], {"train": 1.0}, Target(tmp_path / "whole"), OPTIONS)
    ours, whole = (ShardSet(tmp_path / name, "train").index for name in ("killed", "whole"))
    assert ours == whole and not list(tmp_path.rglob("*.npz"))
    assert ours.meta["descriptor_size"] == 64 and ours.meta["features"] == "rootsift64"


def test_an_image_that_cannot_be_read_is_left_out(wall, tmp_path):
    tally = OPTIONS.new_tally()
    sequence = Walls(broken_at(wall, 2, ImageError("x")))
    found = list(labelled_pairs(sequence, OPTIONS, tmp_path, tally=tally))
    assert tally.unreadable == 1 and not any("002.png" in pair.names for pair in found)


def test_processes_give_the_same(tmp_path, wall_folder, wall):
    folders = []
    for k in range(2):
        folder = wall_folder(tmp_path / f"w{k}", 5, k)
        grid = np.stack(np.meshgrid(np.linspace(-2, 2, 200), np.linspace(-1.5, 1.5, 150)), -1).reshape(-1, 2)
        points = dict.fromkeys((image.name for image in wall(5, k)), np.c_[grid, np.full(len(grid), WALL_Z)])
        folders.append(SourceSequence(folder, points=points, points_from="grid"))
    for workers in (1, 2):
        out = Target(tmp_path / f"out{workers}")
        options = replace(OPTIONS, most_overlap=1.0)
        prepare_correspondences(folders, {"train": 1.0}, out, options, workers=workers)
    one, two = (ShardSet(tmp_path / f"out{n}", "train").index for n in (1, 2))
    assert one == two and one.meta["sequences"] == ["w0", "w1"]


def test_depth_of_landmarks_is_that_of_the_nearest_within_reach():
    camera = Camera("pinhole", 100.0, 100.0, 50.0, 50.0, 101, 101)
    points = np.array([[0.0, 0, 2], [0.1, 0, 4], [0, 0, -3]])
    keypoints = np.array([[50.5, 50], [52.6, 50], [60, 60]])
    assert depth_of_landmarks(points, camera, keypoints, 2.0).tolist() == [2, 4, 0]
    assert depth_of_landmarks(np.zeros((0, 3)), camera, keypoints).tolist() == [0, 0, 0]


def test_common_landmarks_are_those_of_the_same_coordinates():
    points = np.random.default_rng(0).normal(size=(30, 3)) * 1e6
    found = common_landmarks([points[:20], points[10:], points[:0]])
    assert found.common.tolist() == [[0, 10, 0], [10, 0, 0], [0, 0, 0]]
    assert found.share[0, 1] == 0.5 and found.share[0, 2] == 0


def test_the_published_rules_are_a_choice():
    options = MatchingOptions(**PUBLISHED)
    assert options.reprojection().compat and options.least_keypoints == 1024


@pytest.mark.parametrize(
    "change",
    [
        {"least_overlap": 0.0},
        {"most_overlap": 0.1},
        {"pairs": 1},
        {"least_baseline": 0.0},
        {"inlier_px": 20.0},
    ],
)
def test_options_that_cannot_be(change):
    with pytest.raises(ConfigurationError, match="expected"):
        replace(OPTIONS, **change)


def test_poses_of_one_place_give_no_pair(wall, tmp_path):
    class Turning(Walls):
        def images(self):
            pose = Rigid.identity()
            return [replace(image, map_from_camera=pose) for image in super().images()]

    assert not list(labelled_pairs(Turning(wall), OPTIONS, tmp_path))


def test_a_colmap_model_brings_its_own_landmarks(wall, poses, tmp_path):
    """Points on the wall, each seen by the images whose view it is in."""
    model = tmp_path / "model"
    (model / "sparse" / "0").mkdir(parents=True)
    (model / "images").mkdir()
    x, y = np.meshgrid(np.linspace(-2, 2, 120), np.linspace(-1.5, 1.5, 90))
    points = np.c_[x.ravel(), y.ravel(), np.full(x.size, WALL_Z)]
    lines = []
    for number, image in enumerate(wall(6), 1):
        cv2.imwrite(str(model / "images" / image.name), image.load())
        inverse = image.map_from_camera.inverse()
        qx, qy, qz, qw = inverse.rotation_xyzw.tolist()
        pixels = image.camera.project(inverse.apply(points))
        seen = np.flatnonzero(image.camera.contains(pixels))
        pose = " ".join(map(repr, [qw, qx, qy, qz, *inverse.translation.tolist()]))
        sightings = " ".join(
            f"{u + 0.5} {v + 0.5} {k + 1}" for k, (u, v) in zip(seen, pixels[seen], strict=True)
        )
        lines += [f"{number} {pose} 1 {image.name}", sightings]
    sparse = model / "sparse" / "0"
    (sparse / "cameras.txt").write_text("1 PINHOLE 200 150 150 150 100 75\n")
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{k + 1} {p[0]!r} {p[1]!r} {p[2]!r} 0 0 0 0.1" for k, p in enumerate(points.tolist())]
    (sparse / "points3D.txt").write_text("\n".join(rows) + "\n")
    found = list(labelled_pairs(SourceSequence(model), OPTIONS, tmp_path / "kept"))
    assert len(found) >= 4
    check_labels(found, poses, 20)
