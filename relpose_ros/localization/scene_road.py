"""The road of scene coordinates: an image, by a network that knows the place, -> points -> PnP."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.scene_cells import SceneCells
from relpose_ros.geometry.scene_pose import SceneEstimate, ScenePoseOptions, estimate_scene_poses
from relpose_ros.geometry.scene_samples import SamplingOptions, is_split, sampled_poses
from relpose_ros.localization.arbiter import SCENE
from relpose_ros.localization.scene_evidence import evidence_of, outside_bounds, thinned
from relpose_ros.types import Frame, Hypothesis, Matches

if TYPE_CHECKING:
    from relpose_ros.checkpoints.scene import CoordinateMap, SceneInfo
    from relpose_ros.geometry.cameras import Camera


class Predicts(Protocol):
    """Whatever gives an image's scene coordinates: `checkpoints.scene.ScenePredictor` does."""

    path: Path
    scene: SceneInfo

    @property
    def identity(self) -> str: ...

    def predict(self, image: NDArray[np.uint8], camera: Camera) -> CoordinateMap: ...


@dataclass(frozen=True)
class SceneOptions:
    """`pose`: the solver; `sampling`: of other maps that the network might have said; `margin`: a pose may
    lie outside the box of the scene and its training cameras by this share of the box's diagonal."""

    pose: ScenePoseOptions = field(default_factory=ScenePoseOptions)
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    margin: float = 0.25


@dataclass
class SceneRoad:
    """The road through scene coordinates. `timings` holds the last frame's milliseconds by stage; `reason`
    is why it found nothing, "" where it did."""

    predictor: Predicts
    options: SceneOptions = field(default_factory=SceneOptions)
    seed: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    def hypotheses(self, frame: Frame) -> list[Hypothesis]:
        """At most one pose; `rival_inliers` is the support of the best pose elsewhere."""
        start = time.perf_counter()
        cells = unmasked(self.predictor.predict(frame.image, frame.camera), frame)
        predicted = time.perf_counter()
        found = self.hypotheses_of(cells, frame.camera)
        ended = time.perf_counter()
        self.timings = {"coordinates": 1e3 * (predicted - start), "scene": 1e3 * (ended - predicted)}
        return found

    def hypotheses_of(self, cells: CoordinateMap, camera: Camera) -> list[Hypothesis]:
        """Like `hypotheses`, from coordinates that were predicted elsewhere."""
        usable, index = SceneCells.of_map(
            cells.points, cells.covariances, cells.rays, cells.focal, cells.shape
        )
        pose = self.options.pose
        pose = replace(pose, ransac=replace(pose.ransac, seed=self.seed))
        estimates, self.reason = estimate_scene_poses(usable, pose)
        if not estimates:
            return []
        best = self._questioned(usable, estimates[0], pose)
        scene = self.predictor.scene
        evidence = evidence_of(best, cells.pixels[index], camera, cells.focal)
        evidence = replace(
            evidence,
            view_change=scene.view_change(best.map_from_camera, best.depth),
            objection=outside_bounds(best.map_from_camera.translation, scene, self.options.margin),
        )
        shown = thinned(index)
        matches = Matches(cells.pixels[index[shown]], usable.points[shown], best.agreeing[shown])
        return [Hypothesis(best.map_from_camera, best.covariance, evidence, SCENE, (), matches)]

    def _questioned(self, cells: SceneCells, best: SceneEstimate, pose: ScenePoseOptions) -> SceneEstimate:
        """With a rival as strong as itself where sampled maps agree on a second place."""
        sampling = replace(self.options.sampling, seed=self.seed)
        if not sampling.count:
            return best
        sampled = sampled_poses(cells, best, pose, sampling)
        return replace(best, rival=best.support) if is_split(best, sampled, pose, sampling) else best


def unmasked(cells: CoordinateMap, frame: Frame) -> CoordinateMap:
    """The cells of a frame, without rays where its mask ignores them."""
    if frame.mask is None:
        return cells
    return replace(cells, rays=np.where(frame.shows(cells.pixels)[:, None], cells.rays, np.nan))


def open_predictor(scene: str | Path | Predicts) -> Predicts:
    """A checkpoint's predictor, or the one that was given."""
    if not isinstance(scene, str | Path):
        return scene
    from relpose_ros.checkpoints.scene import ScenePredictor

    return ScenePredictor(scene)


def nothing_found(reason: str) -> str:
    """Why there is no pose, where the solver says `reason`."""
    return f"the scene coordinates of the image agree on no pose ({reason}): it shows something else"
