"""The runs of `sim_to_real`: which images, which recipe, and what came of it on the real test images."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.sim_to_real_sets import TABLE
from relpose_ros.checkpoints.format import read_info
from relpose_ros.evaluation.files import write_text

RESULT = "result.json"

IMAGES = {"height": 120, "log_every": 20, "save_every": 1_000_000, "validate_every": 1_000_000}
"""Short side of what the networks see, and one validation, after the last step: nothing is chosen by it."""

THRESHOLD = 5.0
"""Of the estimator, px: the recipes' 10 are a fifteenth of such an image."""

CELLS = {"stored_cells": 300, "step_cells": 200, "threshold": THRESHOLD}
"""An image of 160x120 has 300."""

COORD = {
    "batch_size": 4,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup_steps": 20,
    "clip_norm": 1.0,
    "augment_scale": 1.2,
    "augment_angle_deg": 10.0,
    "augment_light": 0.3,
    "augment_tint": 0.2,
}
"""Of coordinates and of depth. In a few hundred steps, images turned far are more than can be learnt."""

SCENE = {
    "network": "coord_tiny",
    "loss": "crossloc",
    "uncertainty": "isotropic",
    "threshold": THRESHOLD,
    "tolerance": 0.5,
}
"""A cell's pixel error counts within half a metre of its place. With the 50 m of CrossLoc's aerial scenes it
counts from the first step on, and in a room cells can evade it behind the camera."""

CONTRAST = {
    "contrastive_weight": 1.0,
    "contrastive_dimension": 256,
    "positives_same": 0,
    "positives_other": 1,
    "negatives_same": 1,
    "negatives_other": 0,
    "near_share": 0.05,
    "near_back_share": 0.2,
    "near_metres": 3.0,
    "far_share": 0.3,
    "far_back_share": 0.4,
}
"""Shares for a set of a hundred images; two partners, since each costs as much as an image:
the same place in the other look, and another place in the same look."""


@dataclass(frozen=True)
class Run:
    """One training: the recipe, the set, and settings beyond the family's; `what` it is in words."""

    name: str
    recipe: str
    data: str
    what: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    encoder: str | None = None
    """Name of the run whose encoder it sees through, frozen, beside its own."""


RUNS = (
    Run("cells_simulated", "scene_cells", "simulated", "simulated only"),
    Run("cells_mixed", "scene_cells", "mixed", "simulated + few real"),
    Run("cells_real", "scene_cells", "real", "real only (bound)"),
    Run("coord_simulated", "scene_coordinates", "simulated", "simulated only", SCENE),
    Run("coord_mixed", "scene_coordinates", "mixed", "simulated + few real", SCENE),
    Run("depth_mixed", "mid_level", "mixed", "simulated + few real", {"task": "depth", "size": "tiny"}),
    Run(
        "coord_depth", "scene_coordinates", "mixed", "simulated + few real, frozen depth encoder",
        {**SCENE, "fusion": "transpose"}, encoder="depth_mixed",
    ),
    Run(
        "coord_contrast", "scene_coordinates", "mixed", "simulated + few real, contrastive",
        {**SCENE, **CONTRAST},
    ),
)  # fmt: skip
"""In this order: an encoder comes before the run that needs it."""


@dataclass(frozen=True)
class Outcome:
    """What a run took (`wall_s` with the test at its end, `cpu_s` of all threads) and its metrics on the real
    test images."""

    name: str
    recipe: str
    what: str
    steps: int
    cpu_s: float
    wall_s: float
    metrics: Mapping[str, float]


def train_all(sets: Path, runs: Path, steps: Mapping[str, int], seed: int) -> Iterator[Outcome]:
    """Train and test all of RUNS for so many `steps` by recipe. What is there is not done again; a run that
    was interrupted begins anew."""
    for run in RUNS:
        folder = runs / f"{run.name}_{steps[run.recipe]}_{seed}"
        if not (folder / RESULT).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            encoder = run.encoder and runs / f"{run.encoder}_{steps['mid_level']}_{seed}" / "last.safetensors"
            recipe = make_recipe(run, sets, folder, steps[run.recipe], seed, encoder or None)
            outcome = _trained(run, recipe, folder)
            write_text(folder / RESULT, json.dumps(asdict(outcome), indent=1))
        yield Outcome(**json.loads((folder / RESULT).read_text()))


def make_recipe(run: Run, sets: Path, out: Path, steps: int, seed: int, encoder: Path | None) -> Any:
    """The recipe of a run."""
    from relpose_training.recipes.lookup import find_recipe

    recipe = find_recipe(run.recipe)
    family = CELLS if run.recipe == "scene_cells" else COORD
    values: dict[str, Any] = {**IMAGES, **family, **run.settings, "data": str(sets / run.data)}
    values |= {"steps": steps, "seed": seed, "out": out}
    if run.settings.get("contrastive_weight"):
        values["similarity"] = sets / run.data / TABLE
    if encoder is not None:
        values["encoders"] = (encoder,)
    return recipe(recipe.config_class(**values))


def _trained(run: Run, recipe: Any, folder: Path) -> Outcome:
    from relpose_training.engine.device import run_on_device
    from relpose_training.engine.loop import train

    wall, cpu = time.perf_counter(), time.process_time()
    status = run_on_device(recipe.config.device, lambda device: train(recipe, device))
    if status:
        raise SystemExit(f"{folder}: stopped; the same command begins this run anew")
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    measured = read_info(folder / "last.safetensors").metrics
    metrics = {name.removeprefix("validation/"): value for name, value in measured.items()}
    return Outcome(run.name, run.recipe, run.what, recipe.config.steps, cpu, wall, metrics)
