"""`relpose doctor`: what is installed, what is missing, and what each missing thing would give."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relpose_ros.cli.parser import Subparsers

MARKS = {"ok": "ok", "missing": "-", "broken": "BROKEN", "hint": "!"}


def add_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        help="what is installed, what is missing, what each missing thing would give",
        description="Look at this machine. Exit status 0 unless something that every use needs is missing.",
        examples="relpose doctor\nrelpose doctor --json",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Examine and print. Returns 1 if a required piece is missing or broken, else 0."""
    from relpose_ros.cli.examination import examine
    from relpose_ros.cli.tables import format_table

    findings = examine()
    healthy = not any(f.required and f.state in ("missing", "broken") for f in findings)
    if args.json:
        print(json.dumps({"healthy": healthy, "findings": [asdict(f) for f in findings]}))
        return 0 if healthy else 1
    for group in dict.fromkeys(f.group for f in findings):
        print(f"{group}:")
        members = [f for f in findings if f.group == group]
        print(format_table(((MARKS[f.state], f.name, f.found, f.advice) for f in members), indent="  "))
    if not healthy:
        print("\nSomething required is missing: pip install relpose_ros (or `make setup` in a checkout)")
    return 0 if healthy else 1
