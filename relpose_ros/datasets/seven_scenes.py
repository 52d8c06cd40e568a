"""7-Scenes as Microsoft publishes it: seq-XX/frame-NNNNNN.{color.png,depth.png,pose.txt}.

Poses are the depth camera's (KinectFusion); like everybody we take them for the colour camera's, which is
right to 2.5 cm. The publisher's depth intrinsics are f = 585, c = (320, 240); the colour camera is
uncalibrated, and f = 525 is what the literature uses. Depth is moved into the colour camera with the
generic Kinect calibration of https://projet.liris.cnrs.fr/voir/activities-dataset/kinect-calibration.html
"""

from __future__ import annotations

import re
from pathlib import Path

from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.datasets.depth_registration import RegisteredDepth
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.pose_files import read_pose_file
from relpose_ros.datasets.text_files import rows
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

COLOUR_CAMERA = Camera("pinhole", 525.0, 525.0, 320.0, 240.0, 640, 480)
DEPTH_CAMERA = Camera("pinhole", 585.0, 585.0, 320.0, 240.0, 640, 480)
LICENCE = "7-Scenes (Microsoft Research): non-commercial research use only"
SPLITS: dict[str, Split] = {"TrainSplit.txt": "map", "TestSplit.txt": "query"}


def _colour_from_depth() -> Rigid:
    return Rigid.from_matrix(
        [
            [
                9.9996518012567637e-01,
                2.6765126468950343e-03,
                -7.9041012313000904e-03,
                -2.5558943178152542e-02,
            ],
            [
                -2.7409311281316700e-03,
                9.9996302803027592e-01,
                -8.1504520778013286e-03,
                1.0109636268061706e-04,
            ],
            [7.8819942130445332e-03, 8.1718328771890631e-03, 9.9993554558014031e-01, 2.0318321729487039e-03],
        ]
    )


def recognises(path: Path) -> bool:
    """Whether `path` is a scene of 7-Scenes."""
    return any((path / name).is_file() for name in SPLITS) and any(path.glob("seq-*"))


def open_seven_scenes(path: Path, *, camera: Camera | str | Path | None = None, every: int = 1) -> Source:
    """Open a scene: TrainSplit.txt sequences are the map, TestSplit.txt ones the queries.

    Frames without a valid pose are dropped; `every` keeps every Nth frame of each sequence; `camera`
    replaces the default colour camera. Raises DatasetError.
    """
    colour = (
        COLOUR_CAMERA if camera is None else camera if isinstance(camera, Camera) else read_camera(camera)
    )
    images: list[PosedImage] = []
    for file, split in SPLITS.items():
        for sequence in _sequences(path / file):
            images.extend(_read_sequence(path / sequence, split, colour, every))
    if not images:
        raise DatasetError(f"{path}: no frame with a valid pose in the sequences of its split files")
    return Source(path.resolve().name, path, tuple(images), True, LICENCE)


def _sequences(path: Path) -> list[str]:
    """`sequence3` -> seq-03. A missing split file has no sequences: half a scene is still a scene."""
    out = []
    for row in rows(path) if path.is_file() else ():
        match = re.fullmatch(r"(?:sequence|seq-)0*(\d+)", row.fields[0])
        if not match:
            raise DatasetError(f"{row.place}: expected a line like 'sequence3', got {row.fields[0]!r}")
        out.append(f"seq-{int(match.group(1)):02d}")
    return out


def _read_sequence(folder: Path, split: Split, camera: Camera, every: int) -> list[PosedImage]:
    if not folder.is_dir():
        zipped = folder.with_suffix(".zip").is_file()
        hint = f"unpack {folder.name}.zip" if zipped else "download it, or remove it from the split file"
        raise DatasetError(f"{folder}: the sequence is not there; {hint}")
    images = []
    for pose_file in sorted(folder.glob("frame-*.pose.txt"))[:: max(every, 1)]:
        stem = pose_file.name.removesuffix(".pose.txt")
        colour, depth = folder / f"{stem}.color.png", folder / f"{stem}.depth.png"
        if not colour.is_file():
            raise DatasetError(f"{colour}: no such image, though it has a pose; unpack the sequence again")
        pose = read_pose_file(pose_file)
        if pose is None:
            continue
        load_depth = (
            RegisteredDepth(depth, DEPTH_CAMERA, camera, _colour_from_depth()) if depth.is_file() else None
        )
        name = f"{folder.name}/{colour.name}"
        images.append(PosedImage(name, camera, pose, split, ImageFile(colour, camera), load_depth=load_depth))
    return images
