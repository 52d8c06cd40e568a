"""Deleting a VM, after saying what goes with it."""

from __future__ import annotations

import sys

from relpose_ros.errors import ConfigurationError
from relpose_training.tpu import gcloud_commands as commands
from relpose_training.tpu.failures import Kind, TpuError
from relpose_training.tpu.gcloud import read, read_json
from relpose_training.tpu.machine import Machine


def find(machine: Machine) -> tuple[Machine, str]:
    """The machine as it is to be deleted (a VM may belong to a queued resource), and its state.

    Raises TpuError if neither a VM nor a queued resource has this name.
    """
    try:
        content = read_json(f"looking at {machine.name}", commands.describe(machine))
    except TpuError as error:
        if error.kind is not Kind.MISSING:
            raise
        return _find_queued(machine)
    parent = str(content.get("queuedResource", "")).rpartition("/")[2]
    queued = machine.queued or bool(parent)
    return Machine(parent or machine.name, machine.zone, machine.project, queued), str(
        content.get("state", "")
    )


def _find_queued(machine: Machine) -> tuple[Machine, str]:
    content = read_json(f"looking at {machine.name}", commands.describe_queued(machine))
    state = str(content.get("state", {}).get("state", ""))
    return Machine(machine.name, machine.zone, machine.project, True), state


def warning(machine: Machine, state: str) -> str:
    """What is lost."""
    kind = "queued resource, with its VM" if machine.queued else "VM"
    return (
        f"{machine.name} in {machine.zone} ({kind}, {state or 'state unknown'}) will be deleted, with it:\n"
        "  its disk: ~/relpose with the environment, the logs, and of every run what came after the last\n"
        "  copy to a bucket (`relpose tpu status --run NAME` tells when; `relpose tpu stop` copies)\n"
        "  a run that is in progress, from its last saved state on\n"
        "Buckets and what is in them stay, and are charged for as before."
    )


def confirm(name: str) -> None:
    """Have the name typed. Raises ConfigurationError if it is not, or if nobody is there."""
    if not sys.stdin.isatty():
        raise ConfigurationError("nothing was deleted: nobody is here to ask; --yes deletes without asking")
    print(f"Type the name {name} to delete it: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != name:
        raise ConfigurationError("nothing was deleted")


def delete(machine: Machine) -> None:
    """Delete it, asking nothing. Raises TpuError."""
    read(f"deleting {machine.name}", commands.delete(machine))
