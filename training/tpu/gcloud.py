"""Runs gcloud's commands."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from typing import Any, NamedTuple

from relpose_ros.errors import DependencyError
from relpose_training.tpu.failures import TpuError, explain
from relpose_training.tpu.gcloud_commands import Command


class Step(NamedTuple):
    """A command, and what is to be said of it."""

    command: Command
    note: str = ""


def as_script(steps: list[Step]) -> str:
    """Steps as shell lines to copy and paste, notes as comments."""
    lines = []
    for step in steps:
        lines += [f"# {line}" for line in step.note.splitlines()]
        lines.append(shlex.join(step.command))
    return "\n".join(lines)


def need_gcloud() -> None:
    """Raise DependencyError if there is no gcloud."""
    if shutil.which("gcloud") is None:
        raise DependencyError(
            "gcloud is not installed, or not on PATH. Install the Google Cloud CLI "
            "(https://cloud.google.com/sdk/docs/install; Debian: apt install google-cloud-cli from its "
            "repository; or use Cloud Shell in the browser, which has it), then `gcloud init`. "
            "--dry-run prints the commands without it"
        )


def read(what: str, command: Command) -> str:
    """What a command prints. Raises TpuError with its words and their kind."""
    need_gcloud()
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise explain(what, done.stderr or done.stdout)
    return done.stdout


def read_json(what: str, command: Command) -> dict[str, Any]:
    """What a command prints as JSON. Raises TpuError."""
    text = read(what, command)
    try:
        content: dict[str, Any] = json.loads(text)
    except ValueError:
        raise TpuError(f"{what}: expected JSON of gcloud, got {text[:200]!r}") from None
    return content


def show(what: str, command: Command) -> None:
    """Run a command on this terminal. Raises TpuError if it fails."""
    need_gcloud()
    status = subprocess.run(command, check=False).returncode
    if status:
        raise TpuError(f"{what}: failed with status {status}; gcloud's words are above")
