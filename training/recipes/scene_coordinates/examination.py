"""Images of a test, one after the other: the map that the network gives, the pose, and how far it is off."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.scene import CoordinateMap, ScenePredictor
from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import CameraError, DatasetError, ImageError
from relpose_ros.evaluation.cell_errors import CellErrors, cell_errors, known_points
from relpose_ros.geometry.covariance import nees
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_cells import SceneCells
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.geometry.scene_coordinate_ransac import estimate_scene_pose
from relpose_ros.geometry.scene_pose import ScenePoseOptions, estimate_scene_poses
from relpose_ros.geometry.scene_targets import PointTargets
from relpose_ros.progress import Progress, silent, tracked

Array = NDArray[np.float64]

ESTIMATORS = {
    "robot": "refined by predicted covariances, with a covariance, and asked for a rival (scene_pose.py)",
    "dsacstar": "the soft inlier count of DSAC* and least squares alone (scene_coordinate_ransac.py)",
    "rgbd": "the same with the points that a depth camera measured, threshold in metres",
}


@dataclass(frozen=True)
class Protocol:
    """How poses are found."""

    estimator: str = "robot"
    ransac: SceneRansacOptions = field(default_factory=SceneRansacOptions)


@dataclass(frozen=True)
class Estimate:
    """A pose in the map or None with the reason; its covariance (6, 6) if the estimator gives one; whether
    another pose is as good as half of it."""

    pose: Rigid | None
    reason: str = ""
    covariance: Array | None = None
    ambiguous: bool = False


@dataclass(frozen=True)
class ImageResult:
    """One image: errors of its pose (infinite without one), NEES of its raw covariance (NaN without), median
    error of the cells and in which unit (m where coordinates are known, else px), milliseconds."""

    name: str
    stamp: float
    truth: Rigid
    estimate: Estimate
    translation_m: float
    rotation_deg: float
    nees: float
    cell_error: float
    cell_unit: str
    network_ms: float
    pose_ms: float


def examine_images(
    predictor: ScenePredictor,
    images: Sequence[PosedImage],
    protocol: Protocol,
    progress: Progress = silent,
) -> Iterator[ImageResult]:
    """Results of images with a pose. One that cannot be read counts as one without a pose, and says why."""
    ready: set[tuple[int, ...]] = set()
    for image in tracked(images, progress, "testing"):
        if image.map_from_camera is None:
            raise DatasetError(f"{image.name}: expected an image with a pose, got one without")
        try:
            pixels = image.load()
            if pixels.shape[:2] not in ready:  # the network is made ready for each size of image
                predictor.predict(pixels, image.camera)
                ready.add(pixels.shape[:2])
            started = time.perf_counter()
            cells = predictor.predict(pixels, image.camera)
            predicted = time.perf_counter()
            measured = measured_points(image, cells) if protocol.estimator == "rgbd" else None
            estimate = find_pose(cells, np.asarray(predictor.scene.origin, float), protocol, measured)
        except (ImageError, CameraError) as error:
            yield _failure(image, image.map_from_camera, str(error))
            continue
        seconds = (predicted - started, time.perf_counter() - predicted)
        yield _judged(image, image.map_from_camera, estimate, cell_errors(image, cells), seconds)


def find_pose(
    cells: CoordinateMap, origin: Array, protocol: Protocol, measured: Array | None = None
) -> Estimate:
    """The pose of a map of coordinates. What is solved is less the origin: numbers stay small.

    With points (N, 3) in camera axes that a depth camera `measured`, NaN where it did not, of those.
    """
    rays = cells.rays if measured is None else np.where(np.isfinite(measured[:, :2]), cells.rays, np.nan)
    found, index = SceneCells.of_map(cells.points - origin, cells.covariances, rays, cells.focal, cells.shape)
    if len(found) < protocol.ransac.min_inliers:
        return Estimate(None, f"only {len(found)} cells have a coordinate")
    if measured is not None:
        pose = estimate_scene_pose(found.points, PointTargets(measured[index]), protocol.ransac)
        return Estimate(_back(pose.map_from_camera, origin), pose.reason)
    if protocol.estimator == "dsacstar":
        pose = estimate_scene_pose(found.points, found.targets, protocol.ransac)
        return Estimate(_back(pose.map_from_camera, origin), pose.reason)
    estimates, reason = estimate_scene_poses(found, ScenePoseOptions(ransac=protocol.ransac))
    if not estimates:
        return Estimate(None, reason)
    best = estimates[0]
    ambiguous = best.rival > 0.5 * best.support
    return Estimate(_back(best.map_from_camera, origin), "", best.covariance, ambiguous)


def measured_points(image: PosedImage, cells: CoordinateMap) -> Array:
    """Points (N, 3) in camera axes that the image's depth says for the cells, NaN where unknown.

    Raises DatasetError if the image has no depth.
    """
    points = known_points(replace(image, load_coordinates=None), Rigid.identity(), cells)
    if points is None:
        raise DatasetError(f"{image.name}: estimator rgbd expects images with depth, got one without")
    return points


def _back(pose: Rigid | None, origin: Array) -> Rigid | None:
    return None if pose is None else Rigid(pose.rotation, pose.translation + origin)


def _judged(
    image: PosedImage, truth: Rigid, estimate: Estimate, cells: CellErrors, seconds: tuple[float, float]
) -> ImageResult:
    translation, rotation, consistency = math.inf, math.inf, math.nan
    if estimate.pose is not None:
        twist = estimate.pose.error_to(truth)
        translation, rotation = float(np.linalg.norm(twist[:3])), float(np.degrees(np.linalg.norm(twist[3:])))
        consistency = math.nan if estimate.covariance is None else nees(twist, estimate.covariance)
    known = cells.error[~np.isnan(cells.error)]
    return ImageResult(
        image.name,
        image.stamp,
        truth,
        estimate,
        translation,
        rotation,
        consistency,
        float(np.median(known)) if len(known) else math.nan,
        cells.unit,
        1000 * seconds[0],
        1000 * seconds[1],
    )


def _failure(image: PosedImage, truth: Rigid, reason: str) -> ImageResult:
    nothing = (math.inf, math.inf, math.nan, math.nan, "m", math.nan, math.nan)
    return ImageResult(image.name, image.stamp, truth, Estimate(None, reason), *nothing)
