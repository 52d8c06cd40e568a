"""Contrastive losses: SupCon, TransPose's SuperCon, CamNet's triplets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.pose_distance import pose_distance
from relpose_training.losses.contrastive import single_anchor_supcon_loss, supcon_loss
from relpose_training.losses.graded_triplet import graded_triplet_loss, pairwise_distance
from relpose_training.losses.quaternions import multiply
from tools.parity.case import Deviation, deviation, golden, load, norm_deviation

VALUE, GRADIENT = 1e-5, 2e-4


def _supcon(file: str) -> Iterator[Deviation]:
    stored = load("contrastive", file)
    for key in (k for k in stored if k.startswith("loss_")):
        _, mode, temperature, kind = key.split("_")
        features = torch.from_numpy(stored["features"]).requires_grad_()
        positives = {k: torch.from_numpy(stored[k]) for k in ("labels", "mask") if k == kind}
        loss = supcon_loss(features, **positives, temperature=float(temperature[1:]), all_views=mode == "all")
        loss.backward()
        yield deviation(key, loss, stored[key], VALUE * max(1.0, abs(float(stored[key]))))
        gradient = stored["grad" + key[4:]]
        if np.abs(gradient).max() > 1e-6:
            yield norm_deviation(f"gradient of {key}", features.grad, gradient, GRADIENT)
        else:  # no positives: rounding is all there is
            yield deviation(f"gradient of {key}", features.grad, gradient, 1e-6)


@golden("contrastive", "SupCon, two views", "supcon_a.npz")
def two_views() -> Iterator[Deviation]:
    return _supcon("supcon_a.npz")


@golden("contrastive", "SupCon, three views", "supcon_b.npz")
def three_views() -> Iterator[Deviation]:
    return _supcon("supcon_b.npz")


@golden("contrastive", "SupCon, one view", "supcon_single.npz")
def one_view() -> Iterator[Deviation]:
    return _supcon("supcon_single.npz")


SUPERCON = tuple(f"transpose_supercon_{v}.npz" for v in ("t0.07_norm1", "t0.5_norm1", "t20.0_norm0"))


@golden("contrastive", "TransPose's SuperCon", *SUPERCON)
def supercon() -> Iterator[Deviation]:
    for file in SUPERCON:
        stored = load("contrastive", file)
        leaves = {n: torch.from_numpy(stored[n]).requires_grad_() for n in ("anchor", "pos", "neg")}
        loss = single_anchor_supcon_loss(
            leaves["anchor"],
            leaves["pos"],
            leaves["neg"],
            temperature=float(stored["temperature"]),
            normalise=bool(stored["normalize"]),
        )
        loss.backward()
        yield deviation(file, loss, stored["loss"], VALUE, relative=True)
        for name, leaf in leaves.items():
            yield norm_deviation(f"{file} gradient of {name}", leaf.grad, stored[f"g_{name}"], GRADIENT)


@golden("contrastive", "CamNet: triplets, quaternions, pose distance", "camnet_triplet.npz")
def camnet() -> Iterator[Deviation]:
    stored = load("contrastive", "camnet_triplet.npz")
    for hardest in (0, 1):
        x = torch.from_numpy(stored["x"]).requires_grad_()
        distances = pairwise_distance(x, torch.from_numpy(stored["y"]))
        fine, medium, negative = distances.diagonal().chunk(3)
        loss = graded_triplet_loss(fine, medium, negative, hardest=bool(hardest))
        loss.backward()
        yield deviation("distances", distances, stored["pairwise"], VALUE)
        yield deviation(f"loss {hardest}", loss, stored[f"loss_hardest{hardest}"], VALUE, relative=True)
        yield norm_deviation(f"gradient {hardest}", x.grad, stored[f"grad_x_hardest{hardest}"], GRADIENT)
    last = [1, 2, 3, 0]  # the golden's w comes first
    a, b = (torch.from_numpy(stored[name][:, last]) for name in ("quat_a", "quat_b"))
    yield deviation("quaternion product", multiply(a, b), stored["quat_product"][:, last], VALUE)
    one, other = (Rigid.from_quaternion(stored[n][:, last], stored[n][:, 4:]) for n in ("pose_a", "pose_b"))
    ours = pose_distance(one, other)
    yield deviation("pose distance", ours, stored["pose_distance"], VALUE, relative=True)
