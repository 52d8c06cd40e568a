"""The `*.relmap` file: HDF5, versioned, checksummed, written whole or not at all.

A small map is read and checked at once. Of a large one only what every query needs is: the rest is
read, and checked, when it is asked for.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import CameraError, MapError
from relpose_ros.features.compression import dequantize, quantize
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps import lazy as parts
from relpose_ros.maps.blocks import BlockFile
from relpose_ros.maps.bundle import Landmarks, Map, ReferenceFeatures
from relpose_ros.maps.camera_rows import camera_rows, cameras_of
from relpose_ros.maps.graph_rows import DESCRIPTORS as GRAPH_DESCRIPTORS
from relpose_ros.maps.graph_rows import GraphFeatures
from relpose_ros.maps.hdf5 import plain_value, write_hdf5
from relpose_ros.maps.landmark_rows import covariances_of, derived_about, derived_arrays, landmark_arrays
from relpose_ros.maps.rows import SUBPIXEL, pixels
from relpose_ros.maps.seal import SCHEMA_VERSION, schema_version, seal
from relpose_ros.maps.stored_index import DESCRIPTORS, index_about, index_arrays, stored_index
from relpose_ros.maps.version_1 import read_version_1
from relpose_ros.retrieval.describer import DescriberIdentity
from relpose_ros.retrieval.index import EXACT_LIMIT
from relpose_ros.retrieval.vlad import Vlad

Arrays = Mapping[str, NDArray[Any]]

WHOLE_BYTES = 64 << 20
"""A map file of up to this size is read, and checked, at once."""


def write_map(map_: Map, path: Path) -> None:
    """Write `map_` to `path` through a temporary file in the same folder.

    Raises MapError where that cannot be done; what was at `path` is then still there.
    """
    if not path.parent.is_dir():
        raise MapError(f"{path}: the folder {path.parent} does not exist; make it first")
    arrays, about = map_arrays(map_), map_about(map_)
    signatures = map_.retrieval_index.signatures if len(map_) > EXACT_LIMIT else None
    arrays |= index_arrays(signatures)
    about |= index_about(signatures, arrays[DESCRIPTORS])
    if sum(array.nbytes for array in arrays.values()) > WHOLE_BYTES:
        arrays, about = arrays | derived_arrays(map_), about | derived_about(map_)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        os.close(handle)
        temporary = Path(name)
        try:
            write_hdf5(temporary, arrays, about)
            seal(temporary)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise MapError(
            f"{path}: cannot be written ({error}); expected a folder with free space that you may write to"
        ) from error


def refuse_missing(path: Path) -> None:
    """Raise MapError where there is no file."""
    if path.is_dir():
        raise MapError(f"{path}: a folder, where a map was expected: one file, made by `relpose map build`")
    if not path.is_file():
        raise MapError(f"{path}: no such map; build one with `relpose map build SOURCE --out {path}`")


UNFIT = (
    KeyError, ValueError, IndexError, TypeError, AttributeError, CameraError, ArithmeticError, RecursionError,
    MemoryError,
)  # fmt: skip
"""What reading raises where the parts of a file contradict each other."""


def read_map(path: Path, lazy: bool | None = None) -> Map:
    """Read and check a map bundle; MapError says what is wrong and what to do.

    `lazy`: read of it only what every query needs, and the rest, where it lies, when it is asked for. None:
    where the file has more than WHOLE_BYTES.
    """
    refuse_missing(path)
    try:
        return _read(path, lazy)
    except OSError as error:
        raise MapError(
            f"{path}: cannot be read ({error}); check that you may read it, or copy it again"
        ) from error
    except UNFIT as error:
        raise MapError(f"{path}: the parts of this map do not fit together ({error}); rebuild it") from error


def _read(path: Path, lazy: bool | None) -> Map:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if schema_version(path, handle) == 1:
            return replace(_from_arrays(*read_version_1(path, handle)), path=path)
        size, file = os.fstat(handle).st_size, BlockFile(path, os.dup(handle))
    finally:
        os.close(handle)
    file.check_others()
    arrays = parts.StoredArrays(file)
    about = {n.removeprefix("about/"): plain_value(arrays[n]) for n in arrays if n.startswith("about/")}
    if size > WHOLE_BYTES if lazy is None else lazy:
        landmarks = parts.stored_landmarks(file)
        features = parts.stored_features(file, landmarks)
        opened = _assembled(arrays, about, landmarks, features, parts.stored_descriptors(file))
        opened = _with_graph(opened, about, parts.stored_graph(file))
    else:
        opened = _from_arrays({name: arrays[name] for name in arrays}, about)
    opened = replace(opened, path=path)
    parts.remember_derived(opened, file, about)
    vars(opened)["retrieval_index"] = stored_index(file, about, opened.global_descriptors)
    return opened


def map_about(map_: Map) -> dict[str, Any]:
    """Texts and numbers `about/*`."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": map_.name,
        "metric": bool(map_.metric),
        "feature": map_.feature,
        "reference_names": json.dumps(map_.reference_names),
        "conditions": json.dumps(map_.conditions),
        "calibration": json.dumps(map_.calibration),
        "provenance": json.dumps({**map_.provenance, "schema_version": SCHEMA_VERSION}),
        **({} if map_.describer is None else {"describer": json.dumps(map_.describer.to_dict())}),
        **({} if map_.graph is None else map_.graph.about()),
    }


def map_arrays(map_: Map) -> dict[str, NDArray[Any]]:
    """The datasets of a map by name."""
    features = map_.features
    landmarks = np.concatenate([f.landmarks for f in features])
    descriptors = np.concatenate([f.descriptors for f in features])
    origin = np.median(map_.reference_poses.translation, axis=0)
    return {
        "origin": origin,
        "references/rotation_xyzw": map_.reference_poses.rotation_xyzw,
        "references/translation": map_.reference_poses.translation,
        "references/camera": camera_rows(map_.cameras),
        "references/twins": map_.twins,
        "references/global_descriptor": map_.global_descriptors.astype(np.float16),
        "keypoints/offset": np.cumsum([0, *[len(f.keypoints) for f in features]]).astype(np.int64),
        "keypoints/loose_offset": np.cumsum([0, *[(f.landmarks < 0).sum() for f in features]]).astype(
            np.int64
        ),
        "keypoints/pixel": np.round(
            (np.concatenate([f.keypoints for f in features]) + 0.5) * SUBPIXEL
        ).astype(np.uint16 if max(max(c.width, c.height) for c in map_.cameras) < 2047 else np.uint32),
        "keypoints/landmark": landmarks.astype(np.int32),
        "keypoints/descriptor": quantize(descriptors[landmarks < 0]),
        **landmark_arrays(map_, origin),
        **({} if map_.vlad is None else _vlad_arrays(map_.vlad)),
        **({} if map_.graph is None else map_.graph.arrays()),
    }


def _vlad_arrays(vlad: Vlad) -> dict[str, NDArray[Any]]:
    return {
        "vlad/centres": vlad.centres.astype(np.float32),
        "vlad/mean": vlad.mean.astype(np.float32),
        "vlad/basis": vlad.basis.astype(np.float16),
    }


def _described_by(arrays: Arrays, about: dict[str, Any]) -> dict[str, Any]:
    """The map's VLAD, or the identity of what made its global descriptors; maps of old have the former."""
    if about.get("describer"):
        return {"vlad": None, "describer": DescriberIdentity.from_dict(json.loads(about["describer"]))}
    centres, mean, basis = (arrays[f"vlad/{name}"] for name in ("centres", "mean", "basis"))
    return {"vlad": Vlad(centres, mean, basis.astype(np.float32))}


def _from_arrays(arrays: Arrays, about: dict[str, Any]) -> Map:
    landmarks = _landmarks(arrays)
    descriptors = arrays[DESCRIPTORS].astype(np.float32)
    opened = _assembled(arrays, about, landmarks, _features(arrays, landmarks), descriptors)
    rows = arrays[GRAPH_DESCRIPTORS].astype(np.float32) if GRAPH_DESCRIPTORS in arrays else None
    return _with_graph(opened, about, rows)


def _with_graph(opened: Map, about: dict[str, Any], rows: NDArray[np.float32] | None) -> Map:
    """With the optional descriptors of a network over graphs."""
    graph = None if rows is None else GraphFeatures.stored(about, rows, len(opened))
    return replace(opened, graph=graph)


def _assembled(
    arrays: Arrays,
    about: dict[str, Any],
    landmarks: Landmarks,
    features: Sequence[ReferenceFeatures],
    global_descriptors: NDArray[np.float32],
) -> Map:
    names = tuple(json.loads(about["reference_names"]))
    cameras = cameras_of(arrays["references/camera"])
    if not len(landmarks.points) == len(landmarks.covariances) == len(landmarks.descriptors):
        raise ValueError(f"{len(landmarks.points)} landmarks, {len(landmarks.covariances)} covariances")
    poses = Rigid.from_quaternion(arrays["references/rotation_xyzw"], arrays["references/translation"])
    if not len(names) == len(cameras) == len(features) == len(poses.translation) == len(global_descriptors):
        raise ValueError(f"{len(names)} names, {len(cameras)} cameras, {len(features)} feature sets")
    twins = arrays["references/twins"] if "references/twins" in arrays else np.zeros((0, 2), np.int32)
    if twins.size and not 0 <= twins.min() <= twins.max() < len(names):
        raise ValueError(f"twins name reference {twins.max()}, but there are {len(names)}")
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
        **_described_by(arrays, about),
        global_descriptors=global_descriptors,
        calibration=json.loads(about["calibration"]),
        provenance=json.loads(about["provenance"]),
        twins=twins,
    )


def _landmarks(arrays: Arrays) -> Landmarks:
    points = arrays["landmarks/point"].astype(np.float64) + arrays["origin"]
    covariances = covariances_of(arrays["landmarks/covariance_factor"])
    return Landmarks(points, covariances, dequantize(arrays["landmarks/descriptor"]))


def _features(arrays: Arrays, landmarks: Landmarks) -> tuple[ReferenceFeatures, ...]:
    keypoints = pixels(arrays["keypoints/pixel"])
    seen = arrays["keypoints/landmark"]
    if seen.max(initial=-1) >= len(landmarks):
        raise ValueError(f"a keypoint names landmark {seen.max()}, but there are {len(landmarks)}")
    descriptors = np.empty((len(seen), landmarks.descriptors.shape[1]), np.float32)
    descriptors[seen >= 0] = landmarks.descriptors[seen[seen >= 0]]
    descriptors[seen < 0] = dequantize(arrays["keypoints/descriptor"])
    bounds = arrays["keypoints/offset"]
    return tuple(
        ReferenceFeatures(keypoints[a:b], seen[a:b], descriptors[a:b]) for a, b in itertools.pairwise(bounds)
    )
