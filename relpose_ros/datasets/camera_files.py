"""Camera files: ROS camera-info YAML, our own YAML, a line of numbers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relpose_ros.datasets.yaml_files import parse_yaml, shown
from relpose_ros.errors import CameraError
from relpose_ros.geometry.camera_info import camera_from_calibration
from relpose_ros.geometry.cameras import Camera

NUMBERS = "fx fy cx cy width height [k1 k2 p1 p2 [k3]]"


def camera_from_numbers(numbers: Sequence[float | str]) -> Camera:
    """A camera from `fx fy cx cy width height [k1 k2 p1 p2 [k3]]` (pixels, OpenCV distortion).

    Raises CameraError for another count, or values that cannot be a camera.
    """
    try:
        values = [float(n) for n in numbers]
    except ValueError:
        raise CameraError(f"expected the numbers {NUMBERS}, got {' '.join(map(str, numbers))!r}") from None
    if len(values) not in (6, 10, 11):
        raise CameraError(f"expected 6, 10 or 11 numbers ({NUMBERS}), got {len(values)}")
    if not np.all(np.isfinite(values)):
        raise CameraError(f"expected finite numbers ({NUMBERS}), got {values}")
    fx, fy, cx, cy, width, height, *distortion = values
    if width != int(width) or height != int(height):
        raise CameraError(f"expected whole numbers for width and height ({NUMBERS}), got {width} {height}")
    matrix = [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]
    return camera_from_calibration("plumb_bob", matrix, distortion, int(width), int(height))


def read_camera(path: str | Path) -> Camera:
    """A camera from a file: ROS camera-info YAML, our own YAML (`Camera`'s fields), or `intrinsics.txt`.

    Raises CameraError, naming the file, when it is missing or not a camera.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CameraError(f"{path}: cannot read the camera file ({why})") from error
    try:
        return _parse(text)
    except CameraError as error:
        raise CameraError(f"{path}: {error}") from error


def write_camera(camera: Camera, path: str | Path, name: str = "camera") -> Path:
    """Write a ROS camera-info YAML, as `camera_calibration` does; the file appears whole or not at all."""
    import yaml

    path = Path(path)
    text = yaml.safe_dump(camera_yaml(camera, name), sort_keys=False, default_flow_style=None)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def camera_yaml(camera: Camera, name: str = "camera") -> dict[str, Any]:
    """The plain content of a ROS camera-info YAML for `camera`."""
    k = camera.matrix
    model = "plumb_bob" if camera.model == "pinhole" else camera.model
    distortion = camera.distortion or (0.0,) * 5
    projection = np.concatenate([k, np.zeros((3, 1))], axis=1)
    return {
        "image_width": camera.width,
        "image_height": camera.height,
        "camera_name": name,
        "camera_matrix": _yaml_matrix(k),
        "distortion_model": model,
        "distortion_coefficients": _yaml_matrix(np.array([distortion])),
        "rectification_matrix": _yaml_matrix(np.eye(3)),
        "projection_matrix": _yaml_matrix(projection),
    }


def _yaml_matrix(matrix: np.ndarray[Any, Any]) -> dict[str, Any]:
    rows, cols = matrix.shape
    return {"rows": rows, "cols": cols, "data": [float(v) for v in matrix.ravel()]}


def _parse(text: str) -> Camera:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) == 1 and ":" not in lines[0]:
        return camera_from_numbers(lines[0].split())
    content = _load_yaml(text)
    if "camera_matrix" in content:
        return _from_ros(content)
    if "fx" in content:
        return _from_ours(content)
    came = f"a mapping with {', '.join(map(str, content))}" if content else "nothing"
    raise CameraError(
        f"expected a ROS camera-info YAML (camera_matrix, image_width, ...), our own (model, fx, fy, ...), "
        f"or one line {NUMBERS}; got {came}"
    )


def _load_yaml(text: str) -> Mapping[str, Any]:
    # camera_calibration of ROS 1 wrote OpenCV's header, which YAML readers refuse.
    text = text.removeprefix("%YAML:1.0").replace("!!opencv-matrix", "")
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise CameraError(str(error)) from error
    if content is None:
        return {}
    if not isinstance(content, Mapping):
        raise CameraError(f"expected a YAML mapping or one line {NUMBERS}, got {shown(content)}")
    return content


def _from_ros(content: Mapping[str, Any]) -> Camera:
    try:
        matrix = np.array(content["camera_matrix"]["data"], float).reshape(3, 3)
        distortion = content.get("distortion_coefficients", {}).get("data") or []
        model = str(content.get("distortion_model") or ("plumb_bob" if distortion else ""))
        width, height = int(content["image_width"]), int(content["image_height"])
        return camera_from_calibration(model, matrix, [float(d) for d in distortion], width, height)
    except KeyError as error:
        raise CameraError(f"the camera-info YAML lacks {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CameraError(f"the camera-info YAML has something that is no number ({error})") from error


def _from_ours(content: Mapping[str, Any]) -> Camera:
    try:
        fx, fy, cx, cy = (float(content[key]) for key in ("fx", "fy", "cx", "cy"))
        width, height = int(content["width"]), int(content["height"])
        distortion = [float(d) for d in content.get("distortion") or []]
        model = str(content.get("model") or ("plumb_bob" if distortion else "pinhole"))
    except KeyError as error:
        raise CameraError(f"the camera YAML lacks {error}") from error
    except (TypeError, ValueError) as error:
        raise CameraError(f"the camera YAML has something that is no number ({error})") from error
    matrix = [[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]
    return camera_from_calibration(model, matrix, distortion, width, height)
