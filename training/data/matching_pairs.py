"""Pairs of images with features and true relative pose: the HDF5 layout of the published evaluations.

Groups K1 K2 R T e f img_path1 img_path2 desc1 desc2 kpt1 kpt2, each with the data sets "0" to "n-1"
(specs/imp.md 2.3, from SGMNet). Ours have size1 and size2 too: matchers see keypoints relative to the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.epipolar import essential_matrix
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """`keypoints` (N, 3): x, y in pixels of the original image, score; `descriptors` (N, D)."""

    keypoints: Float32
    descriptors: Float32


@dataclass(frozen=True, eq=False)
class PosedPair:
    """Two images: features, intrinsics (3, 3), paths, and `second_from_first`, translation of length 1.

    `sizes`: (width, height) of each image; None in files of others, which do not have it.
    """

    features: tuple[ImageFeatures, ImageFeatures]
    matrices: tuple[Array, Array]
    image_paths: tuple[str, str]
    second_from_first: Rigid
    sizes: tuple[Size, Size] | None = None

    @property
    def image_sizes(self) -> tuple[Size, Size]:
        """`sizes`, or what they are if the principal points lie in the middle, as YFCC's were set."""
        if self.sizes is not None:
            return self.sizes
        first, second = ((round(2 * m[0, 2] + 1), round(2 * m[1, 2] + 1)) for m in self.matrices)
        return first, second

    @property
    def essential(self) -> Array:
        """[t]x R (3, 3), of Frobenius norm 1."""
        return _unit(essential_matrix(self.second_from_first))

    @property
    def fundamental(self) -> Array:
        """K2^-T E K1^-1 (3, 3), of Frobenius norm 1."""
        first, second = (np.linalg.inv(matrix) for matrix in self.matrices)
        return _unit(second.T @ self.essential @ first)


def read_pairs(path: Path) -> Iterator[PosedPair]:
    """The pairs in order. Raises DatasetError when the file is not of this layout."""
    import h5py

    if not path.is_file():
        raise DatasetError(
            f"{path}: no such file; `relpose prepare matches SOURCE --evaluation FILE` makes one"
        )
    try:
        with h5py.File(path, "r") as file:
            for index in range(len(_group(file, "R"))):
                yield _read_pair(file, str(index))
    except (OSError, KeyError, RuntimeError) as error:
        raise DatasetError(f"{path}: not a whole HDF5 file of matching pairs ({error})") from error
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def write_pairs(path: Path, pairs: Iterable[PosedPair]) -> int:
    """Write pairs, one after the other, and say how many; the file appears when it is whole."""
    import h5py

    partial = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with h5py.File(partial, "w") as file:
            for name in ("K1", "K2", "R", "T", "e", "f", *_PER_IMAGE):
                file.create_group(name)
            for pair in pairs:
                _write_pair(file, str(count), pair)
                count += 1
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def read_features(path: Path) -> ImageFeatures:
    """The features of one image, from a file with `keypoints` and `descriptors`. Raises DatasetError."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            keypoints = _dataset(file, "keypoints", (None, 3))
            return ImageFeatures(keypoints, _dataset(file, "descriptors", (len(keypoints), None)))
    except (OSError, KeyError, RuntimeError) as error:
        raise DatasetError(f"{path}: not a whole HDF5 file of features ({error})") from error
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from error


def write_features(path: Path, features: ImageFeatures) -> None:
    """Write the features of one image; the file appears when it is whole."""
    import h5py

    partial = path.with_name(f".{path.name}.part")
    try:
        with h5py.File(partial, "w") as file:
            file["keypoints"] = np.asarray(features.keypoints, np.float32)
            file["descriptors"] = np.asarray(features.descriptors, np.float32)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


_PER_IMAGE = ("img_path1", "img_path2", "desc1", "desc2", "kpt1", "kpt2")


def _unit(matrix: Array) -> Array:
    return np.asarray(matrix / np.linalg.norm(matrix))


def _read_pair(file: Any, index: str) -> PosedPair:
    def features(side: int) -> ImageFeatures:
        keypoints = _dataset(_group(file, f"kpt{side}"), index, (None, 3))
        shape = (len(keypoints), None)
        return ImageFeatures(keypoints, _dataset(_group(file, f"desc{side}"), index, shape))

    def matrix(name: str) -> Array:
        return np.asarray(_dataset(_group(file, name), index, (3, 3)), float)

    translation = np.asarray(_dataset(_group(file, "T"), index, None), float).ravel()
    if translation.shape != (3,):
        raise DatasetError(f"expected a translation of 3 numbers in T/{index}, got {len(translation)}")
    return PosedPair(
        (features(1), features(2)),
        (matrix("K1"), matrix("K2")),
        (_text(file, f"img_path1/{index}"), _text(file, f"img_path2/{index}")),
        Rigid(matrix("R"), translation),
        _sizes(file, index),
    )


def _sizes(file: Any, index: str) -> tuple[Size, Size] | None:
    if not {"size1", "size2"} <= set(file):
        return None
    first, second = (_dataset(_group(file, name), index, (2,)) for name in ("size1", "size2"))
    if min(*first, *second) < 1:
        raise DatasetError(f"expected sizes of images, got {first.tolist()} and {second.tolist()}")
    return (int(first[0]), int(first[1])), (int(second[0]), int(second[1]))


def _write_pair(file: Any, index: str, pair: PosedPair) -> None:
    import h5py

    file[f"R/{index}"] = pair.second_from_first.rotation
    file[f"T/{index}"] = pair.second_from_first.translation[:, None]
    file[f"e/{index}"], file[f"f/{index}"] = pair.essential, pair.fundamental
    text = h5py.string_dtype("ascii")
    for side in (1, 2):
        features, path = pair.features[side - 1], pair.image_paths[side - 1]
        if not path.isascii():
            raise DatasetError(f"the layout stores ASCII paths, got {path!r}; rename the image")
        file[f"K{side}/{index}"] = pair.matrices[side - 1]
        file[f"kpt{side}/{index}"] = np.asarray(features.keypoints, np.float32)
        file[f"desc{side}/{index}"] = np.asarray(features.descriptors, np.float32)
        file.create_dataset(f"img_path{side}/{index}", data=[path.encode("ascii")], dtype=text)
        if pair.sizes is not None:
            file[f"size{side}/{index}"] = np.asarray(pair.sizes[side - 1], np.int32)


def _group(file: Any, name: str) -> Any:
    import h5py

    # A link could lead to another file.
    if name not in file or not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DatasetError(f"expected a group {name}, found {', '.join(sorted(file)) or 'nothing'}")
    return file[name]


def _dataset(group: Any, name: str, shape: tuple[int | None, ...] | None) -> NDArray[Any]:
    """The numbers of a data set; of `shape`, None: any length."""
    found = _group(group, name)
    size = found.shape
    fits = shape is None or (
        len(size) == len(shape) and all(n in (None, m) for n, m in zip(shape, size, strict=True))
    )
    if not fits or found.dtype.kind not in "iuf":
        raise DatasetError(f"expected numbers of shape {shape} in {found.name}, got {found.dtype} {size}")
    return np.asarray(found[...])


def _text(file: Any, name: str) -> str:
    group, index = name.split("/")
    found = _group(_group(file, group), index)[...].ravel()
    if len(found) != 1 or not isinstance(found[0], bytes | str):
        raise DatasetError(f"expected one path in {name}")
    return found[0].decode("utf-8") if isinstance(found[0], bytes) else found[0]
