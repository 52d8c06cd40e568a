"""Scenes as sets: what goes into the shards comes out of them, and the index says how far it reaches."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.errors import ConfigurationError, DatasetError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.scene_encoding import SceneOptions
from relpose_training.data.scene_set import SceneFacts, prepare_scene
from relpose_training.data.scene_storage import camera_numbers, camera_of, stored_view
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.shards import ShardSet

sys.path.insert(0, str(Path(__file__).parent))
from scene_fixture import CENTRE, HALF, ROOM_CAMERA, room_depth, room_images

FAR = np.array([4.3e6, 0.5e6, 4.6e6])
"""As far as ECEF is."""


def coordinates_of(image: PosedImage, step: int = 1) -> np.ndarray:
    """The map points (h, w, 3) of every `step`-th pixel, at the middle of the `step` x `step` around it."""
    depth = room_depth(image.camera.resized(160 // step, 120 // step), image.map_from_camera)
    camera = image.camera.resized(depth.shape[1], depth.shape[0])
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
    rays = camera.rays(np.stack([x.ravel(), y.ravel()], 1))
    local = np.concatenate([rays, np.ones((len(rays), 1))], 1) * depth.reshape(-1, 1)
    return image.map_from_camera.apply(local).reshape(*depth.shape, 3)


def test_everything_comes_back(tmp_path):
    images = room_images(3)
    prepare_scene({"train": images}, tmp_path, 2, SceneFacts("room", "CC0-1.0"), SceneOptions(jpeg=0))
    shards = ShardSet(tmp_path, "train")
    origin = np.array(shards.index.meta["origin"])
    for k, image in enumerate(images):
        view = stored_view(shards.shard(k % 2).sample(k // 2))
        np.testing.assert_array_equal(view.image, image.load())
        assert view.camera == image.camera
        np.testing.assert_allclose(view.depth, image.load_depth(), atol=0.0005)
        np.testing.assert_array_equal(view.semantics, image.load_semantics())
        np.testing.assert_allclose(
            view.map_from_camera.translation + origin, image.map_from_camera.translation, atol=1e-12
        )
    meta = shards.index.meta
    assert meta["names"] == [image.name for image in images] and meta["mean_image_size"] == [160, 120]
    assert (meta["metric"], meta["frame"], meta["licence"], meta["known"]) == (True, "map", "CC0-1.0", True)
    assert len(meta["views"]) == 3 and len(meta["views"][0]) == 6
    np.testing.assert_allclose(np.array(meta["bounds"]) + origin - CENTRE, [-HALF, HALF], atol=0.01)
    forward = images[0].map_from_camera.rotation[:, 2]
    np.testing.assert_allclose(meta["views"][0][3:], forward, atol=1e-6)


def test_coordinates_as_far_as_ecef_lose_nothing(tmp_path):
    images = [
        replace(i, map_from_camera=Rigid(i.map_from_camera.rotation, i.map_from_camera.translation + FAR))
        for i in room_images(3)
    ]
    prepare_scene({"train": images}, tmp_path)
    views = SceneViews(ShardSet(tmp_path, "train"), height=120)
    origin = np.array(views.meta["origin"])
    assert (origin == np.rint(origin)).all() and np.abs(origin - FAR - CENTRE).max() < 3
    for k, image in enumerate(images):
        sample = views.sample(0, k, np.random.default_rng(0))
        points = sample["coordinates"].astype(float).reshape(3, -1).T + origin - FAR
        local = (points - image.map_from_camera.translation + FAR) @ image.map_from_camera.rotation
        y, x = np.mgrid[4:120:8, 4:160:8]
        np.testing.assert_allclose(
            ROOM_CAMERA.project(local), np.stack([x.ravel(), y.ravel()], axis=1), atol=1e-3
        )
        np.testing.assert_allclose(np.abs((points - CENTRE) / HALF).max(axis=1), 1, atol=1e-3)


def test_deep_scenes_are_stored_more_coarsely_but_whole(tmp_path):
    (image,) = room_images(1)
    depth = np.linspace(1, 900, 160 * 120, dtype=np.float32).reshape(120, 160)
    depth[0, :2] = 0, np.nan
    prepare_scene({"train": [replace(image, load_depth=lambda: depth)]}, tmp_path)
    back = stored_view(ShardSet(tmp_path, "train").shard(0).sample(0)).depth
    assert back[0, 0] == back[0, 1] == 0
    np.testing.assert_allclose(back[1:], depth[1:], atol=0.007)


@pytest.mark.parametrize("step", [1, 8])
def test_dense_coordinates_are_the_depth_that_they_are(tmp_path, step):
    (image,) = room_images(1, depth=False)
    known = coordinates_of(image, step)
    known[:2] = np.nan
    prepare_scene({"train": [replace(image, load_coordinates=lambda: known)]}, tmp_path)
    views = SceneViews(ShardSet(tmp_path, "train"), height=120)
    sample = views.sample(0, 0, np.random.default_rng(0))
    points = np.moveaxis(sample["coordinates"], 0, -1) + np.array(views.meta["origin"])
    assert not sample["known"][: 2 if step == 8 else 0].any() and sample["known"][2:].all()
    expected = known[4::8, 4::8] if step == 1 else known
    off = np.linalg.norm((points - expected)[sample["known"]], axis=1)
    assert np.median(off) < (0.001 if step == 1 else 0.03)


def test_sparse_coordinates_are_landmarks_where_they_really_project(tmp_path):
    """DSAC*'s sparse labels: points clamped into border cells and points behind the camera do not count."""
    (image,) = room_images(1, depth=False)
    sparse = np.full((15, 20, 3), np.nan)
    point = image.map_from_camera.apply([[0.1, -0.2, 1.5]])[0]
    sparse[3, 4] = point
    sparse[0, 0] = image.map_from_camera.apply([[0.0, 0.0, -1.0]])[0]
    sparse[14, 19] = image.map_from_camera.apply([[9.0, 9.0, 1.0]])[0]
    prepare_scene({"train": [replace(image, load_coordinates=lambda: sparse)]}, tmp_path)
    views = SceneViews(ShardSet(tmp_path, "train"), height=120)
    sample = views.sample(0, 0, np.random.default_rng(0))
    pixel = ROOM_CAMERA.project([[0.1, -0.2, 1.5]])[0]
    (where,) = np.argwhere(sample["known"])
    assert where.tolist() == np.floor((pixel[::-1] + 0.5) / 8).astype(int).tolist()
    found = sample["coordinates"][:, where[0], where[1]] + np.array(views.meta["origin"])
    np.testing.assert_allclose(found, point, atol=1e-5)


def test_landmarks_come_by_name_and_only_where_asked(tmp_path):
    images = room_images(2)
    points = {images[0].name: images[0].map_from_camera.apply([[0.0, 0.0, 1.0]])}
    by_name = lambda image: points.get(image.name)  # noqa: E731
    for labels, expected in {
        "landmarks": [1, 0],
        "none": [0, 0],
        "auto": [300, 300],
        "depth": [300, 300],
    }.items():
        prepare_scene(
            {"train": images}, tmp_path / labels, options=SceneOptions(labels=labels), landmarks=by_name
        )
        views = SceneViews(ShardSet(tmp_path / labels, "train"), height=120)
        counts = [int(views.sample(0, k, np.random.default_rng(0))["known"].sum()) for k in range(2)]
        assert counts == expected, labels


def test_files_are_kept_as_they_are_unless_too_large(tmp_path):
    (image,) = room_images(1)
    file = tmp_path / "image.png"
    cv2.imwrite(str(file), image.load())
    stored = replace(image, load=ImageFile(file, image.camera))
    prepare_scene({"train": [stored]}, tmp_path / "kept")
    sample = ShardSet(tmp_path / "kept", "train").shard(0).sample(0)
    assert sample["image"].tobytes() == file.read_bytes()
    prepare_scene({"train": [stored]}, tmp_path / "small", options=SceneOptions(largest=60))
    view = stored_view(ShardSet(tmp_path / "small", "train").shard(0).sample(0))
    assert view.image.shape == (60, 80, 3) and view.camera == image.camera.resized(80, 60)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ImageError, match="cut off"):
        prepare_scene({"train": [stored]}, tmp_path / "broken")
    assert not list((tmp_path / "broken").glob("*.json"))


def test_a_split_made_later_has_the_origin_of_train(tmp_path):
    prepare_scene({"train": room_images(4)}, tmp_path)
    moved = [
        replace(i, map_from_camera=Rigid(i.map_from_camera.rotation, i.map_from_camera.translation + 50.0))
        for i in room_images(2, 1)
    ]
    prepare_scene({"val": moved}, tmp_path)
    train, val = (ShardSet(tmp_path, split).index.meta for split in ("train", "val"))
    assert all(train[key] == val[key] for key in ("origin", "bounds", "views", "mean"))
    together = tmp_path / "together"
    prepare_scene({"val": moved, "train": room_images(4)}, together)
    again = ShardSet(together, "val").index.meta
    assert again["origin"] == train["origin"] and again["bounds"] == train["bounds"]


def test_a_scene_of_which_nothing_is_known_reaches_around_its_cameras(tmp_path):
    prepare_scene({"train": room_images(4, depth=False)}, tmp_path)
    meta = ShardSet(tmp_path, "train").index.meta
    centres = np.array(meta["views"])[:, :3]
    assert not meta["known"]
    np.testing.assert_allclose(meta["bounds"], [centres.min(0) - 10, centres.max(0) + 10], atol=1e-5)
    np.testing.assert_allclose(meta["mean"], centres.mean(0), atol=1e-5)


def test_what_cannot_be_stored(tmp_path):
    images = room_images(2)
    with pytest.raises(DatasetError, match=r"001\.png has no pose"):
        prepare_scene({"train": [images[0], replace(images[1], map_from_camera=None)]}, tmp_path)
    other = replace(images[1], camera=images[1].camera.resized(80, 60))
    with pytest.raises(DatasetError, match=r"001\.png: expected 80x60 pixels"):
        prepare_scene({"train": [images[0], other]}, tmp_path)
    with pytest.raises(DatasetError, match="val: no image"):
        prepare_scene({"train": images, "val": []}, tmp_path)
    with pytest.raises(ConfigurationError, match="quality"):
        SceneOptions(jpeg=101)


@pytest.mark.parametrize(
    "camera",
    [
        Camera("pinhole", 100.0, 101.5, 40.0, 30.0, 80, 60),
        Camera("plumb_bob", 100.0, 101.5, 40.0, 30.0, 80, 60, (0.1, -0.2, 0.01, 0.02, 0.3)),
        Camera("rational_polynomial", 100.0, 100.0, 40.0, 30.0, 80, 60, (0.1, 0, 0, 0, 0, 0.1, 0, 0)),
        Camera("equidistant", 100.0, 100.0, 40.0, 30.0, 80, 60, (0.1, 0.0, 0.01, 0.0)),
    ],
    ids=lambda camera: camera.model,
)
def test_cameras_are_numbers(camera):
    assert camera_of(camera_numbers(camera)) == camera
    for place in (0, 1, 5, 7):
        broken = camera_numbers(camera)
        broken[place] = np.nan if place != 7 else 3
        with pytest.raises(DatasetError, match="expected a stored camera"):
            camera_of(broken)
