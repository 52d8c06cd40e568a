"""`relpose`: finds the commands, runs one, and turns what it raises into a message and an exit status.

Exit status: 0 done, 1 a bug of ours (of `map check` and `doctor`: they found problems), 2 wrong usage or an
error that the message explains, 130 interrupted.
A command is one module with `add_parser(subparsers) -> None` and `run(args) -> int`. All of them are
imported to make the help, so they import nothing heavy before `run`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import entry_points
from types import ModuleType

import relpose_ros
from relpose_ros.cli.parser import CommandParser
from relpose_ros.errors import RelposeError

COMMANDS = {
    "map": "relpose_ros.cli.map",
    "localize": "relpose_ros.cli.localize",
    "evaluate": "relpose_ros.cli.evaluate",
    "replay": "relpose_ros.cli.replay",
    "calibrate": "relpose_ros.cli.calibrate",
    "dataset": "relpose_ros.cli.dataset",
    "checkpoint": "relpose_ros.cli.checkpoint",
    "show": "relpose_ros.cli.show",
    "demo": "relpose_ros.cli.demo",
    "doctor": "relpose_ros.cli.doctor",
}
"""Command -> module, in the order of the help."""

ENTRY_POINT_GROUP = "relpose.commands"
"""Other installed packages (relpose_training) add commands here: name = module."""

DESCRIPTION = """\
Camera localization for robots: build a map from posed images, then ask where a camera is.
An answer is a pose with a calibrated covariance, or an honest "unlocalized" with the reason."""

EXAMPLES = """\
relpose demo                                          the whole chain on a simulated world, no data needed
relpose map build my_images/ --out office.relmap      posed images (folder, rosbag2, COLMAP) -> map
relpose localize --map office.relmap image.jpg --camera camera.yaml
relpose evaluate --map office.relmap my_images/ --out report/
relpose replay --map office.relmap drive_bag/ --out report/
relpose map check office.relmap                       what is wrong with it, and what to do
relpose calibrate --map office.relmap second_drive/   covariance and confidence, from another drive
relpose doctor                                        what is installed, and what is missing"""


def load_commands() -> dict[str, ModuleType]:
    """Every command by name: ours, then those of installed packages.

    A package whose module cannot be imported (a robot has no training) adds no command.
    """
    commands = {name: importlib.import_module(module) for name, module in COMMANDS.items()}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            commands.setdefault(entry.name, importlib.import_module(entry.module))
        except ModuleNotFoundError as error:
            print(f"relpose: command {entry.name!r} is not available: {error}", file=sys.stderr)
    return commands


def make_parser(commands: dict[str, ModuleType]) -> CommandParser:
    """The parser of `relpose` with all its commands."""
    parser = CommandParser(prog="relpose", description=DESCRIPTION, examples=EXAMPLES)
    parser.add_argument("--version", action="version", version=f"relpose {relpose_ros.__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)
    for module in commands.values():
        module.add_parser(subparsers)
    _add_debug(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's). Returns the exit status."""
    commands = load_commands()
    args = make_parser(commands).parse_args(argv)
    try:
        status: int = commands[args.command].run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `relpose ... | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("relpose: interrupted", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 (the outermost frame: everything becomes a message)
        return _explain(error, bool(getattr(args, "debug", False)))


def _explain(error: Exception, debug: bool) -> int:
    """Say what went wrong; returns the exit status."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, RelposeError | OSError):
        print(f"relpose: error: {error}", file=sys.stderr)
        return 2
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("relpose"):
        print(f"relpose: error: {error}; `relpose doctor` says what to install", file=sys.stderr)
        return 2
    print(f"relpose: internal error: {type(error).__name__}: {error}", file=sys.stderr)
    if not debug:
        print("relpose: this is a bug; the same command with --debug shows where", file=sys.stderr)
    return 1


def _add_debug(parser: argparse.ArgumentParser) -> None:
    """`--debug` before or after the command, at every depth."""
    parser.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in {id(p): p for p in action.choices.values()}.values():
                _add_debug(child)


if __name__ == "__main__":
    sys.exit(main())
