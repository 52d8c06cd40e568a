"""Training samples for scene coordinates: scaled, turned and relit, with pose and labels that stay exact.

DSAC* (TPAMI 2021) augments so; `published_scene_sample` has its own arithmetic. Here the camera keeps its
principal point, fx != fy and distortion, portrait images keep their focal length, and a label is what pixel
(8 x + 4, 8 y + 4) of its cell sees: depth is looked up along that ray, in the depth image as it was measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_targets import cell_targets
from relpose_ros.resampling import resize_short_side

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

STRIDE = 8
GREY_MEAN, GREY_SPREAD = 0.4, 0.25
MAX_DEPTH = 1000.0


@dataclass(frozen=True)
class Augmentation:
    """`scale` of the image; `angle` (radians) by which it turns counter-clockwise; factors of its grey
    values."""

    scale: float = 1.0
    angle: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0


@dataclass(frozen=True)
class View:
    """One image of a source: uint8 (H, W) or (H, W, 3) BGR, its camera and pose, and what is known of the
    scene.

    `depth` (H', W') metres along the optical axis, 0 where unknown, of the same field of view in any
    size; or `landmarks` (M, 3) in the map that this image sees; or neither.
    """

    image: NDArray[np.uint8]
    camera: Camera
    map_from_camera: Rigid
    depth: Floats | None = None
    landmarks: Array | None = None


@dataclass(frozen=True)
class SceneSample:
    """`image` (H, W) as the network takes it; the camera and pose it obeys; `coordinates` (3, h, w),
    metres, one for each cell of 8x8 pixels, and which of them are `known` (h, w); the others are 0."""

    image: Floats
    camera: Camera
    map_from_camera: Rigid
    coordinates: Floats
    known: NDArray[np.bool_]


def draw_augmentation(generator: np.random.Generator) -> Augmentation:
    """Uniform in the published ranges: scale 2/3 to 3/2, 30 degrees either way, 10 % of grey."""
    return Augmentation(
        scale=generator.uniform(2 / 3, 3 / 2),
        angle=math.radians(generator.uniform(-30, 30)),
        brightness=generator.uniform(0.9, 1.1),
        contrast=generator.uniform(0.9, 1.1),
    )


def scene_sample(view: View, height: int = 480, augmentation: Augmentation | None = None) -> SceneSample:
    """The view with its short side at `height` pixels times the augmentation's scale.

    Raises ImageError when the image is not of the camera's size.
    """
    how = augmentation or Augmentation()
    if view.image.shape[:2] != (view.camera.height, view.camera.width):
        raise ImageError(
            f"expected an image of {view.camera.width}x{view.camera.height}, got "
            f"{view.image.shape[1]}x{view.image.shape[0]}; give the camera of this image"
        )
    small = resize_short_side(view.image, int(height * how.scale))
    camera = view.camera.resized(small.shape[1], small.shape[0])
    turn = Rigid.from_rotation_vector([0, 0, how.angle], np.zeros(3))  # old_camera_from_new
    pose = view.map_from_camera @ turn
    grey = jittered(luma(small[..., ::-1] if small.ndim == 3 else small), how)
    if how.angle:
        grey = _turned(grey, camera, turn)
    cells = (math.ceil(small.shape[0] / STRIDE), math.ceil(small.shape[1] / STRIDE))
    points = np.full((cells[0] * cells[1], 3), np.nan)
    if view.depth is not None:
        points = _seen_by_depth(view, view.depth, camera, turn, cells)
    elif view.landmarks is not None:
        points = _nearest_landmarks(view.landmarks, camera, pose, cells)
    known = np.asarray(np.isfinite(points).all(axis=1))
    coordinates = np.where(known[:, None], points, 0).T.reshape(3, *cells)
    image = ((grey - GREY_MEAN) / GREY_SPREAD).astype(np.float32)
    return SceneSample(image, camera, pose, coordinates.astype(np.float32), known.reshape(cells))


def luma(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey (H, W) of RGB (H, W, 3), or of grey itself, rounded as Pillow does (ITU-R 601-2)."""
    if image.ndim == 2:
        return image
    red, green, blue = np.moveaxis(image.astype(np.int32), 2, 0)
    return np.asarray((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16, np.uint8)


def jittered(grey: NDArray[np.uint8], how: Augmentation) -> Array:
    """Grey values 0 to 1 (H, W) after brightness, then contrast about their mean."""
    bright = np.clip(grey / 255.0 * how.brightness, 0, 1)
    return np.asarray(np.clip(bright.mean() + how.contrast * (bright - bright.mean()), 0, 1))


def nearest(image: NDArray[np.floating], pixels: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Values (N,) of the pixels of `image` (H, W) nearest to `pixels` (N, 2), and which are inside."""
    at = np.floor(np.nan_to_num(pixels, nan=-10.0) + 0.5).astype(np.int64)
    inside = (at >= 0).all(axis=1) & (at[:, 0] < image.shape[1]) & (at[:, 1] < image.shape[0])
    return np.asarray(np.where(inside, image[at[:, 1] * inside, at[:, 0] * inside], 0), float), inside


def _turned(grey: Array, camera: Camera, turn: Rigid) -> Array:
    """What `camera` sees after it has turned; beyond the image's rim, its mirror image."""
    from scipy.ndimage import map_coordinates

    height, width = grey.shape
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    rays = camera.rays(np.stack([x.ravel(), y.ravel()], axis=1)) @ turn.rotation[:2, :2].T
    pixels = np.nan_to_num(camera.project(np.concatenate([rays, np.ones((len(rays), 1))], axis=1)))
    return np.asarray(map_coordinates(grey, pixels.T[::-1], order=1, mode="mirror").reshape(grey.shape))


def _seen_by_depth(view: View, depth: Floats, camera: Camera, turn: Rigid, cells: tuple[int, int]) -> Array:
    """Map points (h * w, 3) on the rays of the cells, NaN where the depth there is unknown."""
    targets, _ = cell_targets(camera, *cells, STRIDE)
    rays = np.concatenate([targets.rays @ turn.rotation[:2, :2].T, np.ones((len(targets), 1))], axis=1)
    measured = view.camera.resized(depth.shape[1], depth.shape[0])
    metres, inside = nearest(depth, measured.project(rays))
    known = inside & np.isfinite(rays).all(axis=1) & (metres > 0) & (metres <= MAX_DEPTH)
    return np.where(known[:, None], view.map_from_camera.apply(rays * metres[:, None]), np.nan)


def _nearest_landmarks(landmarks: Array, camera: Camera, pose: Rigid, cells: tuple[int, int]) -> Array:
    """The nearest landmark in each cell (h * w, 3), NaN where there is none; none from outside or behind."""
    local = pose.inverse().apply(landmarks)
    pixels = camera.project(local)
    seen = np.flatnonzero(camera.contains(pixels) & (local[:, 2] <= MAX_DEPTH))
    seen = seen[np.argsort(-local[seen, 2], kind="stable")]  # the nearest is written last
    column, row = np.floor((pixels[seen] + 0.5) / STRIDE).astype(np.int64).T
    points = np.full((cells[0] * cells[1], 3), np.nan)
    points[row * cells[1] + column] = landmarks[seen]
    return points
