"""`relpose test RECIPE`: what a trained checkpoint is worth on data that nothing was chosen by."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING

from relpose_training.recipes import TESTS

EXAMPLES = """\
relpose test retrieval --help                                          every option of one recipe's test
relpose test scene_coordinates run/best.safetensors room/ --out report/
relpose test retrieval vlad run/best.safetensors places/ --report report/"""

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers


def add_parser(subparsers: Subparsers) -> None:
    """Add the command, and a sub-command for each recipe that can be tested."""
    parser = subparsers.add_parser(
        "test",
        help="test a trained checkpoint",
        description="Measure a checkpoint as its field does: tables, JSON and plots.",
        examples=EXAMPLES,
    )
    recipes = parser.add_subparsers(dest="recipe", metavar="RECIPE", required=True)
    for name, module in TESTS.items():
        command = importlib.import_module(module)
        command.add_arguments(recipes.add_parser(name, help=command.HELP, examples=command.EXAMPLES))


def run(args: argparse.Namespace) -> int:
    """Run the test of one recipe; returns the exit status."""
    status: int = importlib.import_module(TESTS[args.recipe]).run(args)
    return status
