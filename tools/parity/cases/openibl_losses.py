"""OpenIBL: triplet, SARE and SFRS losses, and the gradients that they give the networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.networks.retrieval.embed import EmbedNet
from relpose_ros.networks.retrieval.max_pool import MaxPoolNet
from relpose_ros.networks.retrieval.region import EmbedRegionNet, RegionSimilarities
from relpose_training.losses.sare import sare_ind_loss, sare_joint_loss
from relpose_training.losses.sfrs import SfrsOptions, sfrs_loss
from relpose_training.losses.triplet import triplet_loss
from tools.parity.case import Deviation, deviation, exact, golden, load, norm_deviation
from tools.parity.cases.openibl_networks import filled, picture

Arrays = dict[str, NDArray[Any]]

LOSS = 1e-5
GRADIENT = 1e-3
"""Tolerances of goldens/openibl/README.md, that of gradients relative in norm."""

PLAIN: dict[str, Callable[..., Tensor]] = {
    "triplet": triplet_loss,
    "sare_joint": sare_joint_loss,
    "sare_ind": sare_ind_loss,
}
TEMPERATURES = (0.07, 0.07, 0.06, 0.05)


@golden("openibl", "triplet and SARE, with gradients", "losses.npz")
def plain_losses() -> Iterator[Deviation]:
    ref = load("openibl", "losses.npz")
    root, dot = 0.1**0.5, {"temperature": TEMPERATURES[0]}
    cases: dict[str, tuple[str, dict[str, float]]] = {
        "baseline_triplet_m0.316": ("triplet", {"margin": root}),
        "baseline_triplet_m0.300": ("triplet", {"margin": 0.3}),
        "baseline_sare_joint_m0.316": ("sare_joint", {}),
        "baseline_sare_ind_m0.316": ("sare_ind", {}),
        "sfrs_triplet": ("triplet", {"margin": root}),
        "sfrs_sare_joint": ("sare_joint", dot),
        "sfrs_sare_ind": ("sare_ind", dot),
    }
    for name, (loss, options) in cases.items():
        desc = torch.from_numpy(ref["desc"]).requires_grad_()
        value = PLAIN[loss](desc[:, 0], desc[:, 1], desc[:, 2:], **options)
        value.backward()
        yield deviation(name, value, ref[name], LOSS)
        yield norm_deviation(f"{name} gradient", desc.grad, ref[f"{name}_grad"], GRADIENT)


def _similarities(anchors: Tensor, others: Tensor) -> RegionSimilarities:
    return RegionSimilarities(anchors @ others.transpose(2, 3), anchors, others)


@golden("openibl", "SFRS hard and soft, four generations, with gradients", "losses.npz")
def sfrs_losses() -> Iterator[Deviation]:
    ref = load("openibl", "losses.npz")
    anchor, teacher = (torch.from_numpy(ref[f"sfrs_vlad_{k}"]) for k in ("A", "B_diff_teacher"))
    compared = _similarities(anchor, torch.from_numpy(ref["sfrs_vlad_B_easy"]))
    yield deviation("scores", compared.scores, ref["sfrs_score_easy"], LOSS)
    teacher_scores = _similarities(anchor, teacher).scores
    for hard in PLAIN:
        options = SfrsOptions(hard, TEMPERATURES)
        for generation in range(len(TEMPERATURES)):
            easy, difficult = (
                torch.from_numpy(ref[f"sfrs_vlad_B_{k}"]).requires_grad_() for k in ("easy", "diff")
            )
            pair = (_similarities(anchor, easy), _similarities(anchor, difficult))
            loss = sfrs_loss(*pair, teacher_scores, generation, options)
            (loss.hard + 0.5 * loss.soft).backward()
            name = f"sfrs_fwd_{hard}_gen{generation}"
            yield deviation(f"{name}_hard", loss.hard, ref[f"{name}_hard"], LOSS)
            yield deviation(f"{name}_soft", loss.soft, ref[f"{name}_soft"], LOSS)
            yield norm_deviation(f"{name}_grad_easy", easy.grad, ref[f"{name}_grad_easy"], GRADIENT)
            yield norm_deviation(f"{name}_grad_diff", difficult.grad, ref[f"{name}_grad_diff"], GRADIENT)


def _gradients(name: str, network: Any, ref: Arrays) -> Iterator[Deviation]:
    """Norm and first 32 values of every trained parameter's gradient.

    One of them is zero but for rounding (distances of maxima do not change with the last bias): there both
    sides have only to be small beside the other gradients.
    """
    norms = _part(ref, f"{name}|gradnorm|")
    heads = _part(ref, f"{name}|gradhead|")
    small = 1e-6 * max(float(v) for v in norms.values())
    ours = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    yield exact(f"{name} trained", sorted(ours), sorted(norms))
    for parameter, gradient in ours.items():
        norm, what = norms[parameter], f"{name} {parameter}"
        if norm < small:
            yield deviation(f"|{what}|", gradient.norm(), norm, small)
            continue
        yield deviation(f"|{what}|", gradient.norm(), norm, GRADIENT, relative=True)
        yield norm_deviation(what, gradient.flatten()[:32], heads[parameter], GRADIENT)


def _part(ref: Arrays, prefix: str) -> Arrays:
    return {name[len(prefix) :]: value for name, value in ref.items() if name.startswith(prefix)}


def _step(
    name: str, network: Any, images: Tensor, output: int, loss: str, ref: Arrays
) -> Iterator[Deviation]:
    """One backward pass of anchor, positive and negatives through a network trained from conv5 on."""
    network.base_model.train_from("conv5")
    network.zero_grad()
    desc = network(images[0])[output]
    value = PLAIN[loss](desc[:1], desc[1:2], desc[None, 2:])
    value.backward()
    yield deviation(name, value, ref[f"{name}|loss"], LOSS)
    yield from _gradients(name, network, ref)


@golden("openibl", "gradients of EmbedNet, baseline losses", "grads.npz")
def baseline_gradients() -> Iterator[Deviation]:
    ref, network = load("openibl", "grads.npz"), filled(EmbedNet)
    images = picture("openibl.grad.x", 1, 5, 3, 64, 64)
    for loss in PLAIN:
        yield from _step(loss, network, images, 1, loss, ref)
    pooled = filled(MaxPoolNet, compat=True)
    yield from _step("triplet_maxpool_xscaled_0.01", pooled, images * 0.01, 0, "triplet", ref)


@golden("openibl", "gradients of EmbedRegionNet, SFRS generations", "grads.npz")
def sfrs_gradients() -> Iterator[Deviation]:
    ref = load("openibl", "grads.npz")
    student, teacher = filled(EmbedRegionNet), filled(EmbedRegionNet, "teacher.")
    student.base_model.train_from("conv5")
    easy_images = picture("openibl.grad.easy", 1, 5, 3, 64, 64)[0]
    difficult_images = picture("openibl.grad.diff", 1, 4, 3, 64, 64)[0]
    difficult_images[0] = easy_images[0]
    with torch.no_grad():
        teacher_scores = teacher.compare_regions(difficult_images).scores
    for generation in range(len(TEMPERATURES)):
        student.zero_grad()
        pair = (student.compare_regions(easy_images), student.compare_regions(difficult_images))
        loss = sfrs_loss(*pair, teacher_scores, generation)
        total = loss.hard + 0.5 * loss.soft
        total.backward()
        name = f"sfrs_gen{generation}"
        for part, value in {"hard": loss.hard, "soft": loss.soft, "loss": total}.items():
            yield deviation(f"{name} {part}", value, ref[f"{name}|{part}"], LOSS)
        yield from _gradients(name, student, ref)
