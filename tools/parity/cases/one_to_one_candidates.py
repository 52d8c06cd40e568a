"""ConvMatch, ConvMatch+, CLNet and the one-to-one networks: names, logits, losses, gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relpose_ros.networks.base import Network
from relpose_ros.networks.one_to_one.candidates import CandidateNetwork
from relpose_ros.networks.one_to_one.clnet import CLNet
from relpose_ros.networks.one_to_one.cnn import OneToOneCNN
from relpose_ros.networks.one_to_one.convmatch import ConvMatch
from relpose_ros.networks.one_to_one.convmatch_plus import ConvMatchPlus
from relpose_ros.networks.one_to_one.eot import EOT
from relpose_ros.networks.one_to_one.epipolar import symmetric_epipolar_distance
from relpose_ros.networks.one_to_one.experiments import cnn_parameters, eot_parameters
from relpose_ros.networks.one_to_one.motion_field import cell_centres
from relpose_training.losses.candidate_feedback import feedback_loss, pose_gradient
from relpose_training.losses.essential_matrix import essential_from_pose, essential_loss, geometric_loss
from relpose_training.losses.pruning import level_distances, pruning_classification_loss
from relpose_training.losses.two_view import TwoViewTruth, stage_loss
from tools.parity.case import Deviation, deviation, exact, golden, load, norm_deviation
from tools.parity.cases.one_to_one_n_to_n import (
    INPUTS,
    REPORT,
    SYSTEM,
    Arrays,
    compare_losses,
    compare_report,
    compare_training,
    correspondences,
    document,
    filled,
    truth,
)

FLOAT64 = 1e-7
CONVMATCH: dict[str, type[ConvMatch]] = {"convmatch": ConvMatch, "convmatch_plus": ConvMatchPlus}


def compare_convmatch(name: str, mode: str) -> Iterator[Deviation]:
    """Logits of all layers, losses, gradients."""
    stored = load(SYSTEM, f"model_{name}_{mode}.npz")
    training = mode == "train"
    network = filled(CONVMATCH[name](compat=True)).double().train(training)
    logits = network(correspondences(4, torch.float64))
    for i, layer in enumerate(logits):
        yield deviation(f"float64 logits {i}", layer, stored[f"logits{i}_f64"], FLOAT64)
    noisy = name == "convmatch_plus" and training
    if training:
        yield from compare_training(network, logits, stored, GRADIENTS[name])
    if not noisy:
        single = filled(CONVMATCH[name](compat=True)).train(training)
        with torch.no_grad():
            for i, layer in enumerate(single(correspondences(4, torch.float32))):
                yield deviation(f"float32 logits {i}", layer, stored[f"logits{i}"], 1e-3)
    yield from compare_losses(stored, len(logits))
    yield from compare_report(document(REPORT)[f"{name}_{mode}"], logits, stored, len(logits) - 1)


GRADIENTS = {"convmatch": 1e-3, "convmatch_plus": 0.3}
"""The goldens' gradients are float32's. In training ConvMatch+ amplifies rounding from layer to layer: the
original's float32 logits are 9e-3 off its float64 ones, and our gradients of both kinds differ by 0.34."""


def compare_clnet(mode: str) -> Iterator[Deviation]:
    """Logits of all levels, what is kept, the essential matrix, losses, gradients."""
    stored = load(SYSTEM, f"model_CLNet_{mode}.npz")
    network = filled(CLNet()).double().train(mode == "train")
    outputs = network(correspondences(4, torch.float64))
    for i, logits in enumerate(outputs[:5]):
        yield deviation(f"float64 logits {i}", logits, stored[f"logits{i}_f64"], FLOAT64)
    cosine = (outputs[7].flatten(1).detach() * torch.from_numpy(stored["e_hat_f64"])).sum(dim=1).abs()
    yield deviation("essential matrices, cosine", cosine, np.ones(3), 1e-12)
    kept = [np.argsort(-stored[f"logits{level}"], axis=1) for level in (1, 3)]
    yield from compare_kept(stored, kept[0][:, :128], kept[1][:, :64])
    yield from compare_clnet_losses(stored, document(REPORT)[f"CLNet_{mode}"], outputs)
    total = clnet_loss(outputs)
    total.backward()
    parameters = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    yield exact("parameters with a gradient", sorted(parameters), sorted(stored["grad_norm_keys"].tolist()))
    norms = np.array([float(parameters[key].norm()) for key in stored["grad_norm_keys"].tolist()])
    yield norm_deviation("gradient norms", norms, stored["grad_norms"], 1e-3)


def compare_kept(stored: Arrays, first: np.ndarray, second: np.ndarray) -> Iterator[Deviation]:
    """The correspondences that the golden's own float32 logits keep; `first`, `second` index their level."""
    known = truth(torch.float32)
    kept_1 = torch.from_numpy(first)
    kept_2 = kept_1.gather(1, torch.from_numpy(second))
    given = correspondences(4, torch.float32)
    levels = level_distances(known.distances, kept_1, kept_2)
    for level, kept in ((2, kept_1), (3, kept_1), (4, kept_2)):
        points = given.gather(1, kept.unsqueeze(2).expand(-1, -1, 4))
        yield exact(f"kept at level {level}", points, stored[f"xds{level}"][:, 0])
        yield exact(f"their distances {level}", levels[level], stored[f"yds{level}"])


def compare_clnet_losses(
    stored: Arrays, report: dict[str, float], outputs: tuple[Tensor, ...]
) -> Iterator[Deviation]:
    """The losses of the golden's own float32 outputs."""
    known = truth(torch.float32)
    distances = [known.distances] * 2 + [torch.from_numpy(stored[f"yds{i}"]) for i in (2, 3, 4)]
    logits = [torch.from_numpy(stored[f"logits{i}"]) for i in range(5)]
    classification = pruning_classification_loss(logits, distances)
    yield deviation("classification", classification, stored["classif_loss"], 1e-5, relative=True)
    estimate = torch.from_numpy(stored["e_hat"]).unflatten(1, (3, 3))
    geometric = geometric_loss(estimate, known.virtual_points)
    yield deviation("geometric", geometric, stored["essential_loss"], 1e-5)
    regression = essential_loss(estimate, essential_from_pose(known.rotation, known.translation))
    yield deviation("essential", regression, stored["l2_loss"], 1e-5)
    distance = symmetric_epipolar_distance(estimate, correspondences(4, torch.float32))
    yield deviation("distances", distance, stored["y_hat"], 1e-5, relative=True)
    for ours, theirs in (("cls", "classif_loss"), ("geo", "essential_loss"), ("ess", "l2_loss")):
        yield deviation(f"report: {ours}", report[ours], stored[theirs], FLOAT64)
    gaps = [float(np.abs(stored[f"logits{i}"] - stored[f"logits{i}_f64"]).max()) for i in range(5)]
    yield deviation("report: float32 noise", max(gaps), report["max_abs_f32_f64"], 1e-6)


def clnet_loss(outputs: tuple[Tensor, ...]) -> Tensor:
    """CLNet's loss of its own outputs."""
    known = truth(torch.float64)
    levels = level_distances(known.distances, outputs[5], outputs[6])
    classification = pruning_classification_loss(outputs[:5], levels)
    return classification + 0.5 * geometric_loss(outputs[7], known.virtual_points)


def compare_cnn(number: int, inputs: str, file: str) -> Iterator[Deviation]:
    """A CNN experiment for 512 correspondences."""
    network = OneToOneCNN(**cnn_parameters(number, 512))
    return compare_candidates(network, inputs, file, f"CNN_exp{number}_N512")


def compare_eot(number: int, inputs: str, file: str) -> Iterator[Deviation]:
    """An EOT experiment."""
    return compare_candidates(EOT(**eot_parameters(number)), inputs, file, f"EOT_exp{number}")


def compare_candidates(network: CandidateNetwork, inputs: str, file: str, report: str) -> Iterator[Deviation]:
    """Logits and features of a one-to-one network."""
    given, stored = load(SYSTEM, inputs), load(SYSTEM, file)
    context = torch.from_numpy(given["context"]).unsqueeze(0)
    candidates = context[:, given["candidates"]]
    features: list[Tensor] = []
    for block in network.net:
        block.register_forward_hook(lambda *call: features.append(call[2]))
    with torch.no_grad():
        (logits,) = filled(network).eval()(context, candidates)
    yield deviation("logits", logits[0], stored["logits"][:, 0], 1e-4)
    for i in (0, 1):
        ours = features[i][0].permute(2, 0, 1)[:, :8, :16]
        yield deviation(f"features {i}", ours, stored[f"block{i}_slice"], 1e-4)
    if "last_block" in stored:
        last = features[-1][0, :, 0].mT
        yield deviation("last features", last, stored["last_block"], 1e-4, relative=True)
    noise = report_of(report)["max_abs_f32_f64"] + 1e-5
    yield deviation("report: largest logit", logits.abs().max(), report_of(report)["absmax"], noise)


def report_of(name: str) -> dict[str, float]:
    """The original's own statistics of one model."""
    entry: dict[str, float] = document(REPORT)[name]
    return entry


def register(what: str, check: Callable[[], Iterator[Deviation]], *files: str) -> None:
    """One row of the table."""
    golden(SYSTEM, what, *files, REPORT)(check)


for _name in CONVMATCH:
    for _mode in ("eval", "train"):
        _file = f"model_{_name}_{_mode}.npz"
        register(f"{_name} {_mode}", partial(compare_convmatch, _name, _mode), _file, INPUTS)
for _mode in ("eval", "train"):
    register(f"CLNet {_mode}", partial(compare_clnet, _mode), f"model_CLNet_{_mode}.npz", INPUTS)
for _number in (0, 100):
    _files = "inputs_11_N512.npz", f"model_CNN_cont_exp{_number}_N512.npz"
    _check = partial(compare_cnn, _number, *_files)
    register(f"CNN one-to-one, experiment {_number}", _check, *_files)
for _number in (21, 31):
    _files = "inputs_11_N2048.npz", f"model_EOT_exp{_number}_N2048.npz"
    register(f"EOT, experiment {_number}", partial(compare_eot, _number, *_files), *_files)


@golden(SYSTEM, "cells of ConvMatch", "convmatch_grid.npz")
def grid() -> Iterator[Deviation]:
    stored = load(SYSTEM, "convmatch_grid.npz")
    for compat, name in ((True, "grid_cpu_tpu"), (False, "grid_cuda")):
        with torch.device("meta"):
            margin = ConvMatch(compat=compat).margin
        yield deviation(name, cell_centres(margin, torch.zeros(1)), stored[name], FLOAT64)


@golden(SYSTEM, "names and shapes: ConvMatch, CLNet, CNN, EOT", "keys.json")
def names() -> Iterator[Deviation]:
    stored = document("keys.json")
    for name, cls in {**CONVMATCH, "CLNet": CLNet}.items():
        yield from compare_names(name, cls, {}, stored)
    for name in stored:
        parts = name.split("_")
        if name.startswith("model_CNN"):
            yield from compare_names(name, OneToOneCNN, cnn_parameters(*numbers(parts[3:5])), stored)
        elif name.startswith("model_EOT"):
            yield from compare_names(name, EOT, eot_parameters(*numbers(parts[2:3])), stored)


def numbers(parts: list[str]) -> list[int]:
    """exp100 and N512 as 100 and 512."""
    return [int("".join(filter(str.isdigit, part))) for part in parts]


def compare_names(
    name: str, cls: type[Network], parameters: dict[str, Any], stored: dict[str, Any]
) -> Iterator[Deviation]:
    """State-dict names and shapes where they are stored, else the number of parameters."""
    with torch.device("meta"):
        network = cls(**parameters)
    count = sum(p.numel() for p in network.parameters())
    yield exact(f"{name}: parameters", count, stored[name]["n_params"])
    if "keys" in stored[name]:
        shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
        yield exact(f"{name}: names and shapes", shapes, stored[name]["keys"])


@golden(
    SYSTEM,
    "weights by rule: ConvMatch, CLNet",
    *("param_checksums_CLNet_plain.json", "param_checksums_convmatch_plain.json"),
)
def weights() -> Iterator[Deviation]:
    for name, network in (("CLNet", CLNet()), ("convmatch", ConvMatch())):
        state = filled(network).state_dict()
        for key, stored in document(f"param_checksums_{name}_plain.json").items():
            flat = state[key].double().flatten()
            ours = [float(flat.sum()), *flat[:3].tolist()]
            yield exact(f"{key}: shape", list(state[key].shape), stored["shape"])
            yield deviation(key, ours, [stored["sum"], *stored["first"]], FLOAT64)


@golden(SYSTEM, "losses of candidates", "losses_11.npz", "inputs_11_N512.npz")
def losses() -> Iterator[Deviation]:
    stored, given = load(SYSTEM, "losses_11.npz"), load(SYSTEM, "inputs_11_N512.npz")
    for name, value in (("xs", given["context"][None, :, :4]), *((n, given[n]) for n in ("ys", "R", "t"))):
        yield exact(f"input {name}", value, stored[name])
    points, virtual = (torch.from_numpy(stored[n]).reshape(1, -1, 4) for n in ("xs", "virtPt"))
    distances, leaf = (torch.from_numpy(stored[n]).reshape(1, -1) for n in ("ys", "logits"))
    rotation, translation = torch.from_numpy(stored["R"])[None], torch.from_numpy(stored["t"]).T
    known = TwoViewTruth(distances, rotation, translation, virtual)
    loss = stage_loss(leaf.requires_grad_(), points, known, compat=True)
    cosine = (loss.estimate.detach().flatten(1) * torch.from_numpy(stored["e_hat"])).sum().abs()
    yield deviation("essential matrix, cosine", cosine, 1.0, 1e-6)
    for name, term in (("cls", loss.classification), ("geo", loss.geometric), ("ess", loss.essential)):
        yield deviation(name, term, stored[name], 1e-5)
        (gradient,) = torch.autograd.grad(term, leaf, retain_graph=True)
        tolerance = 1e-5 if name == "cls" else 1e-3
        yield norm_deviation(f"gradient of {name}", gradient[0], stored[f"grad_{name}"][:, 0], tolerance)
    geometric, gradient = pose_gradient(leaf, points, virtual)
    yield deviation("geometric, apart", geometric, stored["geo"], 1e-5)
    feedback = feedback_loss(leaf.detach(), distances, gradient, step=0.01)
    yield deviation("feedback", feedback, stored["feedback_loss"], 1e-7)
