"""Staying with a run: it goes on after a pre-emption, a crash or a restart of the VM, until it is done."""

from __future__ import annotations

from dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.tpu import creation
from relpose_training.tpu import gcloud_commands as commands
from relpose_training.tpu.creation import COMING_UP, READY, queue_state
from relpose_training.tpu.failures import RETRIED, Kind, TpuError
from relpose_training.tpu.gcloud import Step, read, read_json
from relpose_training.tpu.machine import Machine, Order
from relpose_training.tpu.waiting import Patience, Say
from relpose_training.tpu.worker_status import WorkerStatus, parse_status
from relpose_training.tpu.workers import Job, Source, phase, prepare_steps, run_steps

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


def plan(task: Watch) -> list[Step]:
    """The commands of `watch`."""
    machine, job = task.order.machine, task.job
    anew = [Step(commands.delete(machine)), *creation.plan(task.order, task.patience)]
    return [
        Step(commands.describe(machine), "every two minutes; if Google took the VM away:"),
        *anew,
        *prepare_steps(machine, task.source),
        *run_steps(machine, job, restart=True),
        phase(
            machine, job.name, "status", note="until all have ended with 0; after a crash, from stop on again"
        ),
    ]


def watch(task: Watch, say: Say) -> None:
    """Look after a started run until it is done on all workers.

    Raises TpuError if somebody deletes the VM or stops it or the run, if training ends with a usage error,
    or crashes more often than allowed.
    """
    machine = task.order.machine
    crashes = silent = 0
    started = True
    while True:
        task.patience.clock.sleep(task.poll_s)
        state = vm_state(machine)
        if state in TAKEN_AWAY:
            say(f"{machine.name}: {state}; making it anew")
            _make_anew(task, say)
            state, started, crashes = READY, False, 0
        if state == READY and not started:
            started = _try(prepare_steps(machine, task.source) + run_steps(machine, task.job, True), say)
        elif state == READY:
            workers = _ask(task, say)
            if workers and all(worker.exit == 0 for worker in workers):
                say(f"run {task.job.name} is done: {task.job.bucket}/runs/{task.job.name}")
                return
            silent = 0 if workers else silent + 1
            if silent >= DEAF or any(map(_has_failed, workers)):
                crashes, silent = crashes + 1, 0
                _check_worth_it(task, workers, crashes)
                say(f"{_report(workers)}\nstarting again ({crashes} of {task.restarts})")
                _try(run_steps(machine, task.job, True), say)
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


def _make_anew(task: Watch, say: Say) -> None:
    try:
        read("deleting", commands.delete(task.order.machine))
    except TpuError as error:
        if error.kind is not Kind.MISSING:
            raise
    creation.create(task.order, task.patience, say)


def _try(steps: list[Step], say: Say) -> bool:
    """Do the steps; False if one met a passing fault (a VM that is just starting refuses connections)."""
    try:
        for step in steps:
            read(step.note or "on the workers", step.command)
    except TpuError as error:
        if error.kind not in RETRIED:
            raise
        say(f"{error}; asking again")
        return False
    return True


def _ask(task: Watch, say: Say) -> list[WorkerStatus]:
    step = phase(task.order.machine, task.job.name, "status")
    try:
        return parse_status(read("asking the workers", step.command))
    except TpuError as error:
        say(f"no answer of the workers, asking again: {error}")
        return []


def _has_failed(worker: WorkerStatus) -> bool:
    return worker.state in ("lost", "none", "stopped") or worker.exit not in (None, 0)


def _report(workers: list[WorkerStatus]) -> str:
    return "\n".join(worker.sentence for worker in workers) or "the workers do not answer"


def _check_worth_it(task: Watch, workers: list[WorkerStatus], crashes: int) -> None:
    why = ""
    if any(worker.state == "stopped" for worker in workers):
        why = "the run was stopped by relpose tpu stop: watching ends"
    elif any(worker.exit == USAGE for worker in workers):
        why = "training ended with an error that another try does not change"
    elif crashes > task.restarts:
        why = f"training crashed {crashes} times"
    if why:
        raise TpuError(f"{why}; see: relpose tpu logs --run {task.job.name}\n{_report(workers)}")
