"""The DSAC* robust estimator: random numbers, P3P, Kabsch, scores, refinement, poses, expected loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.kabsch import align_points
from relpose_ros.geometry.libstdcpp_random import UniformIntegers
from relpose_ros.geometry.pose_sensitivity import pose_sensitivity
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import (
    SceneRansacOptions,
    cell_errors,
    entropy_bits,
    refine_on_inliers,
    soft_inliers,
    softmax,
)
from relpose_ros.geometry.scene_coordinate_ransac import estimate_scene_pose
from relpose_ros.geometry.scene_hypotheses import Hypotheses
from relpose_ros.geometry.scene_hypotheses_published import draw_published_rgb, draw_published_rgbd
from relpose_ros.geometry.scene_targets import PointTargets, RayTargets, cell_targets
from relpose_training.losses import expected_pose_error as expectation
from relpose_training.losses.pose_error import PoseErrorWeights, pose_error
from relpose_training.losses.published_pose_gradient import (
    LIMIT,
    length_jacobian,
    opencv_from_twist,
    published_minimal_sensitivity,
)
from tools.parity.case import Deviation, deviation, exact, golden, load, norm_deviation

Array = NDArray[np.float64]
Stored = dict[str, NDArray[np.generic]]
COMPONENTS = "ransac_components.npz"
MAPS = ("clean", "noise2cm_out35", "noise5cm_out70")
SPREAD = {"clean": 1e-6, "noise2cm_out35": 1.3e-3, "noise5cm_out70": 2.8e-2}
"""Of the published poses over ten seeds, metres (README): what another random generator may differ by."""


def points_of(stored: Stored) -> Array:
    """Scene coordinates (h * w, 3), row by row."""
    return np.asarray(stored["scene_coords"], np.float64).reshape(3, -1).T


def rays_of(stored: Stored) -> RayTargets:
    """The cells of a golden."""
    height, width = stored["scene_coords"].shape[1:]
    focal, cx, cy = (float(np.asarray(stored[name])) for name in ("focal", "cx", "cy"))
    camera = Camera("pinhole", focal, focal, cx, cy, 8 * width, 8 * height)
    return cell_targets(camera, height, width)[0]


def options_of(stored: Stored, hypotheses: int, seed: int) -> SceneRansacOptions:
    """The golden's parameters, with the published behaviour."""
    names = ("threshold", "max_reproj", "alpha")
    threshold, largest, alpha = (float(np.asarray(stored[name])) for name in names)
    return SceneRansacOptions(threshold, largest, alpha, hypotheses, 10**7, seed=seed, cheirality=False)


def truth_of(stored: Stored) -> Rigid:
    """The true pose, rounded as the published code had it."""
    return Rigid.from_matrix(np.asarray(stored["gt_pose"], np.float32).astype(np.float64))


def opencv_pose(rotation_vector: NDArray[np.generic], translation: NDArray[np.generic]) -> Rigid:
    """`map_from_camera` from OpenCV's rotation vectors and translations of the inverse."""
    return Rigid.from_rotation_vector(
        np.asarray(rotation_vector, float), np.asarray(translation, float)
    ).inverse()


def replayed(stored: Stored, options: SceneRansacOptions) -> tuple[Hypotheses, NDArray[np.bool_]]:
    """The golden's sets and poses, and in which of them (H,) the fourth cell is one of the three.

    There, every P3P solution fits the fourth cell, and rounding picked the golden's.
    """
    height, width = stored["scene_coords"].shape[1:]
    drawn = draw_published_rgb(points_of(stored), rays_of(stored), (height, width), options)
    poses = opencv_pose(stored["hyp_rvec"], stored["hyp_tvec"])
    return replace(drawn, map_from_camera=poses), (drawn.sets[:, 3:] == drawn.sets[:, :3]).any(axis=1)


@golden("dsacstar", "mt19937 and integers of libstdc++", "rng_single_thread.npz")
def random_numbers() -> Iterator[Deviation]:
    stored = load("dsacstar", "rng_single_thread.npz")
    for which in "ab":
        numbers = UniformIntegers(int(stored[f"seed_{which}"]))
        count = len(stored[f"ints_{which}"])
        yield exact(which, numbers.draw(np.full(count, int(stored[f"max_{which}"]))), stored[f"ints_{which}"])


@golden("dsacstar", "Kabsch and its Jacobian", "kabsch.npz")
def kabsch() -> Iterator[Deviation]:
    stored = load("dsacstar", "kabsch.npz")
    seen = PointTargets(stored["camera_pts"])
    pose = align_points(seen.points, stored["scene_pts"])
    # The published one works in single precision.
    yield deviation("rotation", pose.inverse().rotation_vector, stored["rvec"], 1e-6)
    yield deviation("translation", pose.inverse().translation, stored["tvec"], 1e-6)
    moves = opencv_from_twist(pose) @ pose_sensitivity(pose, stored["scene_pts"], seen)
    ours = moves.transpose(1, 0, 2).reshape(6, -1)
    yield deviation("Jacobian", ours, stored["jac_analytic"], 1e-5)
    yield deviation("Jacobian, finite differences", ours, stored["jac_fd"], 2e-4)


@golden("dsacstar", "minimal sets, P3P, errors, scores", COMPONENTS)
def hypotheses() -> Iterator[Deviation]:
    stored = load("dsacstar", COMPONENTS)
    points, seen = points_of(stored), rays_of(stored)
    options = options_of(stored, 16, int(stored["seed"]))
    drawn = draw_published_rgb(points, seen, (12, 16), options)
    yield exact("sampled cells", np.stack([drawn.sets % 16, drawn.sets // 16], axis=2), stored["sampled_xy"])
    replay, repeated = replayed(stored, options)
    off = np.abs(drawn.map_from_camera.error_to(replay.map_from_camera)).max(axis=1)
    # The published solver loses digits where solutions nearly coincide: hypothesis 9 has 1.6e-4.
    yield deviation("poses", off[~repeated], np.zeros(np.sum(~repeated)), 1e-3)
    yield deviation("poses, most", np.sort(off[~repeated])[:-1], np.zeros(np.sum(~repeated) - 1), 1e-6)
    for h in np.flatnonzero(repeated):
        found, _ = seen.minimal_poses(points, drawn.sets[h : h + 1, :3])
        nearest = np.abs(found.error_to(replay.map_from_camera[h])).max(axis=1).min()
        yield deviation(f"pose {h} is a solution", nearest, 0.0, 1e-6)
    errors = cell_errors(replay.map_from_camera, points, seen, options)
    yield deviation("errors", errors.reshape(16, 12, 16), stored["repro_errs"], 1e-4)
    scores = soft_inliers(errors, options)
    yield deviation("scores", scores, stored["scores"], 1e-5)
    yield deviation("probabilities", softmax(scores), stored["probs"], 1e-6)
    yield deviation("entropy", entropy_bits(softmax(scores)), stored["entropy"], 1e-6)
    rows, by_point, length = length_jacobian(replay.map_from_camera[0], points, seen)
    rows = np.asarray(np.linalg.solve(opencv_from_twist(replay.map_from_camera[0]).T, rows.T).T, np.float64)
    by_column = np.arange(192).reshape(12, 16).T.ravel()
    derivatives: list[tuple[str, Array]] = [("jac_hyp0_colmajor", rows), ("dproj_hyp0_colmajor", by_point)]
    for name, ours in derivatives:
        # No direction where the residual of a cell of the minimal set is rounding alone.
        used = ((length > 1e-3) & (length < options.max_error))[by_column]
        yield deviation(name, ours[by_column][used], stored[name][used], 1e-5, relative=True)


@golden("dsacstar", "refinement, losses and their derivatives", COMPONENTS)
def refinement() -> Iterator[Deviation]:
    stored = load("dsacstar", COMPONENTS)
    points, seen = points_of(stored), rays_of(stored)
    options = options_of(stored, 16, int(stored["seed"]))
    start = opencv_pose(stored["hyp_rvec"], stored["hyp_tvec"])
    reference = opencv_pose(stored["refined_rvec"], stored["refined_tvec"])
    truth = Rigid.from_matrix(stored["gt_pose"])
    for h in range(16):
        pose, used = refine_on_inliers(start[h], points, seen, options, tolerance=1e-11, rough=1e-11)
        yield exact(f"inliers {h}", used.reshape(12, 16), stored["inlier_maps"][h].astype(bool))
        yield deviation(f"pose {h}", pose.error_to(reference[h]), np.zeros(6), 1e-6)
        yield deviation(f"matrix {h}", pose.matrix, stored["refined_cam2world"][h], 1e-6)
        for name, at in (("refined", reference[h]), ("initial", start[h])):
            loss, by_twist = pose_error(at, truth, PoseErrorWeights(), compat=True)
            yield deviation(f"{name} loss {h}", loss, stored[f"loss_{name}"][h], 1e-6, relative=True)
            ours = np.linalg.solve(opencv_from_twist(at).T, by_twist)
            yield norm_deviation(f"{name} derivative {h}", ours, stored[f"dloss_{name}"][h], 1e-6)
    expected = stored["probs"] @ stored["loss_refined"]
    yield deviation("expected loss", expected, stored["expected_loss"], 1e-9)


@golden("dsacstar", "P3P Jacobian, implicit against finite differences", COMPONENTS)
def minimal_jacobian() -> Iterator[Deviation]:
    """Theirs has 1e-3 m steps: a root flips within one of hypotheses 1 and 5, and 9 is too curved for
    them."""
    stored = load("dsacstar", COMPONENTS)
    points, seen = points_of(stored), rays_of(stored)
    replay, repeated = replayed(stored, options_of(stored, 16, int(stored["seed"])))
    yield exact("sets whose root is open", np.flatnonzero(repeated).tolist(), [1, 2, 5])
    for h in np.setdiff1d(np.arange(16), [1, 5, 9]):
        own, pose = replay.sets[h, :3], replay.map_from_camera[h]
        moves = opencv_from_twist(pose) @ pose_sensitivity(pose, points[own], seen[own])
        ours = moves.transpose(1, 0, 2).reshape(6, 9)
        yield norm_deviation(f"implicit {h}", ours, stored["dpnp"][h][:, :9], 1e-3)
    yield exact("fourth cell", stored["dpnp"][:, :, 9:], np.zeros((16, 6, 3)))


@golden("dsacstar", "poses of realistic maps, ten seeds", *(f"ransac_rgb_60x80_{name}.npz" for name in MAPS))
def realistic() -> Iterator[Deviation]:
    for name in MAPS:
        stored = load("dsacstar", f"ransac_rgb_60x80_{name}.npz")
        points, seen, truth = points_of(stored), rays_of(stored), Rigid.from_matrix(stored["gt_pose"])
        reference = Rigid.from_matrix(stored["forward_poses"].astype(np.float64))
        metres, angle = reference.distance_to(truth)
        yield deviation(f"{name}: its metres", metres, stored["errors_m_deg"][:, 0], 1e-5)
        # The arc cosine of a matrix in single precision: 4e-4 rad of noise near 0.
        yield deviation(f"{name}: its degrees", np.degrees(angle), stored["errors_m_deg"][:, 1], 1e-2)
        options = options_of(stored, int(stored["hypotheses"]), int(stored["seeds"][0]))
        found = estimate_scene_pose(points, seen, replace(options, cheirality=True, max_draws=8192, seed=0))
        assert found.map_from_camera is not None
        apart, _ = found.map_from_camera.distance_to(reference)
        yield deviation(f"{name}: ours to the nearest seed", apart.min(), 0.0, SPREAD[name])
        for seed, pose in zip(stored["seeds"][::4].tolist(), stored["forward_poses"][::4], strict=True):
            drawn = draw_published_rgb(points, seen, (60, 80), replace(options, seed=seed))
            again = estimate_scene_pose(points, seen, options, drawn).map_from_camera
            assert again is not None
            yield deviation(f"{name}: seed {seed} replayed", again.matrix, pose, 1e-6)


@golden("dsacstar", "expected loss and gradient, RGB", "ransac_rgb_small_a1.npz", "ransac_rgb_small_a100.npz")
def expected_rgb() -> Iterator[Deviation]:
    derivatives = load("dsacstar", COMPONENTS)["dpnp"]
    for alpha in (1, 100):
        stored = load("dsacstar", f"ransac_rgb_small_a{alpha}.npz")
        points, seen = points_of(stored), rays_of(stored)
        options = options_of(stored, int(stored["hypotheses"]), int(stored["seed"]))
        replay, _ = replayed(stored, options)
        yield exact("cells", np.stack([replay.sets % 16, replay.sets // 16], axis=2), stored["sampled_xy"])
        weights = PoseErrorWeights(*(float(stored[n]) for n in ("w_rot", "w_trans", "soft_clamp")))
        how = expectation.ExpectedPoseOptions(options, weights, compat=True)
        reference = stored["grad"].reshape(3, -1).T

        def stored_derivative(
            pose: Rigid,
            points: Array,
            seen: RayTargets | PointTargets,
            replay: Hypotheses = replay,
        ) -> Array:
            h = int(np.argmin(np.abs(replay.map_from_camera.error_to(pose)).sum(axis=1)))
            moves = derivatives[h][:, :9]
            if np.abs(moves).max() > LIMIT:
                return np.zeros((3, 6, 3))
            chart = opencv_from_twist(pose)
            return np.asarray(np.linalg.solve(chart, moves).reshape(6, 3, 3).transpose(1, 0, 2))

        ours = expectation.expected_pose_error(points, seen, truth_of(stored), how, replay)
        yield deviation("loss", ours.value, stored["expected_loss"], 1e-6)
        # P3P roots flip within its finite differences if the fourth cell is one of the others (README: 0.1)
        yield norm_deviation("gradient", ours.gradient, reference, 0.1)
        with mock.patch.object(expectation, published_minimal_sensitivity.__name__, stored_derivative):
            ours = expectation.expected_pose_error(points, seen, truth_of(stored), how, replay)
        yield norm_deviation("gradient with its finite differences", ours.gradient, reference, 1e-3)
        found = estimate_scene_pose(points, seen, options, replay).map_from_camera
        assert found is not None
        yield deviation("pose", found.matrix, stored["forward_pose"], 1e-6)


@golden(
    "dsacstar", "expected loss and gradient, RGB-D", "ransac_rgbd_small_a1.npz", "ransac_rgbd_small_a100.npz"
)
def expected_rgbd() -> Iterator[Deviation]:
    """Its Kabsch is in single precision and its angles come from arc cosines: 2e-5 of the loss, which is
    all that the hypotheses differ by, and the score's part of the gradient goes with that difference times
    alpha."""
    for alpha, tolerance in ((1, 1e-3), (100, 2e-2)):
        stored = load("dsacstar", f"ransac_rgbd_small_a{alpha}.npz")
        measured = np.where(stored["camera_coords"][:1] == 0, np.nan, stored["camera_coords"])
        points, seen = points_of(stored), PointTargets(measured.reshape(3, -1).T.astype(np.float64))
        threshold, largest = (float(stored[n]) / 100 for n in ("threshold_cm", "max_dist_cm"))
        options = SceneRansacOptions(
            threshold,
            largest,
            alpha,
            int(stored["hypotheses"]),
            10**6,
            seed=int(stored["seed"]),
            cheirality=False,
        )
        drawn = draw_published_rgbd(points, seen, (12, 16), options)
        how = expectation.ExpectedPoseOptions(options, compat=True)
        ours = expectation.expected_pose_error(points, seen, truth_of(stored), how, drawn)
        yield deviation("loss", ours.value, stored["expected_loss"], 2e-5)
        yield norm_deviation("gradient", ours.gradient, stored["grad"].reshape(3, -1).T, tolerance)
        found = estimate_scene_pose(points, seen, options, drawn).map_from_camera
        assert found is not None
        yield deviation("pose", found.matrix, stored["forward_pose"], 1e-6)
