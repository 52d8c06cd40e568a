"""A scene whose network is right, but for the noise that it is told to make: rays meet the walls of a box."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from relpose_ros.checkpoints.format import CheckpointInfo
from relpose_ros.checkpoints.scene import CoordinateMap, SceneInfo
from relpose_ros.checkpoints.scene_arrays import cell_rays
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_samples import smooth_noise

CAMERA = Camera("pinhole", 260.0, 264.0, 158.0, 121.0, 320, 240)
HALF = np.array([4.0, 2.0, 3.0])
"""Half the size of the room, metres; its middle is the origin."""


def walls(map_from_camera: Rigid, rays: np.ndarray) -> np.ndarray:
    """Where rays (N, 2) on z = 1 meet the walls: points (N, 3)."""
    ahead = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) @ map_from_camera.rotation.T
    with np.errstate(divide="ignore"):
        ends = np.where(ahead > 0, HALF - map_from_camera.translation, -HALF - map_from_camera.translation)
        return map_from_camera.translation + ahead * (ends / ahead).min(axis=1, keepdims=True)


def viewpoint(seed: int) -> Rigid:
    """A camera somewhere in the room, more or less level."""
    generator = np.random.default_rng(seed)
    return Rigid.from_rotation_vector(
        generator.normal(0, [0.2, 1, 0.1]), generator.uniform([-2, -1, -1.5], [2, 1, 1.5])
    )


@dataclass
class RoomPredictor:
    """Stands in for `ScenePredictor`: the coordinates seen from `pose`, with Gaussian noise of `sigma` m.

    The noise is smooth over `correlation` cells; `admits`: what the network says that it is, m (None: says
    nothing). `outliers`: share of cells that are anywhere. `shift` (3): what is added to the cells `shifted`
    (N,) bool: the same room, elsewhere.
    """

    pose: Rigid
    sigma: float = 0.02
    correlation: float = 0.0
    admits: float | None = 0.02
    outliers: float = 0.0
    seed: int = 0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shifted: float = 0.0
    path: Path = Path("room.safetensors")
    identity: str = "0" * 64
    info: CheckpointInfo = field(default_factory=lambda: CheckpointInfo("room"))
    scene: SceneInfo = field(
        default_factory=lambda: SceneInfo(
            bounds=(tuple(-HALF), tuple(HALF)),
            height=240,
            views=tuple((*viewpoint(s).translation, *viewpoint(s).rotation[:, 2]) for s in range(20)),
        )
    )

    def predict(self, image, camera) -> CoordinateMap:
        """The cells of an image of `camera`; the image does not matter."""
        shape = (camera.height // 8, camera.width // 8)
        pixels, rays = cell_rays(camera, shape, 8)
        generator = np.random.default_rng(self.seed)
        grid = np.stack([np.arange(len(rays)) % shape[1], np.arange(len(rays)) // shape[1]], axis=1)
        points = walls(self.pose, rays) + self.sigma * smooth_noise(generator, grid, self.correlation)
        # Blocks of cells, not single ones: a network is wrong about things.
        block = generator.random((shape[0] // 4 + 1, shape[1] // 4 + 1))[grid[:, 1] // 4, grid[:, 0] // 4]
        points[block < self.shifted] += self.shift
        wrong = generator.random(len(points)) < self.outliers
        points[wrong] = generator.uniform(-HALF, HALF, (wrong.sum(), 3))
        covariances = None
        if self.admits is not None:
            covariances = np.broadcast_to(self.admits**2 * np.eye(3), (len(points), 3, 3))
        origin = np.asarray(self.scene.origin)
        return CoordinateMap(points + origin, covariances, rays, pixels, shape, camera.focal)
