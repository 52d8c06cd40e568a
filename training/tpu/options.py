"""Options of `relpose tpu`, and what they say."""

from __future__ import annotations

import argparse

from relpose_ros.errors import ConfigurationError
from relpose_training.tpu.accelerators import FAMILIES
from relpose_training.tpu.machine import Machine, Order, check_bucket
from relpose_training.tpu.waiting import Patience
from relpose_training.tpu.workers import Job, Source

Options = argparse._ActionsContainer


def add_place_options(parser: Options) -> None:
    """Which VM."""
    parser.add_argument("--name", required=True, help="name of the VM")
    parser.add_argument("--zone", required=True, help="as europe-west4-a; a grant says which")
    parser.add_argument("--project", metavar="ID", help="default: that of gcloud config")
    parser.add_argument("--queued", action="store_true", help="the VM is ordered through a queued resource")
    parser.add_argument("--dry-run", action="store_true", help="print the commands, run nothing")


def add_order_options(parser: Options, needed: str | None = None) -> None:
    """What to create."""
    types = f"generation and size, as v3-8, v5litepod-8, v4-32; generations: {', '.join(FAMILIES)}"
    parser.add_argument("--type", required=needed == "--type", help=types)
    parser.add_argument("--version", help="TPU software version; default: what Google names for the type")
    parser.add_argument("--spot", action="store_true", help="cheaper; Google may take it away at any time")
    parser.add_argument("--preemptible", action="store_true", help="the older kind: ends after 24 hours")
    parser.add_argument(
        "--gcloud", action="append", default=[], metavar="=--FLAG", help="flag for gcloud create"
    )
    parser.add_argument(
        "--retry-for", type=float, default=24.0, metavar="HOURS", help="wait for capacity so long; default 24"
    )


def add_source_options(parser: Options, needed: bool) -> None:
    """Where the workers get relpose_ros."""
    help_text = "git address, or a .tar.gz of relpose_ros on this machine, for the workers"
    parser.add_argument("--source", required=needed, metavar="ADDRESS", help=help_text)
    parser.add_argument("--commit", metavar="REF", help="commit, tag or branch of the git address")


def add_job_options(parser: Options) -> None:
    """What to train."""
    parser.add_argument("recipe", metavar="RECIPE", help="as for relpose train")
    parser.add_argument(
        "words", nargs="*", metavar="key=value", help="its configuration; device=xla is added"
    )
    parser.add_argument("--config", metavar="FILE", help="settings in a YAML file of this machine")
    parser.add_argument("--run", default="", metavar="NAME", help="name of the run; default: the recipe's")
    parser.add_argument("--bucket", metavar="gs://...", help="where the run is kept, and gone on from")
    parser.add_argument(
        "--sync-minutes",
        type=float,
        default=10.0,
        metavar="N",
        help="copy to the bucket so often; default 10",
    )
    parser.add_argument(
        "--watch", action="store_true", help="stay: after a pre-emption, make the VM anew and go on"
    )
    parser.add_argument(
        "--restarts", type=int, default=5, metavar="N", help="with --watch, after crashes; default 5"
    )


def add_worker_option(parser: Options, text: str) -> None:
    """Which worker."""
    parser.add_argument("--worker", default="0", metavar="N", help=text)


def machine_of(args: argparse.Namespace) -> Machine:
    """The VM. Raises ConfigurationError for names that cannot be."""
    return Machine(args.name, args.zone, args.project, args.queued)


def order_of(args: argparse.Namespace) -> Order:
    """What to create."""
    if args.type is None:
        raise ConfigurationError("--watch needs --type (and --spot, --queued, ... as for create)")
    flags = tuple(args.gcloud)
    return Order(machine_of(args), args.type, args.version, args.spot, args.preemptible, flags)


def patience_of(args: argparse.Namespace) -> Patience:
    """How long to wait for a VM."""
    if not 0 <= args.retry_for <= 24 * 365:
        raise ConfigurationError(f"--retry-for {args.retry_for:g}: expected hours, 0 for a single try")
    return Patience(args.retry_for * 3600)


def source_of(args: argparse.Namespace) -> Source:
    """Where from."""
    if args.source is None:
        raise ConfigurationError("--watch needs --source: a new VM has to be prepared")
    return Source(args.source, args.commit)


def job_of(args: argparse.Namespace) -> Job:
    """What to train."""
    bucket = None if args.bucket is None else check_bucket(args.bucket)
    return Job(args.recipe, tuple(args.words), args.run, bucket, args.sync_minutes * 60, args.config)


def worker_of(args: argparse.Namespace) -> str:
    """A worker's number, or all."""
    if args.worker != "all" and not args.worker.isdigit():
        raise ConfigurationError(f"--worker {args.worker!r}: expected a number, or all")
    return str(args.worker)
