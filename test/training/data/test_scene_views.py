"""Views of a room, as they are learnt from: whatever is done to them, everything in a sample agrees."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.resampling import resize_short_side
from relpose_training.data.scene_changes import Augmentation, AugmentationRange, Normalisation
from relpose_training.data.scene_views import SceneViews, default_canvas
from relpose_training.data.shard_writer import write_shards
from relpose_training.data.shards import ShardSet

sys.path.insert(0, str(Path(__file__).parent))
from scene_fixture import CENTRE, HALF, ROOM_CAMERA, room_image, room_images, room_shards, write_room

CAMERAS = {
    "off-centre": ROOM_CAMERA,
    "portrait": Camera("pinhole", 112.0, 110.0, 55.0, 83.0, 120, 160),
    "distorted": Camera("plumb_bob", 110.0, 116.0, 84.0, 57.0, 160, 120, (-0.22, 0.05, 3e-3, -2e-3)),
    "fisheye": Camera("equidistant", 90.0, 90.0, 80.0, 61.0, 160, 120, (0.02, -0.01, 0.0, 0.0)),
}
WILD = AugmentationRange()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A set for each camera."""
    root = tmp_path_factory.mktemp("rooms")
    return {name: write_room(root / name, 4, 2, camera=camera) for name, camera in CAMERAS.items()}


def draw(views: SceneViews, count: int = 8):
    return [views.sample(0, k % 4, np.random.default_rng(k)) for k in range(count)]


def seen(sample) -> tuple[np.ndarray, np.ndarray]:
    """Known coordinates in camera axes (N, 3), and the pixels (N, 2) of their cells."""
    known = sample["known"].ravel()
    points = sample["coordinates"].reshape(3, -1).T[known].astype(float)
    pose = sample["pose"].astype(float)
    return (points - pose[:3, 3]) @ pose[:3, :3], sample["pixels"].reshape(2, -1).T[known]


@pytest.mark.parametrize("augmentation", [None, WILD], ids=["plain", "augmented"])
@pytest.mark.parametrize("name", CAMERAS)
def test_every_known_point_projects_onto_the_pixel_of_its_cell(folders, name, augmentation):
    views = SceneViews(room_shards(folders[name]), height=96, canvas=(104, 136), augmentation=augmentation)
    shares = []
    for sample in draw(views):
        local, pixels = seen(sample)
        projected = local @ sample["matrix"].T.astype(float)
        np.testing.assert_allclose(projected[:, :2] / projected[:, 2:], pixels, atol=2e-3)
        np.testing.assert_allclose(local[:, 2], sample["depth"][sample["known"]], rtol=1e-4)
        np.testing.assert_array_equal(sample["known"] & ~sample["inside"], False)
        np.testing.assert_array_equal(sample["coordinates"][:, ~sample["known"]], 0)
        shares.append(sample["known"].mean())
    assert np.mean(shares) > 0.35


@pytest.mark.parametrize("name", CAMERAS)
def test_points_lie_on_the_walls(folders, name):
    views = SceneViews(room_shards(folders[name]), height=96, canvas=(104, 136), augmentation=WILD)
    origin = np.array(views.meta["origin"])
    for sample in draw(views):
        points = sample["coordinates"].reshape(3, -1).T[sample["known"].ravel()] + origin - CENTRE
        off = np.abs(np.abs(points) / HALF - 1).min(axis=1)
        assert np.quantile(off, 0.9) < 0.02  # depth is that of the nearest pixel


@pytest.mark.parametrize("name", ["off-centre", "portrait", "distorted", "fisheye"])
def test_the_image_shows_what_its_pose_and_camera_say(folders, name):
    """Rendering the room anew at the sample's pose gives the sample's image."""
    quiet = AugmentationRange(brightness=0.0, contrast=0.0)
    plain = Normalisation((0.0,), (1.0,))
    views = SceneViews(
        room_shards(folders[name]), height=112, canvas=(104, 136), augmentation=quiet, normalisation=plain
    )
    origin, camera = np.array(views.meta["origin"]), CAMERAS[name]
    for sample in draw(views, 5):
        fx, fy, cx, cy = sample["matrix"][[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
        canvas = Camera(camera.model, fx, fy, cx, cy, 136, 104, camera.distortion)
        pose = Rigid(sample["pose"][:3, :3].astype(float), sample["pose"][:3, 3] + origin)
        inside = np.kron(sample["inside"], np.ones((8, 8), bool))
        again = room_image(canvas, pose) @ [0.114, 0.587, 0.299] / 255
        error = np.abs(again - sample["image"][0])[inside]
        assert np.median(error) < 0.02, name
        moved = np.abs(np.roll(again, 4, axis=1) - sample["image"][0])[inside]
        assert np.median(moved) > 2 * np.median(error)


def test_without_augmentation_pixels_are_those_of_the_robot(folders):
    """Nothing but the resized image: cut in the middle, in whole cells, or padded at its right and below."""
    (stored,) = [i for i in room_images(2, 1) if i.name == "1/real/000.png"]
    views = SceneViews(ShardSet(folders["off-centre"], "val"), height=96, canvas=(96, 128))
    sample = views.sample(0, 0, np.random.default_rng(0))
    grey = resize_short_side(stored.load(), 96) @ [0.114, 0.587, 0.299] / 255
    np.testing.assert_allclose(sample["image"][0] * 0.25 + 0.4, grey, atol=0.06)  # it was a JPEG between
    assert np.abs(sample["image"][0] * 0.25 + 0.4 - grey).mean() < 0.01
    small = SceneViews(ShardSet(folders["off-centre"], "val"), height=96, canvas=(80, 104))
    np.testing.assert_array_equal(
        small.sample(0, 0, np.random.default_rng(0))["image"], sample["image"][:, 8:88, 8:112]
    )
    large = SceneViews(ShardSet(folders["off-centre"], "val"), height=96, canvas=(112, 136))
    padded = large.sample(0, 0, np.random.default_rng(0))
    np.testing.assert_array_equal(padded["image"][:, :96, :128], sample["image"])
    np.testing.assert_array_equal(padded["image"][:, 96:99, :128], sample["image"][:, 94:91:-1])
    assert padded["inside"][:12, :16].all() and padded["inside"].sum() == 12 * 16


def test_normals_face_the_camera_and_are_those_of_the_walls(folders):
    for name in ("off-centre", "distorted"):
        views = SceneViews(room_shards(folders[name]), height=96, augmentation=WILD, extras=["normals"])
        for sample in draw(views):
            normals = sample["normals"].reshape(3, -1).T.astype(float)
            known = np.abs(normals).sum(axis=1) > 0
            matrix = np.linalg.inv(sample["matrix"].astype(float))
            pixels = sample["pixels"].reshape(2, -1).T
            rays = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ matrix.T
            assert known[sample["inside"].ravel()].mean() > 0.7
            assert ((normals * rays).sum(axis=1)[known] < 0).all()
            in_room = np.abs(normals[known] @ sample["pose"][:3, :3].T)
            assert np.quantile(in_room.max(axis=1), 0.05) > 0.99


def test_semantics_turn_with_the_image_and_are_ignored_outside(folders):
    views = SceneViews(room_shards(folders["off-centre"]), height=96, augmentation=WILD, extras=["semantics"])
    for sample in draw(views):
        centres = sample["semantics"][4::8, 4::8]
        points = np.moveaxis(sample["coordinates"], 0, -1) + np.array(views.meta["origin"]) - CENTRE
        beyond = np.abs(points) / HALF
        certain = sample["known"] & (np.sort(beyond, axis=-1)[..., 1] < 0.97)
        np.testing.assert_array_equal(centres[certain], np.array([1, 2, 0])[beyond.argmax(axis=-1)][certain])
        assert (sample["semantics"][4::8, 4::8][~sample["inside"]] == -100).all()


def test_colour_is_rgb_and_grey_is_dsacstars(folders):
    rgb = Normalisation((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    shards = room_shards(folders["off-centre"])
    colour = SceneViews(shards, height=120, normalisation=rgb).sample(0, 0, np.random.default_rng(0))["image"]
    grey = SceneViews(shards, height=120).sample(0, 0, np.random.default_rng(0))["image"]
    bgr = np.moveaxis(room_images(4)[0].load(), 2, 0)[::-1] / 255
    expected = (bgr - np.array(rgb.mean)[:, None, None]) / np.array(rgb.spread)[:, None, None]
    assert colour.shape == (3, 120, 160) and grey.shape == (1, 120, 160)
    assert np.abs(colour - expected).mean() < 0.05
    np.testing.assert_allclose(
        grey[0].mean() * 0.25 + 0.4, bgr[::-1].mean((1, 2)) @ [0.114, 0.587, 0.299], atol=0.01
    )
    with pytest.raises(ConfigurationError, match="1 or 3 means"):
        Normalisation((0.5, 0.4), (0.2, 0.3))


def test_a_tint_is_of_blue_green_and_red():
    grey = np.full((8, 8, 3), 100, np.uint8)
    rgb = Normalisation((0.0,) * 3, (1.0,) * 3)
    red, green, blue = rgb.apply(grey, Augmentation(tint=(0.5, 1.0, 2.0))).mean((1, 2)) * 255
    np.testing.assert_allclose([blue, green, red], [50, 100, 200], atol=1e-3)


def test_relighting_stays_in_range(folders):
    strong = AugmentationRange(1.0, 0.0, brightness=0.5, contrast=0.5, tint=0.5)
    rgb = Normalisation((0.0,) * 3, (1.0,) * 3)
    views = SceneViews(room_shards(folders["off-centre"]), height=96, augmentation=strong, normalisation=rgb)
    images = [sample["image"] for sample in draw(views, 12)]
    assert min(i.min() for i in images) >= 0 and max(i.max() for i in images) <= 1
    means = np.array([i.mean((1, 2)) for i in images])
    assert means.mean(axis=1).std() > 0.05 and (means[:, 0] / means[:, 2]).std() > 0.1


def test_a_seed_gives_the_same_sample_and_shapes_never_change(folders):
    views = SceneViews(
        room_shards(folders["distorted"]), height=96, augmentation=WILD, extras=["normals", "semantics"]
    )
    assert views.canvas == (96, 128)
    one, two = (views.sample(0, 1, np.random.default_rng(5)) for _ in range(2))
    other = views.sample(0, 1, np.random.default_rng(6))
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name])
        assert value.shape == other[name].shape and value.dtype == other[name].dtype
    assert not np.array_equal(one["image"], other["image"])
    assert {name: (value.shape, value.dtype.str[1:]) for name, value in one.items()} == {
        "image": ((1, 96, 128), "f4"), "pixels": ((2, 12, 16), "f4"), "matrix": ((3, 3), "f4"),
        "pose": ((4, 4), "f4"), "coordinates": ((3, 12, 16), "f4"), "known": ((12, 16), "b1"),
        "inside": ((12, 16), "b1"), "depth": ((12, 16), "f4"), "normals": ((3, 12, 16), "f4"),
        "semantics": ((96, 128), "i8"), "domain": ((), "i8"), "number": ((), "i8"),
    }  # fmt: skip


def test_domains_and_numbers(tmp_path):
    folder = write_room(tmp_path, 3, 1, domains=("real", "simulated"), shards=2)
    views = SceneViews(room_shards(folder), height=48)
    samples = [views.sample(g, k, np.random.default_rng(0)) for g in (0, 1) for k in range(3)]
    assert sorted(int(s["number"]) for s in samples) == list(range(6)) and len(views.names) == 6
    for sample in samples:
        assert (
            views.names[int(sample["number"])].split("/")[1] == ["real", "simulated"][int(sample["domain"])]
        )


def test_what_cannot_be(folders, tmp_path):
    shards = room_shards(folders["off-centre"])
    with pytest.raises(ConfigurationError, match="multiples of 8"):
        SceneViews(shards, canvas=(100, 128)).sample(0, 0, np.random.default_rng(0))
    bare = room_shards(write_room(tmp_path / "bare", 2, 1, labels="none"))
    sample = SceneViews(bare, height=48).sample(0, 0, np.random.default_rng(0))
    assert not sample["known"].any() and sample["inside"].all()
    with pytest.raises(DatasetError, match="normals asked for, but the set has no depth"):
        SceneViews(bare, extras=["normals"])
    write_shards([{"xs": np.zeros(3)}], tmp_path / "other", "train", 1)
    with pytest.raises(DatasetError, match="relpose prepare scene"):
        SceneViews(ShardSet(tmp_path / "other", "train"))


def test_the_default_canvas_holds_the_usual_image():
    assert default_canvas({"mean_image_size": [640.0, 480.0]}, 480) == (480, 640)
    assert default_canvas({"mean_image_size": [360.0, 640.0]}, 300) == (536, 304)
