"""`relpose train RECIPE`: a network from data, on whatever device there is."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.cli.tables import format_table
from relpose_ros.errors import ConfigurationError
from relpose_training.recipes import RECIPES

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers
    from relpose_training.engine.configuration import EngineConfig
    from relpose_training.engine.device import Device
    from relpose_training.engine.recipe import Recipe
    from relpose_training.engine.time_budget import Budget

DESCRIPTION = f"""\
Train a network. A setting is key=value; a YAML file of them comes first, words win.

The folder out= holds the run: the same command goes on where it was killed.
  best.safetensors  the weights that validated best     last.safetensors  those of the last validation
  metrics.jsonl     a line of numbers now and then      curves.png        the same as a picture
  config.yaml       every setting                       state.pt          what a killed run goes on from

recipes: {", ".join(RECIPES)},
  or your own as module:Class (docs/adding-a-recipe.md)"""

EXAMPLES = """\
relpose train one_to_one --help                                    every setting, its default and meaning
relpose train one_to_one --config config/training/FILE.yaml out=run/ --dry-run
relpose train one_to_one --config config/training/FILE.yaml out=run/ learning_rate=1e-4
relpose train one_to_one --config config/training/FILE.yaml out=run/ --minutes 30
torchrun --nproc-per-node 4 -m relpose_ros.cli train one_to_one --config FILE.yaml out=run/"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "train",
        help="train a network (laptop, GPUs, cluster, TPU)",
        description=DESCRIPTION,
        examples=EXAMPLES,
        add_help=False,
    )
    parser.intermixed = True
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="what to train")
    parser.add_argument("settings", metavar="key=value", nargs="*", help="settings; out=FOLDER is needed")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in a YAML file")
    parser.add_argument(
        "--minutes",
        type=_minutes,
        metavar="M",
        help="choose steps= so that all is done in that time; a run that goes on keeps its own",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the settings, the sizes and one step's cost; write nothing",
    )
    parser.add_argument(
        "-h", "--help", dest="wants_help", action="store_true", help="this; after RECIPE, its settings"
    )
    parser.set_defaults(show_help=parser.print_help)


def run(args: argparse.Namespace) -> int:
    """Train, rehearse, or explain (and leave by SystemExit then, as every --help does)."""
    started = time.monotonic()
    if args.recipe is None:
        args.show_help(sys.stdout if args.wants_help else sys.stderr)
        sys.exit(0 if args.wants_help else 2)
    from relpose_training.engine.configuration import load_config
    from relpose_training.recipes.lookup import find_recipe

    recipe = find_recipe(args.recipe)
    if args.wants_help:
        print(_settings_help(args.recipe, recipe.config_class))
        sys.exit(0)
    config = load_config(recipe.config_class, args.config, args.settings)
    from relpose_training.engine.device import run_on_device
    from relpose_training.engine.time_budget import Budget

    budget = None
    if args.minutes is not None:
        if any(word.startswith("steps=") for word in args.settings):
            raise ConfigurationError("--minutes chooses the steps: give it, or steps=, not both")
        budget = Budget(args.minutes, started)
    work = _rehearse if args.dry_run else _train
    return run_on_device(config.device, partial(work, args.recipe, config, budget))


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected minutes above 0, got {text}")
    return value


def _settings_help(name: str, config_class: type[EngineConfig]) -> str:
    from relpose_training.engine.configuration import describe_config

    rows: Sequence[tuple[str, str, str]] = describe_config(config_class)
    about = (config_class.__doc__ or "").strip().splitlines()[0]
    lines = [
        f"usage: relpose train {name} [--config FILE] [key=value ...] [--minutes M] [--dry-run]",
        "",
        about,
        "",
    ]
    for setting, kind, meaning in rows:
        lines += [f"  {setting}  ({kind})", f"      {meaning}"]
    return "\n".join(lines)


def _train(name: str, config: EngineConfig, budget: Budget | None, device: Device) -> int:
    """One process of a run."""
    from relpose_training.commands.reporting import say_result, training_progress
    from relpose_training.engine.lock import folder_lock
    from relpose_training.engine.loop import train
    from relpose_training.recipes.lookup import find_recipe

    with folder_lock(config.out, wanted=device.is_main):
        recipe = _within(find_recipe(name)(config), budget, device)
        with training_progress(device.is_main) as progress:
            status = train(recipe, device, progress, lock=False)
    if device.is_main:
        say_result(config.out, status)
    return status


def _rehearse(name: str, config: EngineConfig, budget: Budget | None, device: Device) -> int:
    """What a run would be, without writing anything."""
    import yaml

    from relpose_training.engine.configuration import dump_config
    from relpose_training.engine.rehearsal import rehearse
    from relpose_training.recipes.lookup import find_recipe

    recipe = _within(find_recipe(name)(config), budget, device, rehearsal=True)
    facts = rehearse(recipe, device)
    if device.is_main:
        print(yaml.safe_dump(dump_config(recipe.config), sort_keys=False))
        print(format_table(facts.items()))
    return 0


def _within(
    recipe: Recipe[Any], budget: Budget | None, device: Device, rehearsal: bool = False
) -> Recipe[Any]:
    """The recipe with as many steps as there is time for, where there is a limit."""
    if budget is None:
        return recipe
    from relpose_training.engine.time_budget import within

    recipe, why = within(recipe, device, budget, rehearsal)
    if device.is_main:
        print(why, file=sys.stderr)
    return recipe
