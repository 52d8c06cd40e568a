"""Training samples for scene coordinates: scaled, turned and relit, with pose and labels that stay exact.

DSAC* (TPAMI 2021) augments so; `published_scene_sample` has its own arithmetic. Here the camera keeps its
principal point, fx != fy and distortion, portrait images keep their focal length, and a label is what pixel
(8 x + 4, 8 y + 4) of its cell sees: depth is looked up along that ray, in the depth image as it was measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.cell_labels import (
    Cells,
    cells_of,
    landmark_points,
    normals_of,
    seen_points,
)
from relpose_training.data.scene_changes import GREY, PLAIN, Augmentation, Normalisation
from relpose_training.data.scene_warp import canvas_camera, warped_classes, warped_image

Array = NDArray[np.float64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class View:
    """One image of a source: uint8 (H, W) or (H, W, 3) BGR, its camera and pose, and what is known of the
    scene.

    `depth` (H', W') metres along the optical axis, 0 where unknown, of the same field of view in any
    size; or `landmarks` (M, 3) in the map that this image sees; or neither. `semantics` (H'', W'') uint8.
    """

    image: NDArray[np.uint8]
    camera: Camera
    map_from_camera: Rigid
    depth: Floats | None = None
    landmarks: Array | None = None
    semantics: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class SceneSample:
    """`image` (C, H, W) as the network takes it; the camera and pose it obeys.

    One for each cell of 8x8 pixels: `pixels` (2, h, w), its centre as an ideal camera would see it;
    `coordinates` (3, h, w) in the map and `depth` (h, w), metres, 0 where not `known` (h, w); `inside`
    (h, w): the cell's centre shows the source image, not what was put around it; `normals` (3, h, w), unit
    vectors in the camera's axes towards the camera, 0 where unknown. `semantics` (H, W) int64, -100 outside.
    """

    image: Floats
    camera: Camera
    map_from_camera: Rigid
    coordinates: Floats
    known: NDArray[np.bool_]
    inside: NDArray[np.bool_]
    pixels: Floats
    depth: Floats
    normals: Floats | None = None
    semantics: NDArray[np.int64] | None = None


def scene_sample(
    view: View,
    height: int = 480,
    augmentation: Augmentation = PLAIN,
    canvas: tuple[int, int] | None = None,
    normalisation: Normalisation = GREY,
    normals: bool = False,
) -> SceneSample:
    """The view at `height` pixels (short side) times the augmentation's scale, changed by it.

    `canvas` (H, W): cut or padded to this size, multiples of 8; None: as large as the image is then. The
    camera turns about its own axis, and its pose with it. Without augmentation, pixels are those of the
    resized image. Beyond the image's rim there is its mirror image. Raises ImageError for an image that is
    not of its camera's size.
    """
    if view.image.shape[:2] != (view.camera.height, view.camera.width):
        raise ImageError(
            f"expected an image of {view.camera.width}x{view.camera.height} as its camera says, got "
            f"{view.image.shape[1]}x{view.image.shape[0]}; give the camera of this image"
        )
    camera = canvas_camera(view.camera, height, augmentation, canvas)
    turn = Rigid.from_rotation_vector([0, 0, augmentation.angle], np.zeros(3))  # old_camera_from_new
    pose = view.map_from_camera @ turn
    cells = cells_of(camera, view.camera, turn)
    points, vectors = _labels(view, camera, pose, cells, normals)
    known = np.isfinite(points).all(axis=1) & cells.inside
    local = pose.inverse().apply(points)
    return SceneSample(
        image=normalisation.apply(warped_image(view.image, view.camera, camera, turn), augmentation),
        camera=camera,
        map_from_camera=pose,
        coordinates=cells.map(np.where(known[:, None], points, 0)),
        known=known.reshape(cells.shape),
        inside=cells.inside.reshape(cells.shape),
        pixels=cells.map(cells.ideal_pixels),
        depth=cells.map(np.where(known, local[:, 2], 0)[:, None])[0],
        normals=None if vectors is None else cells.map(vectors),
        semantics=None
        if view.semantics is None
        else warped_classes(view.semantics, view.camera, camera, turn),
    )


def _labels(
    view: View, camera: Camera, pose: Rigid, cells: Cells, normals: bool
) -> tuple[Array, Array | None]:
    """Map points (N, 3), NaN where unknown, and with `normals` unit vectors (N, 3), 0 where unknown."""
    if view.depth is not None:
        pixels = cells.pixels_in(view.depth.shape)
        points = view.map_from_camera.apply(seen_points(view.depth, pixels, cells.old_rays))
        if not normals:
            return points, None
        measured = view.camera.resized(view.depth.shape[1], view.depth.shape[0])
        return points, normals_of(view.depth, measured, pixels) @ cells.turn.rotation
    if view.landmarks is not None:
        points = landmark_points(view.landmarks, camera, pose, cells.shape)
    else:
        points = np.full((len(cells.inside), 3), np.nan)
    return points, np.zeros_like(points) if normals else None
