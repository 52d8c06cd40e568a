"""The published training of correspondence classifiers, written down as plainly as possible.

No code is shared with relpose_training: one pair after the other, eigenvectors by torch's own eigh and its
own gradient, the one-to-one input repeated N times, and the loop of a tutorial.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

Batch = dict[str, Tensor]
THRESHOLD = 1e-4


@dataclass
class Run:
    """At each step: the loss, the gradient of every parameter, and its value after the step."""

    losses: list[float] = field(default_factory=list)
    gradients: list[Batch] = field(default_factory=list)
    weights: list[Batch] = field(default_factory=list)


def run_plainly(
    network: nn.Module,
    loss: Callable[[], Tensor],
    optimizer: torch.optim.Optimizer,
    steps: int,
    follow: Run | None = None,
) -> Run:
    """Several steps on one batch, which `loss` knows.

    `follow`: another run, whose values are taken over before each step and whose gradients are given to
    the optimizer: each step is then compared for itself, however much the steps after it would amplify.
    """
    run = Run()
    network.train()
    for step in range(steps):
        if follow is not None and step:
            _put(network, follow.weights[step - 1])
        optimizer.zero_grad()
        value = loss()
        value.backward()
        run.losses.append(float(value.detach()))
        run.gradients.append(gradients_of(network))
        if follow is not None:
            for name, gradient in follow.gradients[step].items():
                network.get_parameter(name).grad = gradient.clone()
        optimizer.step()
        run.weights.append(weights_of(network))
    return run


@torch.no_grad()
def _put(network: nn.Module, weights: Batch) -> None:
    for name, value in weights.items():
        network.get_parameter(name).copy_(value)


def weights_of(network: nn.Module) -> Batch:
    """The values of all parameters."""
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def gradients_of(network: nn.Module) -> Batch:
    """The gradients that there are, by parameter."""
    return {n: p.grad.detach().clone() for n, p in network.named_parameters() if p.grad is not None}


def staged_loss(logits: tuple[Tensor, ...], batch: Batch) -> Tensor:
    """Sum over stages of classification + 0.5 geometric."""
    total = torch.zeros((), dtype=torch.float64)
    for stage in logits:
        pairs = range(len(stage))
        classified = [classification(stage[b], batch["labels_distance"][b]) for b in pairs]
        held = [geometric(eight_point(stage[b], batch["correspondences"][b]), batch, b) for b in pairs]
        total = total + sum(classified) / len(pairs) + 0.5 * sum(held) / len(pairs)
    return total


def classification(logits: Tensor, distances: Tensor) -> Tensor:
    """-log(sigmoid(c logit) + 2.2e-16), half for the inliers of a pair and half for its outliers."""
    inlier = distances < THRESHOLD
    losses = [
        -torch.log(torch.sigmoid(sign * logits[mask]) + 2.2e-16).sum() / max(int(mask.sum()), 1)
        for sign, mask in ((1, inlier), (-1, ~inlier))
    ]
    return 0.5 * losses[0] + 0.5 * losses[1]


def eight_point(logits: Tensor, correspondences: Tensor) -> Tensor:
    """E (3, 3) from relu(tanh(logit)) weights."""
    x1, y1, x2, y2 = correspondences[:, :4].T
    one = torch.ones_like(x1)
    rows = torch.stack([x2 * x1, x2 * y1, x2, y2 * x1, y2 * y1, y2, x1, y1, one], dim=1)
    weights = torch.relu(torch.tanh(logits))
    _, vectors = torch.linalg.eigh(rows.T @ torch.diag(weights) @ rows)
    essential: Tensor = vectors[:, 0].reshape(3, 3)
    return essential


def geometric(essential: Tensor, batch: Batch, pair: int) -> Tensor:
    """Mean of min(symmetric epipolar distance, 0.1) of the virtual points."""
    points = batch["virtual_points"][pair]
    one = torch.ones_like(points[:, :1])
    first, second = torch.cat([points[:, :2], one], 1), torch.cat([points[:, 2:], one], 1)
    line_2, line_1 = first @ essential.T, second @ essential
    error = (second * line_2).sum(1) ** 2
    distance = error / (line_2[:, 0] ** 2 + line_2[:, 1] ** 2 + 1e-15)
    distance = distance + error / (line_1[:, 0] ** 2 + line_1[:, 1] ** 2 + 1e-15)
    mean: Tensor = distance.clamp(max=0.1).mean()
    return mean


def clnet_loss(outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
    """Five levels of weighted cross-entropy + 0.5 geometric."""
    kept = (None, None, outputs[5], outputs[5], outputs[6])
    pairs = range(len(outputs[0]))
    total = torch.zeros((), dtype=torch.float64)
    for level, chosen in zip(outputs[:5], kept, strict=True):
        for b in pairs:
            distances = batch["labels_distance"][b]
            distances = distances if chosen is None else distances[chosen[b]]
            total = total + _level(level[b], distances) / len(pairs)
    return total + 0.5 * sum(geometric(outputs[7][b], batch, b) for b in pairs) / len(pairs)


def _level(logits: Tensor, distances: Tensor) -> Tensor:
    inlier = (distances < THRESHOLD).to(logits.dtype)
    surer = torch.where(inlier > 0, torch.exp(-(distances - THRESHOLD).abs() / THRESHOLD), 1.0)
    ratio = torch.clamp((1 - inlier).sum() / torch.clamp(inlier.sum(), min=1), min=1)
    return functional.binary_cross_entropy_with_logits(surer * logits, inlier, pos_weight=ratio)


def candidate_logits(network: nn.Module, context: Tensor, size: int) -> Tensor:
    """Logits (1, N) of a strided one-to-one CNN from its published input, `size` candidates in a batch."""
    state = dict(network.named_parameters())
    blocks = sum(name.endswith("channel_expansion.norm.weight") for name in state)
    logits = []
    for candidates in context.split(size):
        x = torch.stack(
            [context.expand(len(candidates), *context.shape), _repeated(candidates, len(context))], 1
        )
        x = _normalised(
            functional.conv2d(x, state["net.0.width_reduction.conv2d.weight"]), state, "net.0.width_reduction"
        )
        for i in range(1, blocks + 1):
            for part, stride in (("height_reductions", (2, 1)), ("channel_expansion", 1)):
                name = f"net.{i}.{part}"
                x = _normalised(
                    functional.conv2d(x, state[f"{name}.conv2d.weight"], stride=stride), state, name
                )
        hidden = torch.relu(functional.linear(x.flatten(1), state["fc1.weight"], state["fc1.bias"]))
        logits.append(functional.linear(hidden, state["fc2.weight"], state["fc2.bias"])[:, 0])
    return torch.cat(logits)[None]


def _repeated(candidates: Tensor, times: int) -> Tensor:
    return candidates[:, None].expand(-1, times, -1)


def _normalised(x: Tensor, state: dict[str, nn.Parameter], name: str) -> Tensor:
    scale, shift = state[f"{name}.norm.weight"], state[f"{name}.norm.bias"]
    return torch.relu(functional.batch_norm(x, None, None, scale, shift, training=True))
