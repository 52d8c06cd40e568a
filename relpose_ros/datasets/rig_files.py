"""A rig of cameras in a YAML file: where each is mounted, its calibration, its image.

Paths are relative to the file:

cameras:
  front:
    image: front.png
    camera: front.yaml
    base_from_camera: [0.30, 0.0, 0.50, -0.5, 0.5, -0.5, 0.5]  # x y z qx qy qz qw
    mask: front_mask.png  # optional
    stamp: 12.5  # optional, seconds
    mount_sigma: [0.005, 0.0035]  # optional, of this camera
tolerance: 0.01  # optional, seconds that stamps may differ
mount_sigma: [0.005, 0.0035]  # optional, metres and radians

`mount_sigma` are standard deviations of the mounts (`RigFrame`): that of the file is for all cameras that
have none of their own, but the first, which says where the base is and has 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.datasets.yaml_files import parse_yaml, shown
from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.images import decode_image, read_bytes
from relpose_ros.types import MOUNT_SIGMA, Frame, RigFrame

_KEYS = {"image", "camera", "base_from_camera", "mask", "stamp", "mount_sigma"}


def read_mask(path: str | Path) -> NDArray[np.uint8]:
    """A mask (H, W) from an image file without loss (PNG): 0 marks pixels to ignore. Raises ImageError."""
    return decode_image(read_bytes(Path(path)), str(path), grey=True)


def read_rig(path: str | Path) -> RigFrame:
    """A rig's query from a file laid out as above.

    Raises ConfigurationError, naming the file, where it is missing or not laid out so; CameraError or
    ImageError where a camera, a mask or an image cannot be used.
    """
    path = Path(path)
    content = _mapping(_load(path), "a mapping with `cameras`", path)
    cameras = _mapping(content.get("cameras"), "`cameras`, one entry a camera", path)
    unknown = set(content) - {"cameras", "tolerance", "mount_sigma"}
    if unknown or not cameras:
        raise ConfigurationError(
            f"{path}: expected `cameras`, `tolerance` and `mount_sigma`, "
            f"got {', '.join(map(str, content)) or 'nothing'}"
        )
    frames, mounts = [], []
    for name, entry in cameras.items():
        frame, mount = _camera(str(name), _mapping(entry, f"a mapping for camera {name}", path), path)
        frames.append(frame)
        mounts.append(mount)
    changes = {} if "tolerance" not in content else {"tolerance": _number(content["tolerance"], path)}
    return RigFrame(tuple(frames), Rigid.stack(mounts), mount_sigma=_sigma(content, path), **changes)


def _sigma(content: Mapping[str, Any], path: Path) -> NDArray[np.float64]:
    """Standard deviations of all mounts (C, 2)."""
    general = _deviations(content.get("mount_sigma", MOUNT_SIGMA), "mount_sigma", path)
    found = []
    for number, (name, entry) in enumerate(content["cameras"].items()):
        here = f"camera {name}: mount_sigma"
        own = _deviations(entry["mount_sigma"], here, path) if "mount_sigma" in entry else None
        found.append(own or (general if number else (0.0, 0.0)))
    return np.array(found)


def _deviations(values: Any, name: str, path: Path) -> tuple[float, float]:
    try:
        metres, radians = (float(v) for v in values)
        if not (0 <= metres < np.inf and 0 <= radians < np.inf):
            raise ValueError("a number below 0, or none")
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: {name}: expected two standard deviations, metres and radians, got {shown(values)} "
            f"({error})"
        ) from error
    return metres, radians


def _camera(name: str, entry: Mapping[str, Any], path: Path) -> tuple[Frame, Rigid]:
    missing = {"image", "camera", "base_from_camera"} - set(entry)
    unknown = set(entry) - _KEYS
    if missing or unknown:
        raise ConfigurationError(
            f"{path}: camera {name}: expected {', '.join(sorted(_KEYS))}; "
            f"missing: {', '.join(sorted(missing)) or 'none'}, "
            f"unknown: {', '.join(map(str, unknown)) or 'none'}"
        )
    folder = path.parent
    camera = read_camera(folder / str(entry["camera"]))
    mask = read_mask(folder / str(entry["mask"])) if "mask" in entry else None
    frame = Frame.read(folder / str(entry["image"]), camera, _number(entry.get("stamp", 0.0), path), mask)
    return replace(frame, source=name), _mount(entry["base_from_camera"], name, path)


def _mount(values: Any, name: str, path: Path) -> Rigid:
    try:
        x, y, z, *rotation = (float(v) for v in values)
        if len(rotation) != 4 or not np.isfinite([x, y, z]).all():
            raise ValueError(f"{len(rotation) + 3} numbers")
        return Rigid.from_quaternion(rotation, [x, y, z])
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: camera {name}: base_from_camera: expected x y z qx qy qz qw (metres; unit quaternion), "
            f"got {shown(values)} ({error})"
        ) from error


def _number(value: Any, path: Path) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}: expected seconds, got {shown(value)}") from error


def _mapping(value: Any, expected: str, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{path}: expected {expected}, got {shown(value)}")
    return value


def _load(path: Path) -> Any:
    try:
        return parse_yaml(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot read the rig's file ({error})") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
