"""View similarity, re-ranking, prioritised replay and pose covariance."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.covariance import (
    block_sandwich,
    normal_matrix,
    propagated_covariance,
    residual_covariance,
    residual_variance,
)
from relpose_ros.geometry.refinement import Correspondences, linearize, refine_pose, reprojection_jacobian
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.view_similarity import (
    frustum_overlap,
    geometric_distance,
    overlap_table,
    rotation_angles,
)
from relpose_ros.retrieval.rerank import RerankOptions, k_reciprocal_distances
from relpose_training.data.contrastive_sets import SetOptions, contrastive_sets
from relpose_training.data.overlap_classes import overlap_class
from relpose_training.data.prioritised_replay import (
    importance_weights,
    replay_probabilities,
    stratified_draw,
)
from tools.parity.case import Deviation, deviation, exact, golden, load

Array = NDArray[np.float64]
FRUSTUM = "camnet_frustum_overlap.npz"
DISTANCE = "transpose_geo_distance.npz"


@golden("similarity", "CamNet frustum overlap, relative poses, classes", FRUSTUM)
def frustum() -> Iterator[Deviation]:
    stored = load("similarity", FRUSTUM)
    # There a pixel counts from its centre when it is un-projected and from its corner when it is looked for.
    from_centre = Camera("pinhole", 585.0, 585.0, 320.0, 240.0, 640, 480)
    from_corner = Camera("pinhole", 585.0, 585.0, 319.5, 239.5, 640, 480)
    millimetres = stored["depth_stride10"]
    depth = np.zeros((480, 640))
    depth[::10, ::10] = np.where(millimetres == 65535, 0, millimetres) / 1000
    poses = Rigid(stored["R"], stored["t"])
    relative = Rigid.stack([poses[0].inverse() @ poses[i] for i in range(len(stored["R"]))])
    rates: dict[str, list[float]] = {"from0": [], "to0": []}
    for i in range(len(stored["R"])):
        for name, pose in (("from0", relative[i].inverse()), ("to0", relative[i])):
            rates[name].append(frustum_overlap(depth, from_centre, from_corner, pose, cheirality=False))
    classes = [
        int(overlap_class(there, back, angle))
        for there, back, angle in zip(rates["from0"], rates["to0"], relative.angle, strict=True)
    ]
    # At the identity the first row and column project onto the rim: rounding decides whether they are inside.
    rim = (np.sum(depth[0] > 0) + np.sum(depth[:, 0] > 0)) / np.sum(depth > 0)
    for name, ours in rates.items():
        yield deviation(f"overlap {name}, identity", ours[0], stored[f"rate_{name}"][0], rim)
        yield deviation(f"overlap {name}", ours[1:], stored[f"rate_{name}"][1:], 1e-9)
    yield exact("classes", np.array(classes), stored["triplet_class_derived"])
    yield deviation("relative rotation", np.degrees(relative.angle), stored["rel_rot_deg"], 1e-5)
    yield deviation(
        "relative translation", np.linalg.norm(relative.translation, axis=1), stored["rel_t"], 1e-9
    )
    for name, pose in (("quat_rel", relative), ("quat_abs", poses)):
        wxyz = pose.rotation_xyzw[:, [3, 0, 1, 2]]
        sign = np.sign((wxyz * stored[name]).sum(axis=1, keepdims=True))
        yield deviation(name, wxyz * sign, stored[name], 1e-9)


@golden("similarity", "TransPose overlap and geometric distance", DISTANCE)
def distance_table() -> Iterator[Deviation]:
    stored = load("similarity", DISTANCE)
    width, height = (int(n) for n in stored["image_wh"])
    camera = Camera("pinhole", 480.0, 480.0, (width - 1) / 2, (height - 1) / 2, width, height)
    poses = Rigid.from_matrix(stored["cam_poses"].astype(np.float64))
    centred = camera.matrix
    centred[:2, 2] += 0.5  # there, pixels count from the corner of the image
    matrices = centred @ poses.inverse().matrix[:, :3]
    yield deviation("projections", matrices, stored["transform_mat"], 1e-5, relative=True)
    points = stored["point_clouds"][:, :3].transpose(0, 2, 1).astype(np.float64)
    overlap = overlap_table(points, stored["valid"], poses, camera)
    ours = geometric_distance(overlap, poses, compat=True)
    yield deviation("distance", ours, stored["geo_dist"], 1e-5, relative=True)
    angle = rotation_angles(poses.rotation)
    # Their arc cosine is in single precision and bounded at 1e-6 from 1.
    yield deviation("angles", np.maximum(angle, np.arccos(1 - 1e-6)) / np.pi, stored["rot_dist_raw"], 1e-5)
    turned = np.minimum(np.maximum(angle, np.arccos(1 - 1e-6)), np.pi / 2)
    yield deviation("saturated angles", turned / turned.max(), stored["rot_dist"], 1e-5)
    position = poses.translation
    apart = np.linalg.norm(position[:, None] - position, axis=2)
    yield deviation("metres", apart, stored["trans_dist"], 1e-5, relative=True)
    for kind in ("same", "diff"):
        for view, rank in enumerate(stored[f"rank_{kind}"]):
            ranked = ours[view, rank[rank >= 0]]
            if np.diff(ranked).min() < -1e-4:  # equal distances stand in any order
                yield exact(f"ranking of view {view}", ranked.tolist(), sorted(ranked.tolist()))


@golden("similarity", "TransPose positives and negatives", DISTANCE)
def partners() -> Iterator[Deviation]:
    """From its own distances, ties in its order; where a tie decides the way back, both are right."""
    stored = load("similarity", DISTANCE)
    table = stored["geo_dist"].astype(np.float64)
    for rank in (stored["rank_same"], stored["rank_diff"]):
        for view, row in enumerate(rank):
            table[view, row[row >= 0]] += 1e-7 * np.arange(np.sum(row >= 0))
    simulated = np.arange(len(table)) < int(stored["n_sim"])
    place = np.stack([(row < row[:, None]).sum(axis=1) for row in stored["geo_dist"]])
    last = np.stack([(row <= row[:, None]).sum(axis=1) - 1 for row in stored["geo_dist"]])
    for name in ("loose", "default"):
        options = SetOptions(*(float(c) for c in stored[f"{name}_coefs"]))
        sets = contrastive_sets(table, stored["trans_dist"], simulated, options, compat=True)
        kinds = (sets.positive_same, sets.positive_other, sets.negative_same, sets.negative_other)
        for kind, ours, reference in zip(range(4), kinds, stored[f"{name}_sets"], strict=True):
            anchor, partner = np.nonzero(ours != reference.astype(bool))
            decided = place[partner, anchor] == last[partner, anchor]
            yield Deviation(f"{name} set {kind}, without ties", float(decided.sum()), 0.0)
            yield Deviation(f"{name} set {kind}, share by ties", len(anchor) / max(reference.sum(), 1), 0.06)
        yield exact(f"{name} anchors", sets.feasible, stored[f"{name}_feasible"])


@golden("rerank", "k-reciprocal re-ranking", "k_reciprocal.npz")
def reranking() -> Iterator[Deviation]:
    stored = load("rerank", "k_reciprocal.npz")
    distances = (stored["q_g"], stored["q_q"], stored["g_g"])
    for name, reference in stored.items():
        if not name.startswith(("ranklist", "feature")):
            continue
        k1, k2, weight = name.split("_k")[1].split("_")
        options = RerankOptions(int(k1), int(k2), float(weight[1:]))
        ours = k_reciprocal_distances(*distances, options)
        # The variant on features works in half precision: "up to 9e-3" (README; 9.03e-3 from our float32).
        yield deviation(name, ours, reference, 1e-6 if name.startswith("ranklist") else 9.5e-3)
    query, gallery = stored["query"].astype(np.float64), stored["gallery"].astype(np.float64)
    for name, a, b in (("q_g", query, gallery), ("q_q", query, query), ("g_g", gallery, gallery)):
        yield deviation(name, np.linalg.norm(a[:, None] - b, axis=2), stored[name], 1e-5)


@golden("derived", "prioritised replay", "per.npz")
def replay() -> Iterator[Deviation]:
    stored = load("derived", "per.npz")
    alpha, floor = float(stored["alpha"]), float(stored["eps"])
    chances = replay_probabilities(stored["td"], alpha, floor)
    yield deviation("probabilities", chances, stored["prob"], 1e-12)
    for beta in (0.4, 1.0):
        yield deviation(
            f"weights {beta}", importance_weights(chances, beta), stored[f"is_weight_b{beta}"], 1e-12
        )
    yield exact("draw", stratified_draw(chances, stored["strat_uniforms"]), stored["strat_index"])
    ranked = replay_probabilities(stored["td"], alpha, floor, rank_based=True)
    yield deviation("by rank", ranked, stored["prob_rank_based"], 1e-12)


@golden("derived", "covariance of a pose on scene coordinates", "pose_covariance.npz")
def covariance() -> Iterator[Deviation]:
    stored = load("derived", "pose_covariance.npz")
    points, focal = stored["scene_coords"], float(stored["focal"])
    rays = (stored["pixels"] - [float(stored["cx"]), float(stored["cy"])]) / focal
    certain = Correspondences(rays, points, np.zeros((len(points), 3, 3)), focal)
    pose = Rigid(stored["R_ls"], stored["t_ls"]).inverse()
    chart, line = _chart(pose), linearize(pose, certain)
    yield deviation("Jacobian", line.jacobian @ np.linalg.inv(chart), stored["jacobian"], 1e-10)
    by_point = reprojection_jacobian(pose, points, focal)[1]
    yield deviation("Jacobian by the point", by_point, stored["jac_point"], 1e-10)
    ours = np.linalg.inv(chart).T @ normal_matrix(line) @ np.linalg.inv(chart)
    yield deviation("normal matrix", ours, stored["JtJ"], 1e-10, relative=True)
    yield deviation("variance", residual_variance(line), stored["sigma2_hat"], 1e-10)
    height, width = (int(n) for n in stored["hw"])
    row, column = np.divmod(np.arange(height * width), width)
    spread = np.eye(3) * (stored["sigma_point"] ** 2)[:, None, None]
    noise = by_point @ spread @ np.swapaxes(by_point, 1, 2)
    for name, matrix in (
        ("cov_pixel", residual_covariance(line)),
        ("cov_sandwich_known_sigma", propagated_covariance(line, noise)),
        ("cov_sandwich_block4", block_sandwich(line, row // 4 * width + column // 4)),
    ):
        yield deviation(name, chart @ matrix @ chart.T, stored[name], 1e-10, relative=True)
    yield deviation(
        "of the centre", residual_covariance(line)[:3, :3], stored["center_cov_pixel"], 1e-10, relative=True
    )
    # `linearize` adds a pixel of noise; beside points as bad as these it is nothing.
    worse = 1e10
    seen = Correspondences(rays, points, worse * spread, focal)
    weighted, line, _ = refine_pose(pose, seen, robust=1e12, iterations=50)
    reference = Rigid(stored["R_gls"], stored["t_gls"]).inverse()
    yield deviation("weighted pose", weighted.error_to(reference), np.zeros(6), 1e-7)
    chart = _chart(weighted)
    ours = chart @ np.linalg.inv(normal_matrix(line)) @ chart.T / worse
    yield deviation("cov_gls", ours, stored["cov_gls"], 1e-6, relative=True)


def _chart(map_from_camera: Rigid) -> Array:
    """(w, v) of exp(w) (R X + t) + v in camera axes by the twist of `map_from_camera` (6, 6)."""
    turn = -map_from_camera.rotation.T
    return np.block([[np.zeros((3, 3)), turn], [turn, np.zeros((3, 3))]])
