"""A simulation as a posed-image folder: images, depth, poses, camera, mount."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.camera_files import write_camera
from relpose_ros.datasets.simulate.simulation import Shot, Simulation
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

LICENCE = "CC0-1.0"
JPEG_QUALITY = 95
LARGEST_DEPTH = 65.535
"""Metres: what uint16 millimetres can say."""


def write_folder(simulation: Simulation, folder: Path, progress: Callable[..., None] | None = None) -> None:
    """Fill an empty `folder` in the layout that `open_source` reads (docs/simulation.md)."""
    options, shots = simulation.options, simulation.shots
    _write_texts(simulation, folder)
    (folder / "images").mkdir()
    if options.depth:
        (folder / "depth").mkdir()
    for k, shot in enumerate(shots):
        rendering = simulation.render(shot)
        image = simulation.expose(shot, rendering)
        _write_picture(folder / "images" / shot.name, image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        if options.depth:
            depth = folder / "depth" / f"{Path(shot.name).stem}.png"
            _write_picture(depth, to_millimetres(rendering.depth), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if progress is not None:
            progress(k + 1, len(shots))


def to_millimetres(depth: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Metres -> uint16 millimetres, 0 for what cannot be said."""
    known = np.where(depth <= LARGEST_DEPTH, depth, 0)
    return np.asarray(np.rint(1000 * known), np.uint16)


def _write_texts(simulation: Simulation, folder: Path) -> None:
    shots, camera = simulation.shots, simulation.options.lens
    _write_lines(folder / "poses.txt", "name tx ty tz qx qy qz qw   (camera-to-world, OpenCV camera axes)",
                 (_pose_line(simulation, shot) for shot in shots))  # fmt: skip
    _write_lines(folder / "split.txt", "name map|query", (f"{s.name} {s.split}" for s in shots))
    _write_lines(folder / "stamps.txt", "name seconds", (f"{s.name} {s.stamp:.9f}" for s in shots))
    if camera.model in ("pinhole", "plumb_bob"):
        header = "fx fy cx cy width height [k1 k2 p1 p2 [k3]]"
        _write_lines(folder / "intrinsics.txt", header, [camera_line(camera)])
    write_camera(camera, folder / "camera.yaml")
    _write_yaml(folder / "mount.yaml", {"base_from_camera": _plain(simulation.options.base_from_camera)})
    _write_yaml(folder / "source.yaml", _notes(simulation))


def camera_line(camera: Camera) -> str:
    """The numbers of a pinhole or plumb_bob camera, as intrinsics.txt has them."""
    numbers = (camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height, *camera.distortion)
    return " ".join(f"{n:.12g}" for n in numbers)


def _pose_line(simulation: Simulation, shot: Shot) -> str:
    pose = simulation.map_from_camera(shot.split, shot.time)
    numbers = " ".join(f"{n:.9f}" for n in (*pose.translation, *pose.rotation_xyzw))
    return f"{shot.name} {numbers}"


def _notes(simulation: Simulation) -> dict[str, Any]:
    o = simulation.options
    made = {name: getattr(o, name) for name in ("world", "seed", "appearance", "domain", "speed", "rate")}
    made["light"], made["noise"], made["exposure_s"] = o.sensor.light, o.sensor.noise, o.sensor.exposure_s
    return {"metric": True, "licence": LICENCE, "domain": o.domain, "simulation": made}


def _plain(pose: Rigid) -> dict[str, list[float]]:
    return {"translation": pose.translation.tolist(), "rotation_xyzw": pose.rotation_xyzw.tolist()}


def _write_lines(path: Path, header: str, lines: Iterable[str]) -> None:
    path.write_text("\n".join([f"# {header}", *lines]) + "\n", encoding="utf-8")


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    import yaml

    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _write_picture(path: Path, picture: NDArray[Any], parameters: list[int]) -> None:
    if not cv2.imwrite(str(path), picture, parameters):
        raise DatasetError(f"{path}: cannot write the picture; is the disk full?")
