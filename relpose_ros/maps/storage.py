"""The `*.relmap` file: HDF5, versioned, checksummed, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import CameraError, MapError
from relpose_ros.features.compression import dequantize, quantize
from relpose_ros.geometry.cameras import DISTORTION_SIZES, Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.bundle import Landmarks, Map, ReferenceFeatures
from relpose_ros.retrieval.vlad import Vlad

if TYPE_CHECKING:
    import h5py

MAGIC = "relmap"
SCHEMA_VERSION = 1

_MODELS = tuple(DISTORTION_SIZES)
_SUBPIXEL = 32.0
"""Keypoints are stored in 1/32 pixel: an order finer than their noise, up to 2047 pixels."""


def write_map(map_: Map, path: Path) -> None:
    """Write `map_` to `path` through a temporary file in the same folder."""
    import h5py

    if not path.parent.is_dir():
        raise MapError(f"{path}: the folder {path.parent} does not exist; make it first")
    arrays = _to_arrays(map_)
    attributes = {
        "magic": MAGIC,
        "schema_version": SCHEMA_VERSION,
        "name": map_.name,
        "metric": bool(map_.metric),
        "feature": map_.feature,
        "reference_names": json.dumps(map_.reference_names),
        "conditions": json.dumps(map_.conditions),
        "calibration": json.dumps(map_.calibration),
        "provenance": json.dumps({**map_.provenance, "schema_version": SCHEMA_VERSION}),
    }
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        with h5py.File(temporary, "w") as file:
            for name, value in arrays.items():
                packing = {"compression": "gzip", "shuffle": True} if value.nbytes > 512 else {}
                file.create_dataset(name, data=value, **packing)
            # Long texts go into datasets: HDF5 attributes end at 64 kB.
            for name, value in attributes.items():
                file.create_dataset(f"about/{name}", data=value)
            file.create_dataset("about/checksum", data=_checksum(arrays, attributes))
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_map(path: Path) -> Map:
    """Read and check a map bundle; MapError says what is wrong and what to do."""
    import h5py

    if not path.is_file():
        raise MapError(f"{path}: no such map; build one with `relpose map build SOURCE --out {path}`")
    try:
        with h5py.File(path, "r") as file:
            about = _read_about(file, path)
            names = [n for n in _leaves(file) if not n.startswith("about/")]
            arrays = {name: np.asarray(file[name]) for name in names}
    except MapError:
        raise
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise MapError(
            f"{path}: cannot be read as a map ({error}); it is truncated or not a *.relmap file. "
            "Copy it again or rebuild it"
        ) from error
    stored = about.pop("checksum")
    if _checksum(arrays, about) != stored:
        raise MapError(f"{path}: checksum does not match, the file is damaged; copy it again or rebuild it")
    try:
        return replace(_from_arrays(arrays, about), path=path)
    except (KeyError, ValueError, IndexError, TypeError, CameraError) as error:
        raise MapError(f"{path}: the parts of this map do not fit together ({error}); rebuild it") from error


def _leaves(file: h5py.File) -> list[str]:
    import h5py

    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _read_about(file: h5py.File, path: Path) -> dict[str, Any]:
    if "about/magic" not in file or file["about/magic"][()] != MAGIC.encode():
        raise MapError(f"{path}: an HDF5 file, but not a relpose map; expected one made by `relpose map build`")
    version = int(file["about/schema_version"][()])
    if version > SCHEMA_VERSION:
        raise MapError(
            f"{path}: schema version {version}, but this software reads up to {SCHEMA_VERSION}; "
            "update relpose_ros or rebuild the map with this version"
        )
    about: dict[str, Any] = {}
    for name, item in file["about"].items():
        value = item[()]
        about[name] = value.decode() if isinstance(value, bytes) else value.item()
    return about


def _checksum(arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        value = arrays[name]
        digest.update(f"{name}:{value.dtype.str}:{value.shape};".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    for name in sorted(about):
        digest.update(f"{name}={about[name]};".encode())
    return digest.hexdigest()


def _to_arrays(map_: Map) -> dict[str, NDArray[Any]]:
    features = map_.features
    landmarks = np.concatenate([f.landmarks for f in features])
    descriptors = np.concatenate([f.descriptors for f in features])
    origin = np.median(map_.reference_poses.translation, axis=0)
    upper = np.triu_indices(3)
    return {
        "origin": origin,
        "references/rotation_xyzw": map_.reference_poses.rotation_xyzw,
        "references/translation": map_.reference_poses.translation,
        "references/camera": np.array([_camera_row(c) for c in map_.cameras]),
        "references/global_descriptor": map_.global_descriptors.astype(np.float16),
        "keypoints/offset": np.cumsum([0, *[len(f.keypoints) for f in features]]).astype(np.int64),
        "keypoints/pixel": np.round(
            (np.concatenate([f.keypoints for f in features]) + 0.5) * _SUBPIXEL
        ).astype(np.uint16 if max(max(c.width, c.height) for c in map_.cameras) < 2047 else np.uint32),
        "keypoints/landmark": landmarks.astype(np.int32),
        "keypoints/descriptor": quantize(descriptors[landmarks < 0]),
        "landmarks/point": (map_.landmarks.points - origin).astype(np.float32),
        "landmarks/covariance": map_.landmarks.covariances[:, *upper].astype(np.float32),
        "landmarks/descriptor": quantize(map_.landmarks.descriptors),
        "vlad/centres": map_.vlad.centres.astype(np.float32),
        "vlad/mean": map_.vlad.mean.astype(np.float32),
        "vlad/basis": map_.vlad.basis.astype(np.float16),
    }


def _from_arrays(arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> Map:
    landmarks = _landmarks(arrays)
    names = tuple(json.loads(about["reference_names"]))
    cameras = tuple(_camera(row) for row in arrays["references/camera"])
    poses = Rigid.from_quaternion(arrays["references/rotation_xyzw"], arrays["references/translation"])
    features = _features(arrays, landmarks)
    if not len(names) == len(cameras) == len(features) == len(poses.translation):
        raise ValueError(f"{len(names)} names, {len(cameras)} cameras, {len(features)} feature sets")
    vlad = Vlad(
        arrays["vlad/centres"], arrays["vlad/mean"], arrays["vlad/basis"].astype(np.float32)
    )
    return Map(
        name=about["name"],
        metric=bool(about["metric"]),
        feature=about["feature"],
        reference_names=names,
        conditions=tuple(json.loads(about["conditions"])),
        cameras=cameras,
        reference_poses=poses,
        features=features,
        landmarks=landmarks,
        vlad=vlad,
        global_descriptors=arrays["references/global_descriptor"].astype(np.float32),
        calibration=json.loads(about["calibration"]),
        provenance=json.loads(about["provenance"]),
    )


def _landmarks(arrays: dict[str, NDArray[Any]]) -> Landmarks:
    upper = arrays["landmarks/covariance"].astype(np.float64)
    covariances = np.zeros((len(upper), 3, 3))
    rows, columns = np.triu_indices(3)
    covariances[:, rows, columns] = upper
    covariances[:, columns, rows] = upper
    points = arrays["landmarks/point"].astype(np.float64) + arrays["origin"]
    return Landmarks(points, covariances, dequantize(arrays["landmarks/descriptor"]))


def _features(arrays: dict[str, NDArray[Any]], landmarks: Landmarks) -> tuple[ReferenceFeatures, ...]:
    pixels = (arrays["keypoints/pixel"].astype(np.float32) / np.float32(_SUBPIXEL)) - np.float32(0.5)
    seen = arrays["keypoints/landmark"]
    if seen.max(initial=-1) >= len(landmarks):
        raise ValueError(f"a keypoint names landmark {seen.max()}, but there are {len(landmarks)}")
    descriptors = np.empty((len(seen), landmarks.descriptors.shape[1]), np.float32)
    descriptors[seen >= 0] = landmarks.descriptors[seen[seen >= 0]]
    descriptors[seen < 0] = dequantize(arrays["keypoints/descriptor"])
    bounds = arrays["keypoints/offset"]
    return tuple(
        ReferenceFeatures(pixels[a:b], seen[a:b], descriptors[a:b])
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    )


def _camera_row(camera: Camera) -> list[float]:
    distortion = [*camera.distortion, *[np.nan] * (8 - len(camera.distortion))]
    size = [camera.width, camera.height]
    return [_MODELS.index(camera.model), camera.fx, camera.fy, camera.cx, camera.cy, *size, *distortion]


def _camera(row: NDArray[np.float64]) -> Camera:
    distortion = tuple(row[7:][np.isfinite(row[7:])])
    fx, fy, cx, cy = row[1:5].tolist()
    return Camera(_MODELS[int(row[0])], fx, fy, cx, cy, int(row[5]), int(row[6]), distortion)
