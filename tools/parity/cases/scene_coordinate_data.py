"""TransPose and CrossLoc beside networks and losses: augmentation, mean labels, metrics, sampling."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from relpose_ros.evaluation.dense_maps import class_scores, depth_errors, normal_errors
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.scene_coordinates.normals import angles_of_logits, vectors_of_angles
from relpose_training.data.label_statistics import mean_label
from relpose_training.data.rare_first import drawing_probabilities
from relpose_training.data.turn_and_scale import LabelledBatch, turn_and_scale
from tools.parity.case import Deviation, deviation, exact, golden, load

TOLERANCE = 1e-5


@golden("crossloc", "batch_resize, which turns images but not poses", "batch_resize.npz")
def augmentation() -> Iterator[Deviation]:
    stored = load("crossloc", "batch_resize.npz")
    image, labels = torch.from_numpy(stored["image0"]), torch.from_numpy(stored["coords0"])
    height, width = image.shape[1:]
    focal = float(stored["focal_in"])
    matrix = torch.tensor([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    batch = LabelledBatch(  # the golden's second item is made of its first
        images=torch.stack([image, image / 2]),
        labels=torch.stack([labels, labels + 1]),
        world_from_camera=torch.from_numpy(stored["pose"]).expand(2, 4, 4),
        camera_matrix=matrix.expand(2, 3, 3),
    )
    angle = math.radians(float(stored["angle_deg"]))
    ours = turn_and_scale(batch, float(stored["scale"]), angle, compat=True)
    yield deviation("images", ours.images, stored["image"], TOLERANCE)
    yield deviation("coordinates", ours.labels, stored["coords"], TOLERANCE)
    yield exact("poses", ours.world_from_camera.numpy(), stored["pose_out"])
    yield deviation("focal length", ours.camera_matrix[:, 0, 0], stored["focal"], TOLERANCE)


def _means(system: str) -> Iterator[Deviation]:
    for name, reference in load(system, "label_mean.npz").items():
        scene, task = name.split("_")
        yield deviation(name, mean_label(scene, task), reference, TOLERANCE, relative=True)


@golden("transpose", "mean labels", "label_mean.npz")
def transpose_means() -> Iterator[Deviation]:
    return _means("transpose")


@golden("crossloc", "mean labels", "label_mean.npz")
def crossloc_means() -> Iterator[Deviation]:
    return _means("crossloc")


@golden("crossloc", "metrics of depth, normals and classes", "eval_metrics.npz")
def metrics() -> Iterator[Deviation]:
    stored = load("crossloc", "eval_metrics.npz")
    depth = depth_errors(stored["depth_pred"], stored["depth_gt"], stored["depth_gt"] != -1)
    yield deviation("depth abs-rel", depth.absolute_relative, stored["depth_abs_rel"], TOLERANCE)
    yield deviation("depth RMS", depth.rms, stored["depth_rms"], TOLERANCE, relative=True)
    vectors = vectors_of_angles(angles_of_logits(torch.from_numpy(stored["normal_logits"])))
    ours, truth = (a.transpose(0, 2, 3, 1).reshape(-1, 3) for a in (vectors.numpy(), stored["normal_gt"]))
    known = (truth != -1).any(1)
    angle = normal_errors(ours[known], truth[known]).mean()
    # The original takes the arc cosine in float32, which has 3e-4 rad of noise near 0.
    yield deviation("normal angle", angle, stored["normal_err_deg"], TOLERANCE, relative=True)
    yield exact("classes", stored["sem_logits"].argmax(1), stored["sem_pred"])
    for i, (classes, labels) in enumerate(zip(stored["sem_pred"], stored["sem_labels"], strict=True)):
        scores = class_scores(classes, labels, classes=6)
        yield deviation("accuracy", scores.accuracy, stored["acc"][i], TOLERANCE)
        yield deviation("mIoU", scores.mean_iou, stored["miou"][i], TOLERANCE)
        yield deviation("fwIoU", scores.frequency_weighted_iou, stored["fwiou"][i], TOLERANCE)


@golden("transpose", "errors of a pose", "pose_err.npz")
def pose_errors() -> Iterator[Deviation]:
    stored = load("transpose", "pose_err.npz")
    distance, angle = Rigid.from_matrix(stored["a"]).distance_to(Rigid.from_matrix(stored["b"]))
    for kind in ("np", "torch"):
        yield deviation(f"translation ({kind})", distance, stored[f"t_{kind}"], TOLERANCE)
        yield deviation(f"rotation ({kind})", math.degrees(angle), stored[f"r_{kind}"], TOLERANCE)


@golden("contrastive", "sampling probabilities", "transpose_weighted_k_sample.npz")
def sampling() -> Iterator[Deviation]:
    stored = load("contrastive", "transpose_weighted_k_sample.npz")
    ours = drawing_probabilities(stored["freq"], stored["candidates"], compat=True)
    yield deviation("probabilities", ours, stored["probabilities"], 1e-12)
