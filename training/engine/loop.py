"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from relpose_ros.errors import ConfigurationError
from relpose_ros.progress import Progress, silent
from relpose_training.data.ahead import loaded_ahead
from relpose_training.data.stream import batches, load
from relpose_training.engine.averaging import MovingAverage
from relpose_training.engine.backup import CONFIG, Backup
from relpose_training.engine.configuration import EngineConfig, config_hash, dump_config
from relpose_training.engine.device import Batch, Device
from relpose_training.engine.journal import Journal, plot_curves
from relpose_training.engine.lock import folder_lock
from relpose_training.engine.optimizers import make_optimizer
from relpose_training.engine.recipe import Recipe, TrainingModule
from relpose_training.engine.replay import ERRORS
from relpose_training.engine.results import Results
from relpose_training.engine.resuming import find_state, load_rounds, rounds_state
from relpose_training.engine.rounds import RoundOrder, Run, batches_in_rounds
from relpose_training.engine.schedules import learning_rate
from relpose_training.engine.signals import Termination
from relpose_training.engine.states import is_finite, on_host, save_state

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

    def __init__(
        self, recipe: Recipe[Any], device: Device, progress: Progress = silent, rehearsal: bool = False
    ) -> None:
        self.recipe, self.device, self.progress = recipe, device, progress
        self.config: EngineConfig = recipe.config
        self.folder = Path(self.config.out)
        self.step, self.saved = 0, 0
        recipe.progress = progress
        self._began, self._seconds_before = time.monotonic(), 0.0
        if self.config.deterministic:
            torch.use_deterministic_algorithms(True)
        self.backup = None
        if self.config.backup is not None and not rehearsal:
            self.backup = Backup(self.config.backup, self.folder)
        if self.backup is not None and device.place.local_rank == 0:
            self.backup.fetch()
        state = find_state(self.folder, self.config, device)
        with device.alone():
            device.seed(self.config.seed)
            self.module: TrainingModule = recipe.module()
            if state is None:
                recipe.start(self.module)
            else:
                self.module.load_state_dict(state["module"])
        self.wrapped = device.wrap(self.module)
        self.optimizer = make_optimizer(self.config, self.module.parameters())
        self.average = None if self.config.ema is None else MovingAverage(self.module, self.config.ema)
        self.results = Results(self.folder, recipe, self.config)
        self.order: RoundOrder | None = None
        self._rounds_state: Any = None
        device.seed(self.config.seed + 1 + device.place.rank)
        if state is not None:
            self._restore(state)

    def run(self, asked_to_stop: Termination) -> int:
        """Train to the last step; returns the exit status: 0, or PRE_EMPTED."""
        data = self.training_batches()
        self.recipe.validation_data(self.device.place)  # what is missing is said before anything is written
        journal = Journal(self.folder, self.step) if self.device.is_main else None
        if self.device.is_main:
            (self.folder / CONFIG).write_text(yaml.safe_dump(dump_config(self.config), sort_keys=False))
        self.device.barrier()
        self.progress(self.step, self.config.steps, "starting")
        try:
            stopped = self._run(data, journal, asked_to_stop)
        finally:
            data.close()
            if journal:
                journal.close()
        if not stopped and self.device.is_main:
            plot_curves(self.folder)
        return PRE_EMPTED if stopped else 0

    def _run(self, data: Iterator[Batch], journal: Journal | None, asked_to_stop: Termination) -> bool:
        """The loop; returns whether it was stopped before its end."""
        meter = Meter(time.perf_counter())
        while self.step < self.config.steps:
            values = self.train_step(data, meter)
            self.step += 1
            last = self.step == self.config.steps
            if last or self.step % self.config.log_every == 0:
                self._write(journal, values, meter)
            if last or self.step % self.config.validate_every == 0:
                self._validate(journal)
            stop = not last and self._all_stop(asked_to_stop)
            if last or stop or self.step % self.config.save_every == 0:
                self._save()
            if stop:
                return True
        return False

    def _all_stop(self, asked_to_stop: Termination) -> bool:
        """Several processes agree on it when they talk anyway; a signal comes to them at different steps."""
        if self.device.place.world == 1:
            return asked_to_stop.came
        return self.step % self.config.log_every == 0 and self.device.any(asked_to_stop.came)

    def training_batches(self) -> Generator[Batch, None, None]:
        """From the step at which the run is, without end."""
        config, data = self.config, self.recipe.training_data(self.device.place)
        size = config.batch_size * self.device.batch_factor
        seed = config.seed * 1000 + self.device.place.rank
        start = self.step * config.accumulate
        rounds = self.recipe.rounds(Run(self.module, self.device, data, size, config.accumulate, seed))
        load_rounds(rounds, self._rounds_state, self.folder, self.saved)
        if rounds is None:
            return self._feed(batches(data, size, seed, config.workers, start))
        self.order = RoundOrder(rounds)
        loader = load(data, self.order, seed, config.workers, again=True)
        return batches_in_rounds(loader, self.order, start, self._feed)

    def _feed(self, host: Iterable[Batch]) -> Generator[Batch, None, None]:
        if self.config.workers:
            yield from self.device.feed(host)
            return
        with closing(loaded_ahead(host)) as loaded:
            yield from self.device.feed(loaded)

    def train_step(self, data: Iterator[Batch], meter: Meter) -> dict[str, torch.Tensor]:
        """One optimizer step over the accumulated batches; returns the mean of what the module gave."""
        config = self.config
        self._enter_stage()
        self.wrapped.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        total: dict[str, torch.Tensor] = {}
        for part in range(config.accumulate):
            asked = time.perf_counter()
            batch = next(data)
            meter.waited += time.perf_counter() - asked
            meter.samples += len(next(iter(batch.values())))
            values = self._backward(batch, last=part == config.accumulate - 1)
            errors = values.pop(ERRORS, None)
            if self.order is not None:
                self.order.rounds.visited(errors)
            for name, value in values.items():
                share = value.detach() / config.accumulate
                total[name] = total[name] + share if name in total else share
        self.device.reduce(self.optimizer)
        if config.clip_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), config.clip_norm)
            total["gradient_norm"] = norm.detach()
        self.device.step(self.optimizer)
        if self.average is not None:
            self.average.update(self.module)
        return total

    def _enter_stage(self) -> None:
        """Where a later stage begins: what the recipe does to the module; the optimizer's past is past."""
        if self.step and self.step == self.recipe.stage(self.step).start:
            self.recipe.begin_stage(self.module, self.step)
            self.optimizer.state.clear()
            if self.config.ema is not None:
                self.average = MovingAverage(self.module, self.config.ema)

    def _learning_rate(self, step: int) -> float:
        stage = self.recipe.stage(step)
        return learning_rate(self.config, step - stage.start, len(stage))

    def _backward(self, batch: Batch, last: bool) -> dict[str, torch.Tensor]:
        if not last:
            with self.device.without_sync(self.wrapped):
                return self._backward(batch, last=True)
        with torch.enable_grad(), self.device.autocast(self.config.precision):
            values: dict[str, torch.Tensor] = self.wrapped(batch, self.step)
        (values["loss"] / self.config.accumulate).backward()
        return values

    def _write(self, journal: Journal | None, values: dict[str, torch.Tensor], meter: Meter) -> None:
        """A line of the journal, now and then: fetching numbers from a TPU costs."""
        numbers = self.device.mean(self.device.fetch(values))
        if not math.isfinite(numbers["loss"]):
            self._give_up(f"the loss is {numbers['loss']}")
        seconds = time.perf_counter() - meter.started
        numbers["learning_rate"] = self._learning_rate(self.step - 1)
        numbers["samples_per_second"] = self.device.place.world * meter.samples / seconds
        numbers["waiting_for_data"] = meter.waited / seconds
        if journal:
            journal.write(self.step, "train", numbers)
        self.progress(self.step, self.config.steps, f"step {self.step}, loss {numbers['loss']:.4g}")
        meter.started, meter.waited, meter.samples = time.perf_counter(), 0.0, 0

    def _give_up(self, what: str) -> None:
        kept = f"The state of step {self.saved} is kept" if self.saved else "No state was saved yet"
        raise ConfigurationError(
            f"{what} at step {self.step}. {kept}. Try a lower learning_rate, warmup_steps, clip_norm=1, or "
            "precision=float32, in another out="
        )

    def _validate(self, journal: Journal | None) -> None:
        """Score the weights as they would be saved; keep them if they are the best so far."""
        held = None
        if self.average is not None:
            held = {name: value.clone() for name, value in self.module.state_dict().items()}
            self.module.load_state_dict(self.average.values)
        generators = self.device.random_state()
        metrics = self.recipe.validate(self.module, self.device)
        self.device.restore_random_state(generators)
        if self.device.is_main:
            self.results.keep(self.step, metrics, self.module.network, self.seconds())
            if journal:
                journal.write(self.step, "validation", metrics)
        if held is not None:
            self.module.load_state_dict(held)

    def _save(self) -> None:
        state = self.state()
        broken = False
        if self.device.is_main:
            broken = not is_finite(state["module"])
            if not broken:
                save_state(self.folder, state)
                if self.backup is not None:
                    self.backup.send()
        if self.device.any(broken):
            self._give_up("weights are not finite")
        self.saved = self.step

    def state(self) -> dict[str, Any]:
        """What a run goes on from, on the host; empty but in the process that writes it."""
        everyone = self.device.gather(self.device.random_state())
        rounds = self.device.gather(None if self.order is None else self.order.rounds.state_dict())
        if not self.device.is_main:
            return {}
        state: dict[str, Any] = on_host(
            {
                "config": config_hash(self.config),
                "processes": self.device.place.world * self.device.batch_factor,
                "step": self.step,
                "seconds": self.seconds(),
                "module": self.module.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": None if self.average is None else self.average.state_dict(),
                "best": self.results.best,
                "random": everyone,
                "rounds": rounds,
            }
        )
        return state

    def seconds(self) -> float:
        """How long this run has taken, with what came before it was interrupted, up to its last state."""
        return self._seconds_before + time.monotonic() - self._began

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = self.saved = int(state["step"])
        self._seconds_before = float(state.get("seconds", 0.0))
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.results.best = state["best"]
        if len(state["random"]) > self.device.place.rank:
            self.device.restore_random_state(state["random"][self.device.place.rank])
        self._rounds_state = rounds_state(state, self.folder, self.device.place)


def train(recipe: Recipe[Any], device: Device, progress: Progress | None = None, lock: bool = True) -> int:
    """Run a recipe in this process; returns the exit status: 0 done, 143 stopped by SIGTERM, state saved.

    Raises ConfigurationError if another run holds the folder or a run of another configuration is in it, and
    if the loss or the weights are no longer finite.
    """
    with folder_lock(Path(recipe.config.out), wanted=device.is_main and lock):
        trainer = Trainer(recipe, device, progress or silent)
        with Termination() as asked_to_stop:
            return trainer.run(asked_to_stop)
