"""Getting a TPU VM: at once, again and again, or through the queue."""

from __future__ import annotations

from typing import Any

from relpose_training.tpu import gcloud_commands as commands
from relpose_training.tpu.failures import RETRIED, Kind, TpuError, classify
from relpose_training.tpu.gcloud import Step, read, read_json
from relpose_training.tpu.machine import Machine, Order
from relpose_training.tpu.waiting import Patience, Say, duration, persist

WAITING_IN_QUEUE = frozenset({"CREATING", "ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING"})
COMING_UP = frozenset({"CREATING", "STARTING", "RESTARTING", "REIMAGING", "REPAIRING"})
READY = "READY"


def plan(order: Order, patience: Patience) -> list[Step]:
    """The commands of `create`."""
    hours = f"{patience.limit_s / 3600:.3g} h"
    if order.machine.queued:
        return [
            Step(commands.create(order, patience.limit_s or None), "into the queue"),
            Step(commands.describe_queued(order.machine), f"until ACTIVE, for at most {hours}"),
        ]
    again = f"again after {duration(patience.first_s)} to {duration(patience.longest_s)} while there is no"
    return [
        Step(commands.create(order), f"{again} capacity, for at most {hours}; a quota error ends it"),
        Step(commands.describe(order.machine), "until READY"),
    ]


def create(order: Order, patience: Patience, say: Say) -> None:
    """Create the VM and wait until it is ready.

    Raises TpuError: at once for what waiting does not change (quota, permissions, names), and when
    patience ends.
    """
    if order.machine.queued:
        from_queue(order, patience, say)
    else:
        at_once(order, patience, say)
    say(f"{order.machine.name}: ready ({order.type}, {order.runtime}, {order.machine.zone})")


def at_once(order: Order, patience: Patience, say: Say) -> None:
    """Ask for the VM until Google has one."""
    what = f"creating {order.machine.name} ({order.type} in {order.machine.zone})"

    def attempt(number: int) -> None:
        say(f"{what}: this takes some minutes")
        try:
            read(what, commands.create(order))
        except TpuError as error:
            if error.kind is not Kind.EXISTS or number == 1:
                raise  # after a fault of the service, it may well be ours

    persist(attempt, patience, say)
    _wait_until_ready(order.machine, patience, say)


def from_queue(order: Order, patience: Patience, say: Say) -> None:
    """Put the VM into the queue, or go on waiting for one that is there, until it is active."""
    machine = order.machine
    what = f"queueing {machine.name} ({order.type} in {machine.zone})"

    def attempt(_number: int) -> None:
        try:
            read(what, commands.create(order, patience.limit_s or None))
        except TpuError as error:
            if error.kind is not Kind.EXISTS:
                raise
            say(f"{machine.name} is in the queue already: waiting for it")

    persist(attempt, patience, say)
    _wait_in_queue(order, patience, say)


def _wait_in_queue(order: Order, patience: Patience, say: Say) -> None:
    clock, number, last = patience.clock, 1, ""
    end = clock.now() + patience.limit_s
    while True:
        content = _look(commands.describe_queued(order.machine), order.machine)
        state, reason = queue_state(content)
        _check_same_type(content, order)
        if state == "ACTIVE":
            return
        if state and state not in WAITING_IN_QUEUE:
            raise TpuError(
                f"{order.machine.name}: the queued resource is {state}: {reason or 'no reason given'}. "
                f"{classify(reason).value}\nIt stays in the list and counts against your quota until: "
                "relpose tpu delete --queued",
                classify(reason),
            )
        if clock.now() > end:
            raise TpuError(
                f"{order.machine.name}: still {state or 'unknown'} after {duration(patience.limit_s)}; the "
                "same command goes on waiting, `relpose tpu delete --queued` takes it out of the queue",
                Kind.CAPACITY,
            )
        if state and state != last:
            say(f"{order.machine.name}: {state}")
            last = state
        clock.sleep(patience.pause(number))
        number += 1


def _wait_until_ready(machine: Machine, patience: Patience, say: Say) -> None:
    clock, end = patience.clock, patience.clock.now() + 1800
    while True:
        state = str(_look(commands.describe(machine), machine).get("state", ""))
        if state == READY:
            return
        if (state and state not in COMING_UP) or clock.now() > end:
            raise TpuError(
                f"{machine.name} is {state or 'unknown'} and not READY: relpose tpu delete, then again"
            )
        say(f"{machine.name}: {state}")
        clock.sleep(patience.first_s)


def queue_state(content: dict[str, Any]) -> tuple[str, str]:
    """State of a queued resource, and the reason if it failed."""
    state = content.get("state", {})
    return str(state.get("state", "")), str(state.get("failedData", {}).get("error", {}).get("message", ""))


def _look(command: list[str], machine: Machine) -> dict[str, Any]:
    """What gcloud knows; nothing while the service has a passing fault."""
    try:
        return read_json(f"looking at {machine.name}", command)
    except TpuError as error:
        if error.kind in RETRIED:
            return {}
        raise


def _check_same_type(content: dict[str, Any], order: Order) -> None:
    for node in content.get("tpu", {}).get("nodeSpec", []):
        found = node.get("node", {}).get("acceleratorType", order.type)
        if found != order.type:
            raise TpuError(
                f"{order.machine.name} is in the queue for {found}, not {order.type}: choose another --name, "
                "or relpose tpu delete --queued",
                Kind.EXISTS,
            )
