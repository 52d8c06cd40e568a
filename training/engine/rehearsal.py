"""What a run would be: sizes, plan, and what one step costs. Nothing is written."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import torch

from relpose_training.engine.device import Device
from relpose_training.engine.loop import Meter, Trainer
from relpose_training.engine.recipe import Recipe

TIMED_STEPS = 3


def rehearse(recipe: Recipe[Any], device: Device) -> dict[str, str]:
    """Facts of a run, by name: it is set up as a real one is, and takes some steps that nobody keeps."""
    trainer = Trainer(recipe, device, rehearsal=True)
    config = recipe.config
    groups = recipe.training_data(device.place).group_sizes()
    checked = recipe.validation_data(device.place).group_sizes()
    devices = device.place.world * device.batch_factor
    facts = {
        "out": f"{config.out}: {_what_is_there(trainer)}",
        "device": f"{devices} x {device.torch_device.type}, {config.precision}",
        **_sizes(trainer),
        "training shards": _plan(device.gather(groups)),
        "validation shards": _plan(device.gather(checked)),
        "samples a step": str(config.batch_size * config.accumulate * devices),
    }
    first, then, waited = _time_steps(trainer)
    facts["first step"] = f"{first:.3g} s (with loading and compiling)"
    facts["one step"] = f"{then:.3g} s, {100 * waited:.0f} % of it waiting for data"
    facts["all steps"] = f"{config.steps}, some {(config.steps - trainer.saved) * then / 3600:.2g} h to go"
    facts["memory"] = _memory(device)
    return facts


def _what_is_there(trainer: Trainer) -> str:
    if trainer.step:
        return f"goes on from step {trainer.step}"
    return "a new run" if not Path(trainer.config.out).exists() else "a new run in a folder that exists"


def _sizes(trainer: Trainer) -> dict[str, str]:
    every = list(trainer.module.parameters())
    trained = sum(p.numel() for p in every if p.requires_grad)
    total = sum(p.numel() for p in every)
    weights = sum(v.numel() * v.element_size() for v in trainer.module.network.state_dict().values())
    return {
        "parameters": f"{total:,}, of which {trained:,} are trained",
        "checkpoint": f"{weights / 1e6:.3g} MB",
    }


def _plan(everyone: list[list[int]]) -> str:
    """Shards and samples of each process."""
    shares = [f"{len(groups)} ({sum(groups):,} samples)" for groups in everyone]
    if len(shares) == 1:
        return shares[0]
    return "; ".join(f"process {rank}: {share}" for rank, share in enumerate(shares))


def _time_steps(trainer: Trainer) -> tuple[float, float, float]:
    """Seconds of the first step and of a later one, and the later ones' share of waiting."""
    started = time.perf_counter()
    data = trainer.training_batches()
    trainer.device.fetch(trainer.train_step(data, Meter(started)))
    first = time.perf_counter() - started
    meter = Meter(time.perf_counter())
    values: dict[str, torch.Tensor] = {}
    for _ in range(TIMED_STEPS):
        values = trainer.train_step(data, meter)
    trainer.device.fetch(values)
    seconds = time.perf_counter() - meter.started
    return first, seconds / TIMED_STEPS, meter.waited / seconds


def _memory(device: Device) -> str:
    if device.torch_device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated() / 2**30:.3g} GiB of the GPU at most"
    # Linux counts kilobytes.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return f"{most:.3g} GiB of this process at most"
