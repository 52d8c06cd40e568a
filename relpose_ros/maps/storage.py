"""The `*.relmap` file: HDF5, versioned, checksummed, written whole or not at all."""

from __future__ import annotations

import itertools
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
from relpose_ros.maps.seal import SCHEMA_VERSION, SEAL_BYTES, check_seal, seal
from relpose_ros.retrieval.vlad import Vlad

if TYPE_CHECKING:
    import h5py

_MODELS = tuple(DISTORTION_SIZES)
_SUBPIXEL = 32.0
"""Keypoints are stored in 1/32 pixel: an order finer than their noise, up to 2047 pixels."""


def write_map(map_: Map, path: Path) -> None:
    """Write `map_` to `path` through a temporary file in the same folder.

    Raises MapError where that cannot be done; what was at `path` is then still there.
    """
    if not path.parent.is_dir():
        raise MapError(f"{path}: the folder {path.parent} does not exist; make it first")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        try:
            _write_hdf5(temporary, _to_arrays(map_), _about(map_))
            seal(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MapError(
            f"{path}: cannot be written ({error}); expected a folder with free space that you may write to"
        ) from error


def read_map(path: Path) -> Map:
    """Read and check a map bundle; MapError says what is wrong and what to do."""
    if not path.is_file():
        raise MapError(f"{path}: no such map; build one with `relpose map build SOURCE --out {path}`")
    try:
        check_seal(path)
        arrays, about = _read_hdf5(path)
        return replace(_from_arrays(arrays, about), path=path)
    except OSError as error:
        raise MapError(
            f"{path}: cannot be read ({error}); check that you may read it, or copy it again"
        ) from error
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, CameraError) as error:
        raise MapError(f"{path}: the parts of this map do not fit together ({error}); rebuild it") from error


def _write_hdf5(path: Path, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> None:
    import h5py

    with h5py.File(path, "w", userblock_size=SEAL_BYTES) as file:
        for name, array in arrays.items():
            packing = {"compression": "gzip", "shuffle": True} if array.nbytes > 512 else {}
            file.create_dataset(name, data=array, **packing)
        # Long texts go into datasets: HDF5 attributes end at 64 kB.
        for name, value in about.items():
            file.create_dataset(f"about/{name}", data=value)


def _read_hdf5(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    import h5py

    with h5py.File(path, "r") as file:
        about = {name: _plain(item[()]) for name, item in file["about"].items()}
        names = [name for name in _leaves(file) if not name.startswith("about/")]
        return {name: np.asarray(file[name]) for name in names}, about


def _leaves(file: h5py.File) -> list[str]:
    import h5py

    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value.item()


def _about(map_: Map) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "name": map_.name,
        "metric": bool(map_.metric),
        "feature": map_.feature,
        "reference_names": json.dumps(map_.reference_names),
        "conditions": json.dumps(map_.conditions),
        "calibration": json.dumps(map_.calibration),
        "provenance": json.dumps({**map_.provenance, "schema_version": SCHEMA_VERSION}),
    }


def _to_arrays(map_: Map) -> dict[str, NDArray[Any]]:
    features = map_.features
    landmarks = np.concatenate([f.landmarks for f in features])
    descriptors = np.concatenate([f.descriptors for f in features])
    origin = np.median(map_.reference_poses.translation, axis=0)
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
        "landmarks/covariance_factor": _factors(map_.landmarks.covariances),
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
    vlad = Vlad(arrays["vlad/centres"], arrays["vlad/mean"], arrays["vlad/basis"].astype(np.float32))
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
    stored = arrays["landmarks/covariance_factor"].astype(np.float64)
    factor = np.zeros((len(stored), 3, 3))
    factor[:, *np.tril_indices(3)] = stored[:, 1:] * np.exp2(stored[:, :1])
    covariances = factor @ factor.transpose(0, 2, 1)
    points = arrays["landmarks/point"].astype(np.float64) + arrays["origin"]
    return Landmarks(points, covariances, dequantize(arrays["landmarks/descriptor"]))


def _factors(covariances: NDArray[np.float64]) -> NDArray[np.float16]:
    """Lower Cholesky factors (L, 1 + 6): a binary exponent, and six entries of order one.

    Half precision keeps three digits of a standard deviation, which is all it means; the
    exponent keeps points at infinity and objects of a millimetre in its range.
    """
    scale = np.sqrt(np.trace(covariances, axis1=1, axis2=2) / 3)
    exponent = np.ceil(np.log2(np.maximum(scale, 1e-30)))[:, None]
    normed = covariances / np.exp2(2 * exponent)[:, :, None]
    factor = np.linalg.cholesky(normed + 1e-9 * np.eye(3))
    return np.concatenate([exponent, factor[:, *np.tril_indices(3)]], axis=1).astype(np.float16)


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
        ReferenceFeatures(pixels[a:b], seen[a:b], descriptors[a:b]) for a, b in itertools.pairwise(bounds)
    )


def _camera_row(camera: Camera) -> list[float]:
    distortion = [*camera.distortion, *[np.nan] * (8 - len(camera.distortion))]
    size = [camera.width, camera.height]
    return [_MODELS.index(camera.model), camera.fx, camera.fy, camera.cx, camera.cy, *size, *distortion]


def _camera(row: NDArray[np.float64]) -> Camera:
    distortion = tuple(row[7:][np.isfinite(row[7:])])
    fx, fy, cx, cy = row[1:5].tolist()
    return Camera(_MODELS[int(row[0])], fx, fy, cx, cy, int(row[5]), int(row[6]), distortion)
