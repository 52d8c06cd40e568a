"""The nouns that travel through the house: what comes in, what is guessed, what goes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import CameraError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rig import Mounts
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.images import decode_image, read_bytes

Array = NDArray[np.float64]

MOUNT_SIGMA = (0.005, 0.0035)
"""Standard deviations of a mount that nobody states: 5 mm on each axis, 0.0035 rad (0.2 deg) about each. That
is a rig calibrated with a target; mounts from a drawing are worse."""


class State(StrEnum):
    """What a localization is worth. `UNLOCALIZED` carries no pose."""

    LOCALIZED = "localized"
    DEGRADED = "degraded"
    UNLOCALIZED = "unlocalized"


@dataclass(frozen=True, eq=False)
class Frame:
    """One query.

    `image` is uint8, (H, W) grey or (H, W, 3) BGR; `camera` describes exactly this image;
    `stamp` is the time of exposure in seconds; `source` names it in results and messages.
    `mask` uint8 (H, W), 0 on pixels to ignore (the robot's own body); None: none. No local feature and no
    cell of scene coordinates there is used; learned global descriptors and networks of relative poses see
    the whole image.
    """

    image: NDArray[np.uint8]
    camera: Camera
    stamp: float = 0.0
    source: str = ""
    mask: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        image = self.image
        shaped = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
        if image.dtype != np.uint8 or not shaped or image.size == 0:
            raise ImageError(
                f"{self.source or 'image'}: expected a non-empty uint8 image (H, W) or (H, W, 3), "
                f"got {image.dtype} {image.shape}; convert it before making a Frame"
            )
        height, width = image.shape[:2]
        if (width, height) != (self.camera.width, self.camera.height):
            raise ImageError(
                f"{self.source or 'image'}: the image is {width}x{height}, but its camera describes "
                f"{self.camera.width}x{self.camera.height}; give the camera of this very image, "
                f"or `camera.resized({width}, {height})` if only the scale differs"
            )
        mask = self.mask
        if mask is not None and (mask.dtype != np.uint8 or mask.shape != (height, width)):
            raise ImageError(
                f"{self.source or 'image'}: expected a mask of uint8 ({height}, {width}), as the image, "
                f"got {mask.dtype} {mask.shape}; 0 marks the pixels to ignore"
            )

    @classmethod
    def read(
        cls, path: str | Path, camera: Camera, stamp: float = 0.0, mask: NDArray[np.uint8] | None = None
    ) -> Frame:
        """Read an image file. Raises ImageError if it is missing, empty, cut off or not an image."""
        path = Path(path)
        return cls(decode_image(read_bytes(path), str(path)), camera, stamp, path.name, mask)

    def shows(self, pixels: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Which pixels (N, 2) lie in the image, and not where the mask ignores them."""
        pixels = np.asarray(pixels, float)
        inside = self.camera.contains(pixels)
        if self.mask is not None:
            x, y = np.floor(pixels[inside] + 0.5).astype(np.intp).T
            inside[inside] = self.mask[y, x] != 0
        return inside


@dataclass(frozen=True, eq=False)
class RigFrame:
    """One query of a rig: images of cameras that are fixed to one base, taken at the same time.

    `base_from_camera` (C,) is batched, one mount a frame, in any frame that is fixed to the cameras (OpenCV
    axes on the camera's side). Stamps may differ by `tolerance` seconds: the base is taken to stand still
    between them. `mount_sigma` (C, 2): standard deviations of each mount, of the position on each axis (m)
    and of the rotation about each (rad), which go into the covariance of the base. None: `MOUNT_SIGMA`, but 0
    of the first camera, which says where the base is. Raises CameraError for mounts that are none,
    ImageError for stamps further apart.
    """

    frames: tuple[Frame, ...]
    base_from_camera: Rigid
    tolerance: float = 0.01
    mount_sigma: Array | None = None

    def __post_init__(self) -> None:
        count, mounts = len(self.frames), self.base_from_camera
        if not count or mounts.translation.shape != (count, 3):
            raise CameraError(
                f"a rig: expected one frame or more and a mount (base_from_camera) for each, got {count} "
                f"frames and mounts {mounts.translation.shape}; stack them with `Rigid.stack`"
            )
        turned = np.swapaxes(mounts.rotation, 1, 2) @ mounts.rotation
        right = np.isfinite(mounts.matrix).all() and np.allclose(turned, np.eye(3), atol=1e-6)
        if not right or (np.linalg.det(mounts.rotation) < 0).any():
            raise CameraError("a rig: expected finite mounts whose rotations are rotation matrices")
        object.__setattr__(self, "mount_sigma", _checked_sigma(self.mount_sigma, count))
        apart = float(np.ptp([frame.stamp for frame in self.frames]))
        # Seconds since 1970 in float64 are known to 0.24 microseconds.
        if not apart <= self.tolerance + 1e-6:
            raise ImageError(
                f"a rig: its images were taken {apart:.3g} s apart, the tolerance is "
                f"{self.tolerance:g} s; give images of one moment, or a larger `tolerance`"
            )

    @property
    def mounts(self) -> Mounts:
        """With their standard deviations."""
        assert self.mount_sigma is not None  # since __post_init__
        return Mounts(self.base_from_camera, self.mount_sigma)

    @property
    def stamp(self) -> float:
        """The stamp of the first frame, to the last bit."""
        return self.frames[0].stamp

    @property
    def names(self) -> tuple[str, ...]:
        """What the frames are called: their sources, `camera N` for one that has none."""
        return tuple(frame.source or f"camera {i}" for i, frame in enumerate(self.frames))


def _checked_sigma(sigma: Array | None, count: int) -> Array:
    if sigma is None:
        return np.array([(0.0, 0.0), *[MOUNT_SIGMA] * (count - 1)])
    found = np.asarray(sigma, float)
    if found.shape != (count, 2) or not np.isfinite(found).all() or (found < 0).any():
        raise CameraError(
            f"a rig: expected standard deviations of each mount, metres and radians, ({count}, 2) numbers of "
            f"0 or more, got {np.array2string(found, threshold=12)}"
        )
    return found


@dataclass(frozen=True, eq=False)
class Matches:
    """What tied a query to the map: for debug pictures and the report's worst queries.

    `pixels` (N, 2) in the query; `points` (N, 3) in the map; `inlier` (N,) bool.
    """

    pixels: Array
    points: Array
    inlier: NDArray[np.bool_]


@dataclass(frozen=True)
class Evidence:
    """Why a hypothesis should be believed.

    `inliers`/`matches`: counts; `spread`: share of the image (0..1) that the inliers cover;
    `residual_px`: median reprojection error, `residual_angle`: the same in radians;
    `rival_inliers`: support of the best hypothesis elsewhere (ambiguity); `scale_known` is
    False when only a direction could be measured; `references`: how many took part;
    `view_change`: how far, in radians of parallax and turning, the nearest reference's view
    is from this one; `depth`: median distance to what was matched, in map units; `objection`:
    what its own road holds against the hypothesis, in words; `rival_place`: a reference at a place that
    looks alike and that the image does not disprove; `hinted_away`: one at a place that looks alike and that
    a hint excludes, not the image.
    """

    inliers: int
    matches: int
    spread: float = 0.0
    residual_px: float = 0.0
    rival_inliers: int = 0
    scale_known: bool = True
    references: int = 0
    view_change: float = 0.0
    depth: float = 0.0
    residual_angle: float = 0.0
    objection: str = ""
    rival_place: str = ""
    hinted_away: str = ""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One guess of where the camera is, from one road. `covariance` is raw, not calibrated.

    `mount_covariance` (6, 6): what errors of a rig's mounts add to the calibrated one; None: nothing.
    """

    map_from_camera: Rigid
    covariance: Array
    evidence: Evidence
    method: str
    references: tuple[str, ...] = ()
    matches: Matches | None = None
    mount_covariance: Array | None = None


@dataclass(frozen=True, eq=False)
class Alternative:
    """One of several places where the camera may be.

    `covariance` (6, 6) is calibrated and speaks of this place alone; `share` (0..1) of the support of all.
    """

    map_from_camera: Rigid
    covariance: Array
    share: float


@dataclass(frozen=True, eq=False)
class CameraShare:
    """What one camera of a rig gave to its answer.

    `source` names its frame; `inliers` of its matches agree with the pose; `remark` says in words why it
    gave nothing, or that it `disagrees` with the others; `matches` of this camera's image.
    """

    source: str
    inliers: int = 0
    remark: str = ""
    matches: Matches | None = None
    disagrees: bool = False


@dataclass(frozen=True, eq=False)
class Localization:
    """The answer to one frame, or to one rig.

    `map_from_camera` and `covariance` (6, 6; ROS order: translation, then rotation about the
    map's fixed axes; m^2, m*rad, rad^2; calibrated) are None when `state` is UNLOCALIZED.
    `confidence` in [0, 1] is the calibrated chance that the pose is right; `reason` says in
    words why there is no pose, or why it is degraded. `latency_ms` maps stage to milliseconds
    and always has `total`. `alternatives`, strongest first: where the camera may be when it is UNLOCALIZED
    because places look alike; there may be more such places. The answer to a rig has one entry in `cameras`
    for each of its frames; its `map_from_camera` and covariances are those of the rig's base, its `matches`
    those of the camera with most.
    """

    state: State
    reason: str = ""
    map_from_camera: Rigid | None = None
    covariance: Array | None = None
    confidence: float = 0.0
    method: str = ""
    inliers: int = 0
    references: tuple[str, ...] = ()
    latency_ms: dict[str, float] = field(default_factory=dict)
    source: str = ""
    stamp: float = 0.0
    matches: Matches | None = None
    alternatives: tuple[Alternative, ...] = ()
    cameras: tuple[CameraShare, ...] = ()

    @property
    def has_pose(self) -> bool:
        """Whether a pose was published: localized or degraded."""
        return self.map_from_camera is not None

    def to_json(self) -> dict[str, Any]:
        """The line that `relpose localize --json` prints (plain types only)."""
        pose = None
        if self.map_from_camera is not None:
            pose = {
                "translation": self.map_from_camera.translation.tolist(),
                "rotation_xyzw": self.map_from_camera.rotation_xyzw.tolist(),
            }
        shares = [{"image": c.source, "inliers": int(c.inliers), "remark": c.remark} for c in self.cameras]
        return {
            "image": self.source,
            "state": self.state.value,
            "reason": self.reason,
            **({"map_from_base": pose, "cameras": shares} if shares else {"map_from_camera": pose}),
            "covariance": None if self.covariance is None else self.covariance.ravel().tolist(),
            "confidence": round(float(self.confidence), 4),
            "method": self.method,
            "inliers": int(self.inliers),
            "references": list(self.references),
            "latency_ms": {k: round(v, 2) for k, v in self.latency_ms.items()},
        }
