"""Losses of DSAC*, TransPose, CrossLoc and KFNet: values, gradients, shares of valid cells."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from relpose_training.losses.coordinate import CoordinateClamps, coordinate_loss
from relpose_training.losses.depth import DepthClamps, depth_loss
from relpose_training.losses.kfnet import (
    MAIN_LIMIT,
    accurate_share,
    filtered_coordinate_loss,
    ray_loss,
    smoothness_loss,
    squared_coordinate_loss,
)
from relpose_training.losses.normal import NormalClamps, normal_loss
from relpose_training.losses.reprojection import (
    cell_pixels,
    known_labels,
    reprojection_error,
    to_camera,
)
from relpose_training.losses.scene_coordinate_init import (
    InitialisationClamps,
    coordinate_initialisation_loss,
    reprojection_initialisation_loss,
)
from relpose_training.losses.semantics import semantics_loss
from tools.parity.case import Deviation, deviation, exact, golden, load, norm_deviation

VALUE, GRADIENT = 1e-5, 2e-4


def tensors(system: str, file: str) -> dict[str, Tensor]:
    """A golden file as tensors; float scalars too."""
    return {name: torch.from_numpy(array) for name, array in load(system, file).items()}


def compare(
    stored: dict[str, Tensor], loss: Tensor, valid: Tensor, inputs: dict[str, Tensor]
) -> Iterator[Deviation]:
    """Value, share of valid cells, and the gradient by each of `inputs` (name in the golden: tensor)."""
    loss = loss.mean() if stored["loss"].ndim == 0 else loss
    loss.sum().backward()
    yield deviation("loss", loss, stored["loss"], VALUE, relative=True)
    share = stored["valid_fraction"] if "valid_fraction" in stored else stored["valid"]
    yield deviation("valid", valid.mean(), share, 1e-6)
    for name, tensor in inputs.items():
        yield norm_deviation(name, tensor.grad, stored[name], GRADIENT)


def _init_clamps(stored: dict[str, Tensor]) -> InitialisationClamps:
    names = ("inittolerance", "mindepth", "maxdepth", "targetdepth", "softclamp", "hardclamp")
    return InitialisationClamps(*(float(stored[name]) for name in names))


def _initialisation(variant: str) -> Iterator[Deviation]:
    stored = tensors("dsacstar", f"initloss_{variant}.npz")
    predicted = stored["scene_coords"].requires_grad_()
    labels = stored["gt_coords"][None]
    known = known_labels(labels, 0.0)
    height, width = stored["image_hw"].tolist()
    focal = float(stored["focal"])
    matrix = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    mode = int(stored["mode"])
    if mode == 2:
        found = coordinate_initialisation_loss(predicted[None], labels, known, compat=True)
    else:
        given = {"labels": labels, "known": known} if mode == 1 else {}
        pose, clamps = stored["gt_pose"][None], _init_clamps(stored)
        found = reprojection_initialisation_loss(
            predicted[None], pose, matrix, **given, clamps=clamps, compat=True
        )
    yield from compare(stored, *found, {"grad": predicted})


def _coordinate(system: str, file: str) -> Iterator[Deviation]:
    stored = tensors(system, file)
    predicted, scale = stored["pred"].requires_grad_(), stored["unc"].requires_grad_()
    likelihood = "unc1" in file or "MLE" in file
    names = ("inittolerance", "mindepth", "softclamp", "hardclamp")
    found = coordinate_loss(
        predicted,
        stored["gt"],
        known_labels(stored["gt"], float(stored["nodata"])),
        stored["poses"],
        stored["cam_mat"],
        scale if likelihood else None,
        CoordinateClamps(*(float(stored[name]) for name in names)),
        variant=system,
        compat=True,
    )
    yield from compare(stored, *found, _leaves("grad_pred", predicted, scale, likelihood))


def _depth(system: str, file: str) -> Iterator[Deviation]:
    stored = tensors(system, file)
    predicted, scale = stored["pred"].requires_grad_(), stored["unc"].requires_grad_()
    likelihood = "unc1" in file or "MLE" in file
    soft = float(stored["softclamp"]) if "softclamp" in stored else 5.0
    clamps = DepthClamps(float(stored["mindepth"]), soft, float(stored["hardclamp"]))
    known = known_labels(stored["gt"], float(stored["nodata"]))
    given = scale if likelihood else None
    found = depth_loss(predicted, stored["gt"], known, given, clamps, variant=system, compat=True)
    yield from compare(stored, *found, _leaves("grad_pred", predicted, scale, likelihood))


def _normal(system: str, file: str) -> Iterator[Deviation]:
    stored = tensors(system, file)
    predicted, scale = stored["logits"].requires_grad_(), stored["unc"].requires_grad_()
    likelihood = "unc1" in file or "MLE" in file
    soft = float(stored["softclamp"]) if "softclamp" in stored else 5.0
    clamps = NormalClamps(soft, float(stored["hardclamp"]))
    known = known_labels(stored["gt"], float(stored["nodata"]))
    given = scale if likelihood else None
    found = normal_loss(predicted, stored["gt"], known, given, clamps, variant=system, compat=True)
    yield from compare(stored, *found, _leaves("grad_logits", predicted, scale, likelihood))


def _leaves(name: str, predicted: Tensor, scale: Tensor, likelihood: bool) -> dict[str, Tensor]:
    return {name: predicted, "grad_unc": scale} if likelihood else {name: predicted}


def _register() -> None:
    for mode in ("mode0", "mode0_maxdepth3", "mode0_untrained", "mode1", "mode1_tol50", "mode2"):
        check = functools.partial(_initialisation, mode)
        golden("dsacstar", f"init loss {mode}", f"initloss_{mode}.npz")(check)
    unc, reductions = ("unc0", "unc1"), ("None", "mean")
    variants = {
        "transpose": ([f"{u}_{r}_tol{t}" for u in unc for r in reductions for t in (50, 100)], unc),
        "crossloc": ([f"{u}_{r}" for u in ("None", "MLE") for r in reductions], ("None", "MLE")),
    }
    for system, (coordinate, others) in variants.items():
        for kind, loss, names in (
            ("coord", _coordinate, coordinate),
            ("depth", _depth, others),
            ("normal", _normal, others),
        ):
            for file in (f"loss_{kind}_{name}.npz" for name in names):
                golden(system, file[:-4], file)(functools.partial(loss, system, file))


_register()


@golden("transpose", "projection and pixel errors", "loss_coord_intermediates.npz")
def intermediates() -> Iterator[Deviation]:
    stored = tensors("transpose", "loss_coord_intermediates.npz")
    points = to_camera(stored["pred"], stored["poses"])
    target = to_camera(stored["gt"], stored["poses"])
    pixels = cell_pixels(*points.shape[2:])
    error = reprojection_error(points, stored["cam_mat"], pixels, min_depth=0.1)
    yield exact("pixels", pixels.numpy(), stored["pixel_grid"].numpy())
    yield deviation("points", points.flatten(2), stored["camera_coords"], VALUE, relative=True)
    yield deviation("labels", target.flatten(2), stored["target_camera_coords"], VALUE, relative=True)
    yield deviation("pixel error", error.flatten(1), stored["repro_err"], VALUE, relative=True)


@golden("crossloc", "loss_semantics", "loss_semantics_None.npz", "loss_semantics_mean.npz")
def semantics() -> Iterator[Deviation]:
    from relpose_ros.datasets.crossloc import RAW_CLASSES

    for reduction in ("None", "mean"):
        stored = tensors("crossloc", f"loss_semantics_{reduction}.npz")
        logits = stored["logits"].requires_grad_()
        labels = stored["raw_labels"].clone().apply_(RAW_CLASSES.__getitem__)
        yield exact("classes", labels.numpy(), stored["labels"].numpy())
        yield from compare(stored, *semantics_loss(logits, labels), {"grad": logits})


def nhwc(stored: dict[str, Any], name: str) -> Tensor:
    """TensorFlow's (B, h, w, C) as (B, C, h, w)."""
    result: Tensor = stored[name].permute(0, 3, 1, 2)
    return result


def _kfnet_likelihood(file: str, limit: float | None) -> Iterator[Deviation]:
    stored = tensors("kfnet", file)
    predicted, scale = stored["pred"].requires_grad_(), stored["unc"].requires_grad_()
    maps, deviations, labels = (nhwc(stored, name) for name in ("pred", "unc", "gt"))
    known = nhwc(stored, "mask")[:, 0] > 0
    loss = filtered_coordinate_loss(maps, deviations, labels, known, limit, compat=True)
    loss.backward()
    yield deviation("loss", loss, stored["loss"], VALUE, relative=True)
    yield norm_deviation("gradient of coordinates", predicted.grad, stored["grad_pred"], GRADIENT)
    yield norm_deviation("gradient of deviations", scale.grad, stored["grad_unc"], GRADIENT)
    share = accurate_share(maps, labels, known, compat=True)
    yield deviation("accuracy", share, stored["accuracy"], 1e-6)
    everywhere = torch.ones_like(known)
    if "loss_nomask" in stored:
        loss = filtered_coordinate_loss(maps, deviations, labels, everywhere, limit)
        yield deviation("loss, all cells", loss, stored["loss_nomask"], VALUE, relative=True)
        share = accurate_share(maps, labels, everywhere)
        yield deviation("accuracy, all cells", share, stored["accuracy_nomask"], 1e-6)
    else:
        loss = squared_coordinate_loss(maps, labels, known, compat=True)
        yield deviation("squared", loss, stored["l2_loss"], VALUE, relative=True)
        yield deviation("squared's accuracy", share, stored["l2_accuracy"], 1e-6)


@golden("kfnet", "likelihood, main branch", "coord_nll_master.npz")
def kfnet_main() -> Iterator[Deviation]:
    return _kfnet_likelihood("coord_nll_master.npz", MAIN_LIMIT)


@golden("kfnet", "likelihood, branch SCoordNet", "coord_nll_scoordnet.npz")
def kfnet_scoordnet() -> Iterator[Deviation]:
    return _kfnet_likelihood("coord_nll_scoordnet.npz", None)


@golden("kfnet", "reprojection as rays, smoothness", "aux_losses.npz")
def kfnet_auxiliary() -> Iterator[Deviation]:
    stored = tensors("kfnet", "aux_losses.npz")
    known = nhwc(stored, "mask")[:, 0] > 0
    points, poses = nhwc(stored, "coord"), torch.linalg.inv(stored["world2cam"])
    loss = ray_loss(points, poses, nhwc(stored, "pixel_map"), known, compat=True)
    yield deviation("rays", loss, stored["reproj_loss"], VALUE, relative=True)
    loss = smoothness_loss(points, poses, nhwc(stored, "image_small"), known, compat=True)
    yield deviation("smoothness", loss, stored["smooth_loss"], VALUE, relative=True)
