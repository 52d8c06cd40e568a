"""Checkpoints of networks that know one scene: what they say of it, and an image as a map of coordinates."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import CheckpointInfo, read_info
from relpose_ros.checkpoints.predictor import Backend, Predictor
from relpose_ros.checkpoints.scene_arrays import cell_rays, decode_outputs, network_input
from relpose_ros.checkpoints.scene_header import parse_scene
from relpose_ros.errors import CheckpointError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
Vector = tuple[float, ...]

FAMILY = "scene_coordinates."
"""What the registry names of networks of scene coordinates begin with."""


@dataclass(frozen=True)
class SceneInfo:
    """What the header of a scene's checkpoint says: where its coordinates lie and how an image is fed to it.

    `frame`: frame_id of the map; `origin` (3): added to what the network says gives map coordinates, m;
    `bounds`: low and high corner (3) of the known coordinates, minus origin; `height`: short side of the
    network's input, px; `cell`: px a cell; `channels` 1 (luma) or 3 (RGB), fed as (value / 255 - mean) /
    spread; `metric`: whether the unit is the metre; `views`: at most 300 training cameras, centre minus
    origin and forward axis (6); `calibration`: Calibration.to_dict() of this network, {} if none yet.
    """

    frame: str = "map"
    origin: Vector = (0.0, 0.0, 0.0)
    bounds: tuple[Vector, Vector] = ((-1e6, -1e6, -1e6), (1e6, 1e6, 1e6))
    height: int = 480
    cell: int = 8
    channels: int = 1
    mean: Vector = (0.4,)
    spread: Vector = (0.25,)
    metric: bool = True
    views: tuple[Vector, ...] = ()
    calibration: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, info: CheckpointInfo, path: str | Path = "checkpoint") -> SceneInfo:
        """Out of a checkpoint's header; `path` names it in messages.

        Raises CheckpointError if it is none of a scene, or says of it what cannot be.
        """
        name = f"{path} ({info.network})"
        if not info.scene:
            raise CheckpointError(
                f"{name}: expected a checkpoint that knows a scene (its frame, origin, bounds), got one that "
                "knows none; `relpose train scene_coordinates` makes one"
            )
        try:
            return cls(**parse_scene(info.scene))
        except (ValueError, TypeError, OverflowError) as error:
            raise CheckpointError(f"{name}: what it says of its scene cannot be used: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for the header: `SceneInfo.of` reads them back."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @property
    def corners(self) -> Array:
        """Low and high corner (2, 3) of the known coordinates in the map."""
        return np.asarray(np.asarray(self.bounds, float) + np.asarray(self.origin))

    @property
    def cameras(self) -> tuple[Array, Array]:
        """Centres (V, 3) in the map and forward axes (V, 3) of the training cameras."""
        views = np.asarray(self.views, float).reshape(-1, 6)
        return views[:, :3] + np.asarray(self.origin), views[:, 3:]

    def view_change(self, map_from_camera: Rigid, depth: float) -> float:
        """From a camera to the nearest training camera, radians; 0 where none is known.

        Root of the sum of squares of the distance over `depth` and of the angle between the axes.
        """
        centres, forwards = self.cameras
        if not len(centres):
            return 0.0
        away = np.linalg.norm(centres - map_from_camera.translation, axis=1) / max(depth, 1e-9)
        angle = np.arccos(np.clip(forwards @ map_from_camera.rotation[:, 2], -1, 1))
        return float(np.sqrt(away**2 + angle**2).min())


@dataclass(frozen=True, eq=False)
class CoordinateMap:
    """Scene coordinates of an image's cells, row by row: N = h * w.

    `points` (N, 3) float64, map frame, m; `covariances` (N, 3, 3) m^2, map axes, or None where the network
    says none; `rays` (N, 2) on z = 1, the lens taken out, NaN where a cell lies outside the image or has no
    ray; `pixels` (N, 2) in the query image; `shape` (h, w); `focal`: px per unit of a ray in the image as the
    network saw it.
    """

    points: Array
    covariances: Array | None
    rays: Array
    pixels: Array
    shape: tuple[int, int]
    focal: float

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which cells (N,) have a coordinate and a ray."""
        known = np.isfinite(self.points).all(axis=1) & np.isfinite(self.rays).all(axis=1)
        if self.covariances is not None:
            known &= np.isfinite(self.covariances).all(axis=(1, 2))
        return np.asarray(known)


class ScenePredictor:
    """The network of a scene's checkpoint: `predict(image, camera)` gives the image's CoordinateMap.

    Raises CheckpointError for a checkpoint of no scene, and what `Predictor` raises. The first image of a
    size takes seconds where an ONNX file must be made.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        backend: Backend = "auto",
        threads: int | None = None,
        cache: str | Path | None = None,
    ) -> None:
        self.path = Path(checkpoint)
        self.info = read_info(checkpoint)
        self.scene = SceneInfo.of(self.info, checkpoint)
        if not self.info.network.startswith(FAMILY):
            raise CheckpointError(
                f"{self.path}: expected a network of scene coordinates, got {self.info.network}, which says "
                "something else of its scene (a baseline for comparison?)"
            )
        self._network = Predictor(checkpoint, backend, threads, cache)

    @property
    def identity(self) -> str:
        """sha256 of the checkpoint."""
        return self._network.identity

    def predict(self, image: NDArray[np.uint8], camera: Camera) -> CoordinateMap:
        """Scene coordinates of a uint8 image, grey (H, W) or BGR (H, W, 3), seen by `camera`.

        Raises ImageError if the image is not the camera's, CheckpointError if the network's outputs are no
        scene coordinates.
        """
        if image.shape[:2] != (camera.height, camera.width):
            raise ImageError(
                f"expected an image of {camera.width}x{camera.height}, as its camera says, "
                f"got {image.shape[1]}x{image.shape[0]}"
            )
        scene = self.scene
        given = network_input(image, scene.height, scene.channels, scene.mean, scene.spread)
        points, covariances = decode_outputs(self._network(given), f"{self.path} ({self.info.network})")
        return coordinate_map(points, covariances, camera, given.shape[2:], scene)


def coordinate_map(
    points: Array, covariances: Array | None, camera: Camera, size: tuple[int, ...], scene: SceneInfo
) -> CoordinateMap:
    """What a network said, points (h, w, 3) and covariances (h, w, 3, 3), of the image of `camera`.

    `size`: height and width of the image as the network saw it.
    """
    shape = (points.shape[0], points.shape[1])
    seen = camera.resized(size[1], size[0])
    pixels, rays = cell_rays(seen, shape, scene.cell)
    scale = [camera.width / seen.width, camera.height / seen.height]
    return CoordinateMap(
        points=points.reshape(-1, 3) + np.asarray(scene.origin),
        covariances=None if covariances is None else covariances.reshape(-1, 3, 3),
        rays=rays,
        pixels=(pixels + 0.5) * scale - 0.5,
        shape=shape,
        focal=seen.focal,
    )


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value
