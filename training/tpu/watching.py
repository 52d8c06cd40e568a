"""Staying with a run: it goes on after a pre-emption, a crash or a restart of the VM, until it is done."""

from __future__ import annotations

from dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.tpu import gcloud_commands as commands
from relpose_training.tpu.creation import COMING_UP, READY, create, queue_state
from relpose_training.tpu.failures import RETRIED, Kind, TpuError
from relpose_training.tpu.gcloud import Step, read, read_json, show
from relpose_training.tpu.machine import Machine, Order
from relpose_training.tpu.waiting import Patience, Say
from relpose_training.tpu.workers import Job, Source, WorkerStatus, parse_status, phase, prepare_steps, run_steps

TAKEN_AWAY = frozenset({"PREEMPTED", "TERMINATED", "SUSPENDED", "SUSPENDING", "FAILED"})
USAGE = 2
"""Exit status of `relpose train` for what a new try does not change."""
DEAF = 10
"""So many looks in a row without an answer of the workers, and the run is started again."""


@dataclass(frozen=True)
class Watch:
    """A run and all it takes to make its VM anew."""

    order: Order
    job: Job
    source: Source
    patience: Patience
    poll_s: float = 120.0
    restarts: int = 5
    """After crashes, without a pre-emption between them."""

    def __post_init__(self) -> None:
        if self.job.bucket is None:
            raise ConfigurationError("--watch needs --bucket: a VM that is taken away takes its disk along")


def watch(task: Watch, say: Say) -> None:
    """Look after a started run until it is done on all workers.

    Raises TpuError if the VM is deleted or stopped by somebody, if training ends with a usage error, or
    crashes more often than allowed.
    """
    machine, crashes, deaf = task.order.machine, 0, 0
    while True:
        task.patience.clock.sleep(task.poll_s)
        state = vm_state(machine)
        if state in TAKEN_AWAY:
            say(f"{machine.name}: {state}; making it anew")
            make_anew(task, say)
            crashes = deaf = 0
        elif state == READY:
            workers = _ask(task, say)
            deaf = 0 if workers else deaf + 1
            if workers and all(worker.exit == 0 for worker in workers):
                say(f"run {task.job.name} is done: {task.job.bucket}/runs/{task.job.name}")
                return
            if deaf >= DEAF or any(_has_failed(worker) for worker in workers):
                crashes, deaf = crashes + 1, 0
                _start_again(task, workers, crashes, say)
        elif state and state not in COMING_UP:
            raise TpuError(f"{machine.name} is {state}, not by Google: watching ends. Nothing was deleted")


def vm_state(machine: Machine) -> str:
    """State of the VM, or of its queued resource if that says more; empty while the service is unwell."""
    try:
        if machine.queued:
            state, _ = queue_state(read_json("looking", commands.describe_queued(machine)))
            if state in TAKEN_AWAY:
                return state
        return str(read_json("looking", commands.describe(machine)).get("state", ""))
    except TpuError as error:
        if error.kind is Kind.MISSING:
            return "DELETED"
        if error.kind in RETRIED:
            return ""
        raise


def make_anew(task: Watch, say: Say) -> None:
    """Delete what is left of the VM, create and prepare it, and go on with the run."""
    machine = task.order.machine
    try:
        read("deleting", commands.delete(machine))
    except TpuError as error:
        if error.kind is not Kind.MISSING:
            raise
    create(task.order, task.patience, say)
    _do(prepare_steps(machine, task.source) + run_steps(machine, task.job))


def _ask(task: Watch, say: Say) -> list[WorkerStatus]:
    step = phase(task.order.machine, task.job, "status")
    try:
        return parse_status(read("asking the workers", step.command))
    except TpuError as error:
        say(f"no answer of the workers, asking again: {error}")
        return []


def _has_failed(worker: WorkerStatus) -> bool:
    return worker.state in ("lost", "none") or (worker.exit is not None and worker.exit != 0)


def _start_again(task: Watch, workers: list[WorkerStatus], crashes: int, say: Say) -> None:
    report = "\n".join(worker.sentence for worker in workers) or "the workers do not answer"
    advice = f"see: relpose tpu logs --run {task.job.name}"
    if any(worker.exit == USAGE for worker in workers):
        raise TpuError(f"training ended with an error that another try does not change; {advice}\n{report}")
    if crashes > task.restarts:
        raise TpuError(f"training crashed {crashes} times; {advice}\n{report}")
    say(f"{report}\nstarting again ({crashes} of {task.restarts})")
    _do(run_steps(task.order.machine, task.job, restart=True))


def _do(steps: list[Step]) -> None:
    for step in steps:
        show(step.note or "on the workers", step.command)
