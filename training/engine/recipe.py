"""What a recipe is: a configuration, a module with a loss, data, and a way to tell better from worse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from relpose_ros.networks.base import Network
from relpose_ros.progress import Progress, silent
from relpose_training.data.stream import Dataset
from relpose_training.engine.configuration import EngineConfig
from relpose_training.engine.device import Device, Place
from relpose_training.engine.replay import Replay
from relpose_training.engine.replay_config import ReplayOptions
from relpose_training.engine.rounds import Rounds, Run
from relpose_training.engine.validation import validate

C = TypeVar("C", bound=EngineConfig)

Scores = Mapping[str, NDArray[np.floating[Any]]]


class TrainingModule(nn.Module):
    """A network and its loss. The engine distributes, compiles and differentiates this.

    `forward(batch, step)` gives scalar tensors, of which `loss` is minimised and all are logged. Shapes do
    not change from step to step. `step` is the number of optimizer steps before this one. `errors` (B,), how
    hard each sample was, is what prioritised replay draws by (engine/replay.py), and is not logged.
    """

    network: Network
    has_idle_parameters: ClassVar[bool] = False
    """Whether some parameters get no gradient in some steps (several GPUs must know)."""

    def forward(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        raise NotImplementedError

    def score(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Values (B,) for each sample of a validation batch; in eval mode, without gradients. Of a recipe
        that has its own `validate`, values (B, ...)."""
        raise NotImplementedError


class Recipe(ABC, Generic[C]):
    """One system's training. Made in every process; must not draw random numbers before `module`."""

    name: ClassVar[str]
    config_class: ClassVar[type[EngineConfig]]
    progress: Progress = staticmethod(silent)
    """Told of long work on the data; the loop puts its own here."""
    best: ClassVar[tuple[str, str]]
    """The validation metric that picks the best checkpoint, and whether "max" or "min" is better."""

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def module(self) -> TrainingModule:
        """The network with initial weights, and its loss."""

    @abstractmethod
    def training_data(self, place: Place) -> Dataset:
        """What this process trains on. Raises DatasetError if it is not there or broken."""

    @abstractmethod
    def validation_data(self, place: Place) -> Dataset:
        """What this process validates on: never the test split."""

    @abstractmethod
    def summarise(self, scores: Scores) -> dict[str, float]:
        """Metrics of the scores (M,) of all validation samples."""

    @abstractmethod
    def checkpoint(self) -> dict[str, Any]:
        """`network`, `parameters`, `licence` and `data` of the CheckpointInfo that it makes."""

    def replay(self) -> ReplayOptions | None:
        """How much more often hard samples are drawn; None: every epoch has each sample once."""
        return None

    def rounds(self, run: Run) -> Rounds | None:
        """What decides which samples come next, round after round of steps; None: nothing does."""
        options = self.replay()
        if options is None:
            return None
        fetch = run.device.fetch_samples
        return Replay(run.data, options, run.batch_size, run.accumulate, run.seed, fetch)

    def stage(self, step: int) -> range:
        """The steps of the stage that `step` is in. Most recipes have one stage.

        Where another begins, the optimizer's state, the schedule of the rate and the moving average begin
        anew, after `begin_stage`.
        """
        return range(self.config.steps)

    def begin_stage(self, module: TrainingModule, step: int) -> None:
        """Called before the first step of every stage but the first: may change weights, in place.

        The same in every process. All that it needs is in the module's state dict: that is what a run that
        was stopped goes on from.
        """

    def validate(self, module: TrainingModule, device: Device) -> dict[str, float]:
        """Metrics of the validation data, the same in every process; those of `summarise`, unless all
        samples must be seen together."""
        return validate(self, module, device)

    def start(self, module: TrainingModule) -> None:
        """Called once on a new run, before the first step (weights to start from, cluster centres)."""
