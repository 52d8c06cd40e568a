"""The raw layouts of published evaluations: which images, their cameras and poses, and which pairs.

YFCC100M, as OANet laid it out: `yfcc100m/<sequence>/test/{images.txt, calibration.txt}` (a list of images,
and of HDF5 files with K, R, T), `pairs/<sequence>-te-1000-pairs.pkl` (a pickle, read without unpickling).
ScanNet: `<scene>/{img/<i>.jpg, extrinsic/<i>.txt, intrinsic/<i>.txt}`, and a list with two images a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.image_headers import quick_image_size
from relpose_ros.datasets.text_files import read_text, rows, safe_name
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.pickled_arrays import parse_pickle

Array = NDArray[np.float64]

PAIRS_ENDING = "-te-1000-pairs.pkl"
SCANNET_SIZE = (640, 480)
"""What the published features were extracted at."""


@dataclass(frozen=True)
class PublishedPairs:
    """`pairs` of numbers of images; an image is opened by `load` when it is asked for. `size` (width, height)
    that features are extracted at, None: as they are."""

    name: str
    pairs: list[tuple[int, int]]
    load: Sequence[Callable[[], PosedImage]]
    size: tuple[int, int] | None = None

    def images(self) -> Mapping[int, PosedImage]:
        """The images that pairs name. Raises DatasetError naming a file that is missing or damaged."""
        return {k: self.load[k]() for k in sorted({k for pair in self.pairs for k in pair})}


def published_pairs(root: Path, pair_list: Path | None = None) -> PublishedPairs | None:
    """The pairs of a raw layout; None if `root` is of neither. Raises DatasetError for a broken one."""
    if (root / "yfcc100m").is_dir() and (root / "pairs").is_dir():
        return yfcc_pairs(root)
    if pair_list is not None:
        return scannet_pairs(root, pair_list)
    if any(root.glob("scene*/extrinsic")):
        raise DatasetError(f"{root}: looks like ScanNet; say which pairs with --pair-list FILE")
    return None


def yfcc_pairs(root: Path) -> PublishedPairs:
    """The test pairs of all sequences. Raises DatasetError."""
    pairs: list[tuple[int, int]] = []
    load: list[Callable[[], PosedImage]] = []
    for path in sorted((root / "pairs").glob(f"*{PAIRS_ENDING}")):
        sequence = path.name.removesuffix(PAIRS_ENDING)
        folder = root / "yfcc100m" / sequence / "test"
        images, calibrations = (_lines(folder / f"{kind}.txt") for kind in ("images", "calibration"))
        if len(images) != len(calibrations):
            raise DatasetError(f"{folder}: {len(images)} images and {len(calibrations)} calibrations")
        found = _pickled_pairs(path, len(images))
        pairs += [(i + len(load), j + len(load)) for i, j in found]
        load += [
            partial(_yfcc_image, folder, image, calibration, f"{sequence}/test/{image}")
            for image, calibration in zip(images, calibrations, strict=True)
        ]
    if not pairs:
        raise DatasetError(f"{root / 'pairs'}: expected <sequence>{PAIRS_ENDING}, found none")
    return PublishedPairs(f"yfcc {root.resolve()}", pairs, load)


def scannet_pairs(root: Path, pair_list: Path) -> PublishedPairs:
    """The pairs of a list: two paths of images, `<scene>/.../<i>.jpg`, or a scene and two numbers.

    Raises DatasetError.
    """
    numbers: dict[tuple[str, str], int] = {}
    pairs = []
    for row in rows(pair_list):
        pair = []
        for scene, stem in _scannet_names(row.fields, row.place):
            pair.append(numbers.setdefault((scene, stem), len(numbers)))
        pairs.append((pair[0], pair[1]))
    if not pairs:
        raise DatasetError(f"{pair_list}: expected two images a line, found none")
    load = [partial(_scannet_image, root, scene, stem) for scene, stem in numbers]
    return PublishedPairs(f"scannet {root.resolve()} {pair_list}", pairs, load, SCANNET_SIZE)


def _scannet_names(fields: list[str], place: str) -> list[tuple[str, str]]:
    paths = [Path(safe_name(field, place)) for field in fields[:3]]
    if len(paths) >= 2 and all(len(p.parts) >= 2 and p.suffix for p in paths[:2]):
        return [(p.parts[0], p.stem) for p in paths[:2]]
    if len(fields) == 3 and all(field.isdigit() for field in fields[1:]):
        return [(fields[0], field) for field in fields[1:]]
    raise DatasetError(
        f"{place}: expected two images (scene0000_00/img/0.jpg ...) or a scene and two numbers, "
        f"got {' '.join(fields)[:80]!r}"
    )


def _scannet_image(root: Path, scene: str, stem: str) -> PosedImage:
    path = root / scene / "img" / f"{stem}.jpg"
    K = _matrix(root / scene / "intrinsic" / f"{stem}.txt")
    camera = Camera("pinhole", K[0, 0], K[1, 1], K[0, 2], K[1, 2], *quick_image_size(path))
    pose = _matrix(root / scene / "extrinsic" / f"{stem}.txt")
    if pose.shape != (4, 4):
        raise DatasetError(
            f"{root / scene / 'extrinsic' / stem}.txt: expected a 4x4 matrix, got {pose.shape}"
        )
    return PosedImage(f"{scene}/img/{stem}.jpg", camera, _rigid(pose, path), "query", ImageFile(path, camera))


def _yfcc_image(folder: Path, image: str, calibration: str, name: str) -> PosedImage:
    path = folder / safe_name(image, str(folder / "images.txt"))
    K, R, T = _calibration(folder / safe_name(calibration, str(folder / "calibration.txt")))
    width, height = quick_image_size(path)
    # The published protocol puts the principal point into the middle, whatever the file says.
    camera = Camera("pinhole", K[0, 0], K[1, 1], (width - 1) / 2, (height - 1) / 2, width, height)
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3], camera_from_world[:3, 3] = R, T.ravel()
    pose = _rigid(camera_from_world, path).inverse()
    return PosedImage(name, camera, pose, "query", ImageFile(path, camera))


@cache
def _calibration(path: Path) -> tuple[Array, Array, Array]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            K, R, T = (np.asarray(file[key][()], float) for key in ("K", "R", "T"))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DatasetError(f"{path}: expected K, R and T in HDF5, cannot read them: {error}") from error
    if K.shape != (3, 3) or R.shape != (3, 3) or T.size != 3:
        raise DatasetError(
            f"{path}: expected K (3, 3), R (3, 3), T (3,), got {K.shape}, {R.shape}, {T.shape}"
        )
    return K, R, T


def _pickled_pairs(path: Path, images: int) -> list[tuple[int, int]]:
    try:
        values = parse_pickle(path.read_bytes(), str(path))
        numbers = np.asarray(values)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: expected pairs of numbers of images ({error})") from error
    if numbers.ndim != 2 or numbers.shape[1] < 2 or numbers.dtype.kind not in "iu":
        raise DatasetError(
            f"{path}: expected pairs of numbers of images, got {numbers.dtype} {numbers.shape}"
        )
    if numbers.size and (numbers[:, :2].min() < 0 or numbers[:, :2].max() >= images):
        raise DatasetError(f"{path}: names images that are not there; there are {images}")
    return [(int(i), int(j)) for i, j in numbers[:, :2]]


def _rigid(matrix: Array, path: Path) -> Rigid:
    R = matrix[:3, :3]
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-2) or np.linalg.det(R) < 0:
        raise DatasetError(f"{path}: its pose has no rotation: {R.tolist()}")
    return Rigid.from_matrix(matrix)


def _matrix(path: Path) -> Array:
    values = [row.numbers() for row in rows(path)]
    if len(values) not in (3, 4) or any(len(v) != len(values) for v in values):
        raise DatasetError(f"{path}: expected a 3x3 or 4x4 matrix")
    return np.array(values)


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]
