"""The map file: what goes in comes out, what is not whole is refused, and a reader only reads."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from relpose_ros.errors import MapError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps import storage
from relpose_ros.maps.bundle import Landmarks, Map, ReferenceFeatures
from relpose_ros.maps.hdf5 import fixed_text
from relpose_ros.maps.seal import SEAL_BYTES, seal
from relpose_ros.maps.storage import read_map

SPARE = b"the map that was here before"


@pytest.fixture(scope="module")
def saved(point_map: Map, tmp_path_factory: pytest.TempPathFactory) -> Map:
    return point_map.save(tmp_path_factory.mktemp("map") / "hall.relmap")


@pytest.fixture(scope="module")
def good(saved: Map) -> bytes:
    assert saved.path is not None
    return saved.path.read_bytes()


def opened(path: Path, content: bytes) -> Map:
    path.write_bytes(content)
    return Map.open(path)


def test_round_trip(saved: Map) -> None:
    read = Map.open(saved.path)
    assert read.path == saved.path
    for name in ("name", "metric", "feature", "reference_names", "conditions", "calibration"):
        assert getattr(read, name) == getattr(saved, name), name
    assert read.cameras == saved.cameras
    assert read.provenance == {"source": "points", "schema_version": 2}
    np.testing.assert_array_equal(read.reference_poses.translation, saved.reference_poses.translation)
    np.testing.assert_allclose(read.reference_poses.rotation, saved.reference_poses.rotation, atol=1e-12)
    np.testing.assert_allclose(read.landmarks.points, saved.landmarks.points, atol=1e-5)
    size = np.trace(saved.landmarks.covariances, axis1=1, axis2=2)[:, None, None]
    np.testing.assert_allclose(
        read.landmarks.covariances / size, saved.landmarks.covariances / size, atol=2e-3
    )
    assert np.linalg.eigvalsh(read.landmarks.covariances).min() > 0
    assert (read.landmarks.descriptors * saved.landmarks.descriptors).sum(axis=1).min() > 0.999
    np.testing.assert_allclose(read.global_descriptors, saved.global_descriptors, atol=1e-3)


def test_round_trip_of_features(saved: Map) -> None:
    for ours, read in zip(saved.features, Map.open(saved.path).features, strict=True):
        np.testing.assert_allclose(read.keypoints, ours.keypoints, atol=1 / 64 + 1e-4)
        np.testing.assert_array_equal(read.landmarks, ours.landmarks)
        assert (read.descriptors * ours.descriptors).sum(axis=1).min() > 0.999


def test_saving_what_was_read_changes_nothing(
    saved: Map, tmp_path: Path, assert_equal_maps: Callable[[Map, Map], None]
) -> None:
    read = Map.open(saved.path)
    assert_equal_maps(read, Map.open(read.save(tmp_path / "again.relmap").path))


def test_far_from_the_origin_nothing_is_lost(point_map: Map, tmp_path: Path) -> None:
    """UTM coordinates: float32 points would be off by half a metre."""
    offset = np.array([450_000.0, 5_100_000.0, 300.0])
    moved = replace(
        point_map,
        reference_poses=Rigid(
            point_map.reference_poses.rotation, point_map.reference_poses.translation + offset
        ),
        landmarks=replace(point_map.landmarks, points=point_map.landmarks.points + offset),
    )
    read = Map.open(moved.save(tmp_path / "utm.relmap").path)
    np.testing.assert_allclose(read.landmarks.points, moved.landmarks.points, atol=1e-5, rtol=0)
    np.testing.assert_allclose(
        read.reference_poses.translation, moved.reference_poses.translation, atol=1e-9, rtol=0
    )


CAMERAS = [
    Camera("pinhole", 1.5, 2.5, 0.0, 0.0, 320, 240),
    Camera("plumb_bob", 300.0, 301.0, 160.1, 119.9, 320, 240, (-0.3, 0.1, 0.001, -0.002)),
    Camera("plumb_bob", 300.0, 301.0, 160.1, 119.9, 320, 240, (-0.3, 0.1, 0.001, -0.002, 0.0)),
    Camera("rational_polynomial", 300.0, 301.0, 160.1, 119.9, 320, 240, tuple(0.01 * np.arange(8))),
    Camera("equidistant", 200.0, 200.0, 160.0, 120.0, 320, 240, (0.1, 0.0, -0.01, 0.0)),
]


def test_every_camera_model_survives(point_map: Map, tmp_path: Path) -> None:
    cameras = tuple(CAMERAS[i % len(CAMERAS)] for i in range(len(point_map)))
    assert Map.open(replace(point_map, cameras=cameras).save(tmp_path / "a.relmap").path).cameras == cameras


def test_large_images_keep_their_pixels(point_map: Map, tmp_path: Path) -> None:
    features = replace(point_map.features[0], keypoints=point_map.features[0].keypoints + np.float32(7000))
    camera = Camera("pinhole", 5000, 5000, 4000, 3000, 8000, 7500)
    large = replace(
        point_map,
        features=(features, *point_map.features[1:]),
        cameras=(camera, *point_map.cameras[1:]),
    )
    read = Map.open(large.save(tmp_path / "a.relmap").path)
    np.testing.assert_allclose(read.features[0].keypoints, features.keypoints, atol=0.02)


def test_a_reference_without_features_survives(point_map: Map, tmp_path: Path) -> None:
    size = point_map.landmarks.descriptors.shape[1]
    empty = ReferenceFeatures(
        np.zeros((0, 2), np.float32), np.zeros(0, np.int32), np.zeros((0, size), np.float32)
    )
    hollow = replace(point_map, features=(point_map.features[0], empty, *point_map.features[2:]))
    read = Map.open(hollow.save(tmp_path / "a.relmap").path)
    assert len(read.features[1].keypoints) == 0 and len(read.visible[1]) == 0
    np.testing.assert_array_equal(read.features[2].landmarks, point_map.features[2].landmarks)


def test_a_map_without_landmarks_survives(point_map: Map, tmp_path: Path) -> None:
    size = point_map.landmarks.descriptors.shape[1]
    bare = replace(
        point_map,
        landmarks=Landmarks(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, size), np.float32)),
        features=tuple(replace(f, landmarks=np.full_like(f.landmarks, -1)) for f in point_map.features),
    )
    read = Map.open(bare.save(tmp_path / "a.relmap").path)
    assert len(read.landmarks) == 0 and read.depth == 0.0
    assert (read.features[3].descriptors * bare.features[3].descriptors).sum(axis=1).min() > 0.999


def test_names_in_any_script_and_provenance_of_any_length(point_map: Map, tmp_path: Path) -> None:
    names = tuple(f'flur/東京 {i} "é".jpg' for i in range(len(point_map)))
    long = {"left_out": {f"image{i}": "blurred" for i in range(20_000)}}
    kept = replace(point_map, reference_names=names, provenance=long, name="büro")
    read = Map.open(kept.save(tmp_path / "a.relmap").path)
    assert read.reference_names == names and read.name == "büro"
    assert read.provenance["left_out"] == long["left_out"]


def test_same_map_same_bytes(point_map: Map, tmp_path: Path) -> None:
    first, second = (point_map.save(tmp_path / n).path for n in ("a.relmap", "b.relmap"))
    assert first.read_bytes() == second.read_bytes()


# What is not a whole map is refused.


def offsets(size: int) -> list[int]:
    drawn = np.random.default_rng(7).integers(0, size, 150).tolist()
    return sorted({0, 3, 7, 9, 40, 100, SEAL_BYTES - 1, SEAL_BYTES, SEAL_BYTES + 9, size - 1, *drawn})


def test_every_flipped_byte_is_noticed(good: bytes, tmp_path: Path) -> None:
    for offset in offsets(len(good)):
        damaged = bytearray(good)
        damaged[offset] ^= 1 << (offset % 8)
        with pytest.raises(MapError, match=r"m\.relmap"):
            opened(tmp_path / "m.relmap", bytes(damaged))


@pytest.mark.parametrize("left", [0, 1, 8, 100, SEAL_BYTES - 1, SEAL_BYTES, SEAL_BYTES + 100, 0.3, 0.9, -1])
def test_a_truncated_map_is_refused(good: bytes, tmp_path: Path, left: float) -> None:
    length = int(left * len(good)) if 0 < left < 1 else int(left)
    with pytest.raises(MapError, match=r"cut\.relmap.*(truncated|not a relpose map)"):
        opened(tmp_path / "cut.relmap", good[:length])


def test_something_appended_is_refused(good: bytes, tmp_path: Path) -> None:
    with pytest.raises(MapError, match="checksum"):
        opened(tmp_path / "a.relmap", good + b"\0")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"relmap",
        b"relmap 1 ",
        b"relmap \xff\xfe\n",
        bytes(5000),
        np.random.default_rng(0).bytes(100_000),
        pickle.dumps({"relmap": 1}),
        b"\x89HDF\r\n\x1a\n" + bytes(600),
        b"\xff\xd8\xff\xe0" + bytes(600),
    ],
    ids=["empty", "magic", "no_digest", "not_text", "zeros", "random", "pickle", "hdf5_head", "jpeg"],
)
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(MapError, match=r"x\.relmap.*(rebuild|relpose map build)"):
        opened(tmp_path / "x.relmap", content)


def test_foreign_hdf5_is_refused_as_what_it_is(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["features"] = np.zeros(5)
    with pytest.raises(MapError, match="an HDF5 file, but not a relpose map"):
        Map.open(tmp_path / "foreign.h5")


def test_a_newer_schema_is_refused_with_both_versions(good: bytes, tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"schema version 7.*reads up to 2.*update relpose_ros"):
        opened(tmp_path / "new.relmap", good.replace(b"relmap 2 ", b"relmap 7 ", 1))


def test_a_missing_map_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="no such map; build one with `relpose map build"):
        Map.open(tmp_path / "none.relmap")


def test_a_folder_is_not_called_missing(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="a folder, where a map was expected"):
        Map.open(tmp_path)


def resealed(path: Path, good: bytes, change: Callable[[h5py.File], None]) -> Path:
    """A map with something changed by a program that knows how to seal."""
    path.write_bytes(good)
    with h5py.File(path, "r+") as file:
        change(file)
    seal(path)
    return path


def set_to(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file[name] = fixed_text(value) if isinstance(value, str) else value

    return change


@pytest.mark.parametrize(
    "change",
    [
        set_to("landmarks/point", None),
        set_to("about/name", None),
        set_to("about/reference_names", "[1, 2"),
        set_to("about/reference_names", '["only one"]'),
        set_to("keypoints/landmark", np.full(3, 10**6, np.int32)),
        set_to("references/camera", np.full((16, 15), np.nan)),
        set_to("references/rotation_xyzw", np.zeros((16, 4))),
        set_to("references/translation", np.zeros((3, 3))),
        set_to("references/global_descriptor", np.zeros((3, 15), np.float16)),
        set_to("landmarks/covariance_factor", np.zeros((2, 7), np.float16)),
        set_to("about", None),
        set_to("landmarks", np.zeros(3)),
        set_to("vlad/basis", "a text"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_parts_that_do_not_fit_together_are_refused(
    good: bytes, tmp_path: Path, change: Callable[[h5py.File], None], lazy: bool
) -> None:
    with pytest.raises(MapError, match=r"odd\.relmap.*rebuild"):
        read_map(resealed(tmp_path / "odd.relmap", good, change), lazy)


# Writing is all or nothing.


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    point_map: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.relmap"
    path.write_bytes(SPARE)
    monkeypatch.setattr(
        storage, "seal", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(MapError, match=r"a\.relmap: cannot be written .*No space left"):
        point_map.save(path)
    assert path.read_bytes() == SPARE
    assert [p.name for p in tmp_path.iterdir()] == ["a.relmap"]


def test_an_interrupted_write_leaves_the_old_file(
    point_map: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control-C in the middle of the datasets."""
    path, calls = tmp_path / "a.relmap", []
    path.write_bytes(SPARE)
    original = h5py.Group.create_dataset

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(h5py.Group, "create_dataset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        point_map.save(path)
    assert path.read_bytes() == SPARE
    assert [p.name for p in tmp_path.iterdir()] == ["a.relmap"]


def test_a_killed_writer_leaves_the_old_map(saved: Map, tmp_path: Path) -> None:
    target = tmp_path / "target.relmap"
    target.write_bytes(saved.path.read_bytes())
    script = f"""
        import os, signal
        from relpose_ros.maps import storage
        from relpose_ros.maps.bundle import Map
        storage.seal = lambda path: os.kill(os.getpid(), signal.SIGKILL)
        Map.open({str(saved.path)!r}).save({str(target)!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == saved.path.read_bytes()
    Map.open(target)
    left = [p.name for p in tmp_path.iterdir() if p != target]
    assert len(left) == 1 and left[0].startswith(".target.relmap.") and left[0].endswith(".part")
    Map.open(target).save(target)


def test_a_reader_that_has_the_file_open_keeps_the_old_map(
    point_map: Map, good: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a.relmap"
    path.write_bytes(good)
    with path.open("rb") as reader:
        begun = reader.read(1000)
        replace(point_map, name="another").save(path)
        assert begun + reader.read() == good
    assert Map.open(path).name == "another"


def test_no_folder_to_write_to(point_map: Map, tmp_path: Path) -> None:
    with pytest.raises(MapError, match="does not exist; make it first"):
        point_map.save(tmp_path / "no" / "a.relmap")


def test_permission_to_write_is_asked_for(
    point_map: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated, because tests may run as root, whom nothing is forbidden."""
    monkeypatch.setattr(
        storage.tempfile,
        "mkstemp",
        lambda **_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")),
    )
    with pytest.raises(MapError, match=r"cannot be written .*Permission denied.*that you may write to"):
        point_map.save(tmp_path / "a.relmap")


def test_permission_to_read_is_asked_for(saved: Map, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        storage, "schema_version", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied"))
    )
    with pytest.raises(MapError, match=r"cannot be read .*Permission denied.*that you may read it"):
        Map.open(saved.path)


def test_a_written_map_can_be_read_by_others(saved: Map) -> None:
    assert saved.path.stat().st_mode & 0o777 == 0o644


def test_a_reader_changes_nothing(saved: Map, good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.relmap"
    path.write_bytes(good)
    os.utime(path, ns=(1, 1_000_000_007))
    path.chmod(0o444)
    before = sorted(p.name for p in tmp_path.iterdir())
    map_ = Map.open(path)
    _ = map_.info(), map_.observations, map_.depth, map_.visible
    assert path.read_bytes() == good and path.stat().st_mtime_ns == 1_000_000_007
    assert sorted(p.name for p in tmp_path.iterdir()) == before
