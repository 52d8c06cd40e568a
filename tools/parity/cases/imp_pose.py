"""IMP: pose estimation, the loop of matching and pose, metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.geometry_distance import symmetric_geometric_distance
from relpose_ros.evaluation.match_quality import epipolar_inlier_rate, match_quality
from relpose_ros.evaluation.pose_auc import binned_auc, pose_auc, relative_pose_errors_deg
from relpose_ros.features.iterative_matching import (
    IterativeMatches,
    IterativeOptions,
    ScoredKeypoints,
    match_iteratively,
)
from relpose_ros.geometry.epipolar import epipolar_line_distances
from relpose_ros.geometry.essential_opencv import (
    EssentialOptions,
    decompose_essential,
    relative_pose_opencv,
)
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.two_view import opencv_estimator
from tools.parity.case import Deviation, deviation, exact, golden, load
from tools.parity.weights import rule_module

Stored = dict[str, NDArray[Any]]


def _pair(stored: Stored, pair: int) -> Stored:
    prefix = f"{pair}_"
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def _rays(pixels: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((pixels.astype(float) - matrix[[0, 1], [2, 2]]) / matrix[[0, 1], [0, 1]])


@golden("imp", "estimate_pose: MAGSAC and RANSAC", "pose_estimation.npz")
def pose_estimation() -> Iterator[Deviation]:
    stored = load("imp", "pose_estimation.npz")
    for pair in range(6):
        given = _pair(stored, pair)
        yield from _estimated(given, "magsac", str(pair))
        yield from _estimated(given, "ransac", str(pair))
        if pair < 5:
            yield from _true_geometry(given, str(pair))


def _estimated(given: Stored, method: Literal["magsac", "ransac"], name: str) -> Iterator[Deviation]:
    options = EssentialOptions(method=method, compat=True)
    found = relative_pose_opencv(given["kpts0"], given["kpts1"], given["K0"], given["K1"], options)
    if f"{method}_none" in given:
        yield exact(f"{name} {method} none", found is None, True)
        return
    if found is None:
        yield Deviation(f"{name} {method} found nothing", np.inf, 0.0)
        return
    yield deviation(f"{name} {method} E", found.essential, given[f"{method}_E"], 1e-13)
    yield deviation(f"{name} {method} R", found.pose.rotation, given[f"{method}_R"], 1e-13)
    yield deviation(f"{name} {method} t", found.pose.translation, given[f"{method}_t"], 1e-13)
    yield exact(f"{name} {method} inliers", found.inliers, given[f"{method}_inliers"])
    errors = relative_pose_errors_deg(found.pose, Rigid.from_matrix(given["T_0to1"]))
    yield deviation(f"{name} {method} err_R", errors[0], given[f"{method}_err_R"], 1e-6)
    yield deviation(f"{name} {method} err_t", errors[1], given[f"{method}_err_t"], 1e-6)
    if method == "magsac":
        yield deviation(f"{name} evaluate_R_t", errors, given["evaluate_R_t"], 1e-6)


def _true_geometry(given: Stored, name: str) -> Iterator[Deviation]:
    mean = (given["K0"] + given["K1"]) / 2  # as published
    first, second = given["kpts0"], given["kpts1"]
    found = decompose_essential(given["E"], _rays(first, mean), _rays(second, mean), 1000.0)
    yield deviation(f"{name} true E: R", found.pose.rotation, given["gtE_R"], 1e-9)
    yield deviation(f"{name} true E: t", found.pose.translation, given["gtE_t"], 1e-9)
    yield exact(f"{name} true E: in front", found.inliers, given["gtE_mask"])
    rays = _rays(first, given["K0"]), _rays(second, given["K1"])
    # The original's rays are float32.
    near, far = epipolar_line_distances(given["E"], *rays)
    yield deviation(f"{name} epipolar distance", (near + far) / 2, given["epi_dis"], 1e-6)
    yield deviation(f"{name} epipolar squares", near**2 + far**2, given["epi_sq"], 1e-6)
    quality = match_quality(Rigid.from_matrix(given["T_0to1"]), *rays, keypoints=len(first))
    yield exact(f"{name} epipolar inliers", quality.correct, given["epi_inlier"])


@golden("imp", "AUC, SGD and inlier rate", "metrics.npz")
def metrics() -> Iterator[Deviation]:
    given = load("imp", "metrics.npz")
    errors = np.where(given["errors_is_inf"], np.inf, given["errors"])
    fives = range(5, 31, 5)
    yield deviation("pose_auc", pose_auc(errors, [5, 10, 20, 50]), given["pose_auc_5_10_20_50"], 1e-12)
    yield exact("thresholds", [5, 10, 20, 50], given["thresholds"])
    yield deviation("exact AUC", pose_auc(errors, fives), given["exact_auc_0_5_30"], 1e-12)
    yield deviation("approximate AUC", binned_auc(errors, fives), given["approx_auc_0_5_30"], 1e-12)
    size = (640, 480)
    distance = symmetric_geometric_distance(given["F"], given["F2"], size, size)
    yield deviation("SGD", distance, given["sgd"], 1e-12)
    rate = epipolar_inlier_rate(given["F"], given["fm_x1"], given["fm_x2"], size, size)
    yield deviation("inlier rate", rate, given["fm_inlier_rate"], 1e-12)


@cache
def _matcher(name: str) -> Any:
    from relpose_ros.networks.imp.adagmn import AdaGMN
    from relpose_ros.networks.imp.dgnns import DGNNS

    network = {"DGNNS": DGNNS, "AdaGMN": AdaGMN}[name]()
    rule_module("imp", "param_rule.py").fill(network, "matcher")
    return network.eval()


def _loop(name: str, layout: str) -> Iterator[Deviation]:
    given, stored = load("imp", "inputs_iterative.npz"), load("imp", "iterative.npz")
    size = int(given["size"][0]), int(given["size"][1])
    images = [
        ScoredKeypoints(given[f"kpts{i}"], given[f"scores{i}"], given[f"desc{i}"], size) for i in (0, 1)
    ]
    # Error threshold 1 px; the original's masks and rays.
    estimate = opencv_estimator(given["K0"], given["K1"], EssentialOptions(compat=True))
    for stop in (1.5, 0.0):
        options = IterativeOptions(stop_angle_deg=stop, layout_bug_compat=layout == "HWC")
        found = match_iteratively(_matcher(name), images[0], images[1], estimate, options)
        prefix = f"{name}_{layout}_stop{stop}_"
        reference = {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
        label = f"stop {stop}"
        yield from _attempts(found, reference, label)
        yield from _matches(found, reference, label)
        if "pts0" in reference:
            for i in (0, 1):
                kept = images[i].keypoints[found.kept[i]]
                yield exact(f"{label} points kept {i}", kept, reference[f"pts{i}"])


def _attempts(found: IterativeMatches, reference: Stored, label: str) -> Iterator[Deviation]:
    yield exact(f"{label} iterations", found.iterations, int(reference["n_iter"]))
    results = [a.result for a in found.attempts if a.result is not None]
    counts = np.array([a.matches for a in found.attempts])
    yield exact(f"{label} matches per pose", counts, reference["n_matches_per_pose_call"])
    inliers = np.array([r.inliers.sum() for r in results])
    yield exact(f"{label} inliers per pose", inliers, reference["n_inliers_per_pose_call"])
    rotations = np.stack([r.pose.rotation for r in results])
    yield deviation(f"{label} R per pose", rotations, reference["R_per_call"], 1e-6)
    translations = np.stack([r.pose.translation for r in results])
    yield deviation(f"{label} t per pose", translations, reference["t_per_call"], 1e-6)
    # The original's answer is zeros where the loop did not stop; ours is then a pose of the last matches.
    yield exact(f"{label} stopped", found.converged, bool(reference["R"].any()))
    if found.converged and found.pose is not None:
        yield deviation(f"{label} R", found.pose.rotation, reference["R"], 1e-6)
        yield deviation(f"{label} t", found.pose.translation, reference["t"], 1e-6)


def _matches(found: IterativeMatches, reference: Stored, label: str) -> Iterator[Deviation]:
    """The original's answer indexes the points that were kept."""
    place0, place1 = ({int(k): i for i, k in enumerate(kept)} for kept in found.kept)
    partner = np.full(len(place0), -1)
    scores = np.zeros(len(place0))
    for (a, b), score in zip(found.pairs.tolist(), found.scores, strict=True):
        partner[place0[a]], scores[place0[a]] = place1[b], score
    yield exact(f"{label} matches", partner, reference["matches"].astype(int))
    # Unmatched points keep their scores there; we return those of matches alone.
    theirs = np.where(partner >= 0, reference["mscores"], 0.0)
    yield deviation(f"{label} scores", scores, theirs, 2e-5)


def _register_loop(name: str, layout: str) -> None:
    def check() -> Iterable[Deviation]:
        return _loop(name, layout)

    files = ("inputs_iterative.npz", "iterative.npz")
    golden("imp", f"iterative loop, {name}, layout {layout}", *files)(check)


for _name in ("DGNNS", "AdaGMN"):
    for _layout in ("HWC", "CHW"):
        _register_loop(_name, _layout)
