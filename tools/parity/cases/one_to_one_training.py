"""Several steps of the recipe one_to_one by the engine, and by a plain loop of the published settings."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from relpose_ros.networks.base import Network
from relpose_ros.networks.registry import build_network
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import METRICS, read_metrics
from relpose_training.engine.loop import train
from relpose_training.recipes.one_to_one.config import OneToOneConfig
from relpose_training.recipes.one_to_one.models import network_of
from relpose_training.recipes.one_to_one.module import CorrespondenceModule, make_module
from relpose_training.recipes.one_to_one.recipe import OneToOneRecipe
from tools.parity.case import Deviation, deviation, exact, golden, load, norm_deviation
from tools.parity.cases.one_to_one_n_to_n import GRADIENTS, INPUTS, SYSTEM, correspondences, filled, truth
from tools.parity.plain_one_to_one import (
    Batch,
    Run,
    candidate_logits,
    clnet_loss,
    gradients_of,
    run_plainly,
    staged_loss,
    weights_of,
)

STEPS = 4
LOSS, UPDATE = 1e-8, 1e-14

GRADIENT = 1e-6
"""Relative. Our gradient of an eigenvector takes gaps between eigenvalues to be 1e-10 of the trace wider."""

FREE = 1e-6
"""For networks that do not amplify, of everything after several steps that start from the same weights."""


class Finished(Exception):  # noqa: N818
    """Enough steps: a run that ends is validated and draws its curves, which take longer than the steps."""


class GoldenPairs(Dataset):
    """The pairs of one batch."""

    def __init__(self, batch: Batch) -> None:
        self.batch = {name: value.numpy() for name, value in batch.items()}

    def group_sizes(self) -> list[int]:
        return [len(self.batch["R"])]

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        return {name: value[item] for name, value in self.batch.items()}


class GoldenRecipe(OneToOneRecipe):
    """The recipe in float64, with the weights and the batch of a golden."""

    def __init__(self, config: OneToOneConfig, batch: Batch) -> None:
        super().__init__(config)
        self.pairs = GoldenPairs(batch)

    def module(self) -> CorrespondenceModule:
        return make_module(network_for(self.config), self.config)

    def training_data(self, place: Place) -> Any:
        return self.pairs

    def validation_data(self, place: Place) -> Any:
        return self.pairs

    def checkpoint(self) -> dict[str, Any]:
        return {"network": network_of(self.config)[0]}


class RecordingDevice(TorchDevice):
    """The CPU, which keeps gradients and weights, and stops in the step after the last."""

    def __init__(self) -> None:
        super().__init__("cpu", Place())
        self.run = Run()

    def wrap(self, module: torch.nn.Module) -> torch.nn.Module:
        assert isinstance(module, CorrespondenceModule)
        self.network = module.network
        return super().wrap(module)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        if len(self.run.weights) == STEPS:
            raise Finished
        self.run.gradients.append(gradients_of(self.network))
        super().step(optimizer)
        self.run.weights.append(weights_of(self.network))


def network_for(config: OneToOneConfig) -> Network:
    """The network of a configuration with the weights of the rule."""
    name, parameters = network_of(config)
    return filled(build_network(name, **parameters)).double()


def run_engine(config: OneToOneConfig, batch: Batch) -> Run:
    """The same steps by the engine's own loop."""
    device = RecordingDevice()
    with suppress(Finished):
        train(GoldenRecipe(config, batch), device)
    device.run.losses = [line["loss"] for line in read_metrics(Path(config.out) / METRICS)]
    return device.run


def make_config(folder: Path, batch: Batch, settings: dict[str, Any]) -> OneToOneConfig:
    """One step more than is compared, on all pairs at once."""
    common: dict[str, Any] = {"data": "golden", "regression_start": 0, "compat": True, "log_every": 1}
    pairs = len(batch["R"])
    return OneToOneConfig(out=folder, batch_size=pairs, steps=STEPS + 1, **{**common, **settings})


def compare(
    settings: dict[str, Any], batch: Batch, loss: Callable[[Network], Tensor], free: bool
) -> Iterator[Deviation | Run]:
    """Every step of the engine, each for itself and, if `free`, all in a row; then the engine's run."""
    with tempfile.TemporaryDirectory() as folder:
        config = make_config(Path(folder), batch, settings)
        ours = run_engine(config, batch)
    for follow in (ours, None)[: 1 + free]:
        network = network_for(config)
        optimizer = published_optimizer(config, network)
        plain = run_plainly(network, partial(loss, network), optimizer, STEPS, follow)
        tolerances = (LOSS, GRADIENT, UPDATE) if follow else (FREE, FREE, FREE)
        yield from compare_runs(ours, plain, "each step" if follow else "in a row", tolerances)
    yield ours


def published_optimizer(config: OneToOneConfig, network: Network) -> torch.optim.Optimizer:
    """Adam as it comes, or SGD with momentum 0.9."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), lr=config.learning_rate, momentum=0.9)
    return torch.optim.Adam(network.parameters(), lr=config.learning_rate)


def compare_runs(
    ours: Run, plain: Run, label: str, tolerances: tuple[float, float, float]
) -> Iterator[Deviation]:
    """Losses, gradients and weights of all steps."""
    loss, gradient, update = tolerances
    yield deviation(f"{label}: losses", ours.losses, plain.losses, loss, relative=True)
    for step in range(STEPS):
        mine, theirs = ours.gradients[step], plain.gradients[step]
        yield exact(f"{label}, {step}: parameters with a gradient", sorted(mine), sorted(theirs))
        yield norm_deviation(f"{label}, {step}: gradient", _flat(mine), _flat(theirs), gradient)
        mine, theirs = ours.weights[step], plain.weights[step]
        yield norm_deviation(f"{label}, {step}: weights", _flat(mine), _flat(theirs), update)


def _flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([tensors[name].double().flatten() for name in sorted(tensors)])


def golden_pairs(width: int) -> Batch:
    """The three synthetic pairs as a batch of the recipe."""
    known = truth(torch.float64)
    return {
        "correspondences": correspondences(width, torch.float64),
        "labels_distance": known.distances,
        "R": known.rotation,
        "t": known.translation,
        "virtual_points": known.virtual_points,
    }


def compare_set(settings: dict[str, Any], file: str, width: int, noise: float) -> Iterator[Deviation]:
    """A network of whole sets; its first step also against the golden's own loss and gradient norms.

    `noise`: of the golden, where an eight-point solution is fed back.
    """
    batch = golden_pairs(width)
    plain = clnet_loss if settings["model"] == "clnet" else staged_loss
    common = {"correspondences": 256, "optimizer": "adam", **settings}

    def loss(network: Network) -> Tensor:
        return plain(network(batch["correspondences"]), batch)

    for found in compare(common, batch, loss, free=noise < GRADIENTS[True]):
        if isinstance(found, Run):
            yield from compare_first(found, load(SYSTEM, file), noise)
        else:
            yield found


def compare_first(run: Run, stored: dict[str, Any], noise: float) -> Iterator[Deviation]:
    """The first step's loss and gradient norms against those of the original."""
    if "total_geo_loss_mode" in stored:
        total = stored["total_geo_loss_mode"]
    else:
        total = stored["classif_loss"] + 0.5 * stored["essential_loss"]
    yield deviation("step 0: loss of the original", run.losses[0], total, noise, relative=True)
    norms = np.array([_norm(run.gradients[0], key) for key in stored["grad_norm_keys"].tolist()])
    yield norm_deviation("step 0: gradient norms of the original", norms, stored["grad_norms"], noise)


def _norm(gradients: dict[str, Tensor], key: str) -> float:
    return float(gradients[key].norm()) if key in gradients else 0.0


def register(name: str, width: int, noise: float, **settings: Any) -> None:
    """One row of the table."""
    file = f"model_{name}_train.npz"
    check = partial(compare_set, settings, file, width, noise)
    golden(SYSTEM, f"{STEPS} steps of {name}", file, INPUTS)(check)


register("LTFGC_w6", 6, GRADIENTS[False], model="ltfgc", learning_rate=1e-4)
register("OANET_Iter_w6", 6, GRADIENTS[True], model="oanet_iter", learning_rate=1e-4)
# At 1e-3 its second step leaves pairs with three positive weights, whose essential matrix is arbitrary.
register("MS2DGNET_w4", 4, GRADIENTS[True], model="ms2dgnet", side_information=False, learning_rate=1e-4)
register("CLNet", 4, GRADIENTS[False], model="clnet", learning_rate=1e-3)


@golden(
    SYSTEM, f"{STEPS} steps of a CNN one-to-one, 64 candidates at once", "losses_11.npz", "inputs_11_N512.npz"
)
def cnn() -> Iterator[Deviation]:
    stored = load(SYSTEM, "losses_11.npz")
    context = torch.from_numpy(load(SYSTEM, "inputs_11_N512.npz")["context"]).double()
    shapes = {"R": (1, 3, 3), "t": (1, 3), "virtPt": (1, 400, 4), "ys": (1, 512)}
    known = {name: torch.from_numpy(stored[name]).double().reshape(shape) for name, shape in shapes.items()}
    batch = {
        "correspondences": context[None],
        "labels_distance": known["ys"],
        "R": known["R"],
        "t": known["t"],
        "virtual_points": known["virtPt"],
    }
    channels = (4, 6, 8, 8, 8, 12, 12, 12, 16, 16)
    settings = {"model": "cnn_given", "channels": channels, "correspondences": 512, "candidates": 64}
    published = {"optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9}

    def loss(network: Network) -> Tensor:
        return staged_loss((candidate_logits(network, context, 64),), batch)

    for found in compare({**settings, **published}, batch, loss, free=False):
        if not isinstance(found, Run):
            yield found
