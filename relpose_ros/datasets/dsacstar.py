"""A scene as DSAC*'s set-up scripts leave it: {train,test}/{rgb,poses,calibration[,init][,depth][,eye]}.

`init` (tensors of scene coordinates at stride 8) are single points of structure from motion, or dense;
`depth` (rendered, 16-bit millimetres) and `eye` (tensors of camera coordinates, measured) give depth. An
image without a valid pose is left out.
"""

from __future__ import annotations

from pathlib import Path

from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.pose_files import read_pose_file
from relpose_ros.datasets.scene_sections import (
    CoordinateFile,
    DepthMap,
    is_section,
    read_calibration,
    section_files,
)
from relpose_ros.errors import DatasetError

SECTIONS: dict[str, Split] = {"train": "map", "test": "query"}
LABELS = {"init": (".dat", ".npy"), "depth": (".png",), "eye": (".dat", ".npy")}


def recognises(path: Path) -> bool:
    """Whether `path` is a scene in this layout."""
    return any(is_section(path / name) for name in SECTIONS)


def open_dsacstar(path: Path, *, depth: str = "", invalid: float = 0.0) -> Source:
    """Open a scene: train is the map, test the queries.

    `depth`: "rendered" (the folder depth), "measured" (eye), "none"; by default the first that is there.
    `invalid` marks unknown coordinates in init. Raises DatasetError for files that do not belong together.
    """
    if depth not in ("", "rendered", "measured", "none"):
        raise DatasetError(f"{path}: depth={depth}: expected rendered, measured or none")
    images = [
        image
        for name, split in SECTIONS.items()
        if is_section(path / name)
        for image in _section(path / name, split, depth, invalid)
    ]
    if not images:
        raise DatasetError(f"{path}: no image with a valid pose in {' or '.join(SECTIONS)}")
    return Source(path.resolve().name, path, tuple(images))


def _section(folder: Path, split: Split, depth: str, invalid: float) -> list[PosedImage]:
    files = section_files(folder, LABELS)
    if depth and depth != "none" and {"rendered": "depth", "measured": "eye"}[depth] not in files:
        raise DatasetError(f"{folder}: depth={depth} asked for, but the folder for it is not there")
    kind = {"": "depth" if "depth" in files else "eye", "rendered": "depth", "measured": "eye"}.get(depth, "")
    images = []
    for k, rgb in enumerate(files["rgb"]):
        pose = read_pose_file(files["poses"][k])
        if pose is None:
            continue
        camera = read_calibration(files["calibration"][k], rgb)
        images.append(
            PosedImage(
                f"{folder.name}/rgb/{rgb.name}",
                camera,
                pose,
                split,
                ImageFile(rgb, camera),
                load_depth=DepthMap(files[kind][k], camera) if kind in files else None,
                load_coordinates=CoordinateFile(files["init"][k], invalid) if "init" in files else None,
            )
        )
    return images
