"""The one training loop."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import yaml

from relpose_ros.errors import ConfigurationError
from relpose_ros.progress import Progress, silent
from relpose_training.data.stream import batches
from relpose_training.engine.averaging import MovingAverage
from relpose_training.engine.configuration import EngineConfig, config_hash, dump_config
from relpose_training.engine.device import Batch, Device
from relpose_training.engine.journal import Journal, plot_curves
from relpose_training.engine.lock import folder_lock
from relpose_training.engine.optimizers import make_optimizer
from relpose_training.engine.recipe import Recipe, TrainingModule
from relpose_training.engine.results import Results
from relpose_training.engine.schedules import learning_rate
from relpose_training.engine.states import (
    load_state,
    random_state,
    restore_random_state,
    save_state,
    seed_everything,
)
from relpose_training.engine.validation import validate

CONFIG = "config.yaml"
PRE_EMPTED = 143
"""Exit status after SIGTERM, the state saved."""


@dataclass
class Meter:
    """Sums between two lines of the journal."""

    started: float
    waited: float = 0.0
    samples: int = 0


class Trainer:
    """One run in one process: made, resumed if there is something to resume, run to the end or to SIGTERM."""

    def __init__(self, recipe: Recipe[Any], device: Device, progress: Progress = silent) -> None:
        self.recipe, self.device, self.progress = recipe, device, progress
        self.config: EngineConfig = recipe.config
        self.folder = Path(self.config.out)
        self.stopping = False
        seed_everything(self.config.seed)
        self.module: TrainingModule = recipe.module()
        state = load_state(self.folder)
        if state is None:
            recipe.start(self.module)
        else:
            self._check_same_run(state)
            self.module.load_state_dict(state["module"])
        self.wrapped = device.wrap(self.module)
        self.optimizer = make_optimizer(self.config, self.module.parameters())
        self.average = None if self.config.ema is None else MovingAverage(self.module, self.config.ema)
        self.step = 0
        self.results = Results(self.folder, recipe, self.config)
        seed_everything(self.config.seed + 1 + device.place.rank)
        if state is not None:
            self._restore(state)

    def run(self) -> int:
        """Train to the last step; returns the exit status: 0, or PRE_EMPTED."""
        journal = Journal(self.folder, self.step) if self.device.is_main else None
        if self.device.is_main and not (self.folder / CONFIG).exists():
            (self.folder / CONFIG).write_text(yaml.safe_dump(dump_config(self.config), sort_keys=False))
        self.device.barrier()
        meter = Meter(time.perf_counter())
        data = self._training_batches()
        while self.step < self.config.steps and not self.stopping:
            values = self._train_step(data, meter)
            self.step += 1
            self._write(journal, values, meter)
            last = self.step == self.config.steps
            if last or self.step % self.config.validate_every == 0:
                self._validate(journal)
            if last or self.step % self.config.save_every == 0:
                self._save()
            if self.step % self.config.log_every == 0:
                self.stopping = self.device.any(self.stopping)
        if self.stopping:
            self._save()
        if journal:
            journal.close()
            plot_curves(self.folder)
        return 0 if self.step >= self.config.steps else PRE_EMPTED

    def _training_batches(self) -> Iterator[Batch]:
        config = self.config
        host = batches(
            self.recipe.training_data(self.device.place),
            config.batch_size * self.device.batch_factor,
            seed=config.seed * 1000 + self.device.place.rank,
            workers=config.workers,
            start=self.step * config.accumulate,
        )
        return self.device.feed(host)

    def _train_step(self, data: Iterator[Batch], meter: Meter) -> dict[str, torch.Tensor]:
        """One optimizer step over the accumulated batches; returns the mean of what was logged."""
        config = self.config
        total: dict[str, torch.Tensor] = {}
        self.wrapped.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(config.accumulate):
            asked = time.perf_counter()
            batch = next(data)
            meter.waited += time.perf_counter() - asked
            meter.samples += len(next(iter(batch.values())))
            last = part == config.accumulate - 1
            with torch.enable_grad():
                if last:
                    values = self._backward(batch)
                else:
                    with self.device.without_sync(self.wrapped):
                        values = self._backward(batch)
            for name, value in values.items():
                total[name] = total.get(name, torch.zeros_like(value)) + value.detach() / config.accumulate
        if config.clip_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), config.clip_norm)
            total["gradient_norm"] = norm.detach()
        self.device.step(self.optimizer)
        if self.average is not None:
            self.average.update(self.module)
        return total

    def _backward(self, batch: Batch) -> dict[str, torch.Tensor]:
        with self.device.autocast(self.config.precision):
            values: dict[str, torch.Tensor] = self.wrapped(batch, self.step)
        (values["loss"] / self.config.accumulate).backward()
        return values

    def _write(self, journal: Journal | None, values: dict[str, torch.Tensor], meter: Meter) -> None:
        """A line of the journal, now and then: fetching numbers from a TPU costs."""
        if self.step % self.config.log_every and self.step != self.config.steps:
            return
        numbers = self.device.mean(self.device.fetch(values))
        if not math.isfinite(numbers["loss"]):
            raise ConfigurationError(
                f"the loss is {numbers['loss']} at step {self.step}; the state of step "
                f"{self.step // self.config.save_every * self.config.save_every} is kept. Try a lower "
                "learning_rate, clip_norm=1, or precision=float32"
            )
        seconds = time.perf_counter() - meter.started
        numbers["learning_rate"] = learning_rate(self.config, self.step - 1)
        numbers["samples_per_second"] = self.device.place.world * meter.samples / seconds
        numbers["waiting_for_data"] = meter.waited / seconds
        if journal:
            journal.write(self.step, "train", numbers)
        self.progress(self.step, self.config.steps, f"loss {numbers['loss']:.4g}")
        meter.started, meter.waited, meter.samples = time.perf_counter(), 0.0, 0

    def _validate(self, journal: Journal | None) -> None:
        """Score the weights as they would be saved; keep them if they are the best so far."""
        held = None
        if self.average is not None:
            held = {name: value.clone() for name, value in self.module.state_dict().items()}
            self.module.load_state_dict(self.average.values)
        generators = random_state()
        metrics = validate(self.recipe, self.module, self.device)
        restore_random_state(generators)
        if self.device.is_main:
            self.results.keep(self.step, metrics, self.module.network)
            if journal:
                journal.write(self.step, "validation", metrics)
        if held is not None:
            self.module.load_state_dict(held)

    def _save(self) -> None:
        everyone = self.device.gather(random_state())
        if self.device.is_main:
            state = {
                "config": config_hash(self.config),
                "step": self.step,
                "module": self.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "best": self.results.best,
                "random": everyone,
            }
            save_state(self.folder, state)
        self.device.barrier()

    def _check_same_run(self, state: dict[str, Any]) -> None:
        if state["config"] != config_hash(self.config):
            raise ConfigurationError(
                f"{self.folder} holds a run with another configuration (see its {CONFIG}); continue it with "
                "the same one, or choose another out="
            )

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = int(state["step"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.results.best = state["best"]
        if len(state["random"]) > self.device.place.rank:
            restore_random_state(state["random"][self.device.place.rank])


def train(
    recipe: Recipe[Any], device: Device, progress: Callable[..., None] | None = None, lock: bool = True
) -> int:
    """Run a recipe in this process; returns the exit status: 0 done, 143 stopped by SIGTERM, state saved.

    Raises ConfigurationError if another run holds the folder or a run of another configuration is in it.
    """
    folder = Path(recipe.config.out)
    if device.is_main and lock:
        with folder_lock(folder):
            return _train(recipe, device, progress or silent)
    return _train(recipe, device, progress or silent)


def _train(recipe: Recipe[Any], device: Device, progress: Progress) -> int:
    trainer = Trainer(recipe, device, progress)

    def stop(_number: int, _frame: FrameType | None) -> None:
        trainer.stopping = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        return trainer.run()
    finally:
        signal.signal(signal.SIGTERM, before)
