"""The checkpoints that a run leaves: the best by validation, and the last."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.networks.base import Network
from relpose_training.engine.configuration import EngineConfig, config_hash, dump_config

if TYPE_CHECKING:
    from relpose_training.engine.recipe import Recipe

BEST, LAST = "best.safetensors", "last.safetensors"


class Results:
    """Writes `last.safetensors` at every validation, `best.safetensors` when the metric is the best yet."""

    def __init__(self, folder: Path, recipe: Recipe[Any], config: EngineConfig) -> None:
        self.folder, self.recipe, self.config = folder, recipe, config
        self.best: float | None = None

    def keep(self, step: int, metrics: dict[str, float], network: Network, seconds: float = 0.0) -> None:
        """Write the checkpoints of a validated step; `seconds` is how long the run has taken."""
        info = CheckpointInfo(
            **self.recipe.checkpoint(),
            origin=f"relpose train {self.recipe.name}, step {step}",
            recipe={
                "name": self.recipe.name,
                "hash": config_hash(self.config),
                "config": json.loads(json.dumps(dump_config(self.config))),
                "step": step,
                "minutes": round(seconds / 60, 3),
            },
            metrics={f"validation/{k}": v for k, v in metrics.items() if math.isfinite(v)},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_checkpoint(self.folder / LAST, network.state_dict(), info)
        if self._is_better(metrics):
            self.best = metrics[self.recipe.best[0]]
            write_checkpoint(self.folder / BEST, network.state_dict(), info)

    def _is_better(self, metrics: dict[str, float]) -> bool:
        name, direction = self.recipe.best
        value = metrics[name]
        if self.best is None or not math.isfinite(value):
            return math.isfinite(value)
        return value > self.best if direction == "max" else value < self.best
