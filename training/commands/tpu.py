"""`relpose tpu create|prepare|run|status|stop|ssh|logs|delete`: training on TPU VMs of Google Cloud."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from relpose_training.tpu import actions
from relpose_training.tpu.options import (
    add_job_options,
    add_order_options,
    add_place_options,
    add_source_options,
    add_worker_option,
)

if TYPE_CHECKING:
    from relpose_ros.cli.parser import CommandParser, Subparsers

EXAMPLES = """\
relpose tpu create --name my-tpu --zone europe-west4-a --type v3-8 --spot --dry-run      what would be done
relpose tpu create --name my-tpu --zone europe-west4-a --type v3-8 --spot --queued
relpose tpu prepare --name my-tpu --zone europe-west4-a --source https://.../relpose_ros.git --commit abc123
relpose tpu run one_to_one --config FILE.yaml data=gs://my-bucket/yfcc --bucket gs://my-bucket --name ...
relpose tpu logs --name my-tpu --zone europe-west4-a --run one-to-one --follow
relpose tpu delete --name my-tpu --zone europe-west4-a"""

ACTIONS = {
    "create": (actions.create, "order a VM, and wait until there is one"),
    "prepare": (actions.prepare, "install Python, torch_xla and relpose_ros on all its workers"),
    "run": (actions.run, "train on all its workers, in the background"),
    "status": (actions.status, "the VM, and how a run is doing"),
    "stop": (actions.stop, "end a run, and copy its state to its bucket"),
    "ssh": (actions.ssh, "a shell on a worker, or a command on one or all"),
    "logs": (actions.logs, "the end of a run's log"),
    "delete": (actions.delete, "delete the VM and its disk"),
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser(
        "tpu",
        help="create, prepare and use TPU VMs of Google Cloud",
        description="Training on TPU VMs, through gcloud. Every action takes --dry-run. See docs/tpu.md.",
        examples=EXAMPLES,
    )
    group = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (_, text) in ACTIONS.items():
        action = group.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add_place_options(action)
        _add_options(name, action)


def run(args: argparse.Namespace) -> int:
    """Run one action."""
    ACTIONS[args.action][0](args)
    sys.stdout.flush()
    return 0


def _add_options(name: str, parser: CommandParser) -> None:
    if name == "create":
        add_order_options(parser, "--type")
    elif name == "prepare":
        add_source_options(parser, needed=True)
    elif name == "run":
        parser.intermixed = True
        add_job_options(parser)
        add_order_options(parser.add_argument_group("to make the VM anew (--watch)"))
        add_source_options(parser, needed=False)
    elif name == "ssh":
        add_worker_option(parser, "a number, or all (with a command); default 0")
        parser.add_argument("words", nargs="*", metavar="-- COMMAND", help="what to run there")
    elif name == "logs":
        add_worker_option(parser, "its number; default 0")
        parser.add_argument("--lines", type=int, default=50, metavar="N", help="default 50")
        parser.add_argument("--follow", action="store_true", help="go on printing what comes")
        parser.add_argument("--run", required=True, metavar="NAME", help="which run")
    elif name in ("status", "stop"):
        parser.add_argument("--run", required=name == "stop", metavar="NAME", help="which run")
    elif name == "delete":
        parser.add_argument("--yes", action="store_true", help="do not ask")
