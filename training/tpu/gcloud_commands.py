"""The command lines of gcloud: pure functions of what is wanted.

Flags as in Google's reference of the released (not alpha) commands `gcloud compute tpus tpu-vm` and
`gcloud compute tpus queued-resources`.
"""

from __future__ import annotations

from collections.abc import Sequence

from relpose_training.tpu.machine import Machine, Order

Command = list[str]

VM = ["gcloud", "compute", "tpus", "tpu-vm"]
QUEUED = ["gcloud", "compute", "tpus", "queued-resources"]


def create(order: Order, valid_for_s: float | None = None) -> Command:
    """Create the VM now, or put it into the queue (for at most `valid_for_s` seconds)."""
    kind = f"--accelerator-type={order.type}"
    extra = ["--spot"] * order.spot + ["--preemptible"] * order.preemptible + list(order.flags)
    name, place = order.machine.name, _place(order.machine)
    if not order.machine.queued:
        return [*VM, "create", name, *place, kind, f"--version={order.runtime}", *extra]
    if valid_for_s is not None:
        extra.insert(0, f"--valid-until-duration={round(valid_for_s)}s")
    node, runtime = f"--node-id={name}", f"--runtime-version={order.runtime}"
    return [*QUEUED, "create", name, node, *place, kind, runtime, *extra]


def describe(machine: Machine) -> Command:
    """The VM as JSON."""
    return [*VM, "describe", machine.name, *_place(machine), "--format=json"]


def describe_queued(machine: Machine) -> Command:
    """The queued resource as JSON."""
    return [*QUEUED, "describe", machine.name, *_place(machine), "--format=json"]


def delete(machine: Machine) -> Command:
    """Delete the VM, or the queued resource with its VM; asks nothing."""
    if machine.queued:
        return [*QUEUED, "delete", machine.name, *_place(machine), "--force", "--quiet"]
    return [*VM, "delete", machine.name, *_place(machine), "--quiet"]


def ssh(machine: Machine, command: str, worker: str = "all") -> Command:
    """Run a shell line on one worker, or on all at the same time; asks nothing (makes a key if need be)."""
    place = _place(machine)
    return [*VM, "ssh", machine.name, *place, f"--worker={worker}", "--quiet", f"--command={command}"]


def login(machine: Machine, worker: str = "0") -> Command:
    """A shell on one worker."""
    return [*VM, "ssh", machine.name, *_place(machine), f"--worker={worker}"]


def copy(machine: Machine, files: Sequence[str], target: str, worker: str = "all") -> Command:
    """Copy local files into a folder of one worker, or of all."""
    where = f"{machine.name}:{target}"
    return [*VM, "scp", *files, where, *_place(machine), f"--worker={worker}", "--quiet"]


def _place(machine: Machine) -> list[str]:
    return [f"--zone={machine.zone}", *([f"--project={machine.project}"] if machine.project else [])]
