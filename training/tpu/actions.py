"""What `relpose tpu` does: commands are made, then printed (--dry-run) or run."""

from __future__ import annotations

import argparse
import shlex
import sys

from relpose_ros.errors import ConfigurationError
from relpose_training.tpu import creation, gcloud_commands, removal
from relpose_training.tpu.gcloud import Step, as_script, need_gcloud, read, read_json, show
from relpose_training.tpu.options import (
    job_of,
    machine_of,
    order_of,
    patience_of,
    source_of,
    worker_of,
)
from relpose_training.tpu.waiting import Patience, persist
from relpose_training.tpu.watching import Watch, plan, watch
from relpose_training.tpu.worker_status import parse_status
from relpose_training.tpu.workers import log_step, phase, prepare_steps, run_steps

AT_THE_DOOR = Patience(limit_s=600, first_s=10, longest_s=60)
"""For the first command after a VM has started, whose SSH is not up yet."""


def say(text: str) -> None:
    """Progress goes to stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def create(args: argparse.Namespace) -> None:
    """Order a VM."""
    order, patience = order_of(args), patience_of(args)
    note = order.note_on_zone()
    if note:
        say(f"note: {note}")
    if args.dry_run:
        print(as_script(creation.plan(order, patience)))
        return
    need_gcloud()
    creation.create(order, patience, say)


def prepare(args: argparse.Namespace) -> None:
    """Install everything on all workers."""
    steps = prepare_steps(machine_of(args), source_of(args))
    if not args.dry_run:
        need_gcloud()
        persist(lambda _: _quietly(steps[0]), AT_THE_DOOR, say)
        steps = steps[1:]
    _do(steps, args)


def run(args: argparse.Namespace) -> None:
    """Start a run, and stay with it if asked to."""
    machine, job = machine_of(args), job_of(args)
    task = None
    if args.watch:
        task = Watch(order_of(args), job, source_of(args), patience_of(args), restarts=args.restarts)
    elif job.bucket is None:
        say("note: without --bucket the run is on the VM's disk alone, and goes when the VM goes")
    _do(run_steps(machine, job), args)
    if task is None:
        return
    if args.dry_run:
        print(as_script(plan(task)))
    else:
        watch(task, say)


def status(args: argparse.Namespace) -> None:
    """The VM, and a run on it."""
    machine = machine_of(args)
    steps = [Step(gcloud_commands.describe(machine))]
    if machine.queued:
        steps.insert(0, Step(gcloud_commands.describe_queued(machine)))
    asks = [phase(machine, args.run, "status")] if args.run else []
    if args.dry_run:
        _do(steps + asks, args)
        return
    if machine.queued:
        state, reason = creation.queue_state(read_json("looking", steps.pop(0).command))
        print(f"queued resource {machine.name}: {state} {reason}".rstrip())
        if state in creation.WAITING_IN_QUEUE:
            return
    vm = read_json(f"looking at {machine.name}", steps[0].command)
    workers = len(vm.get("networkEndpoints", []))
    facts = [vm.get("acceleratorType"), vm.get("runtimeVersion"), f"{workers} workers", vm.get("health")]
    print(f"{machine.name}: {vm.get('state', 'unknown')} ({', '.join(str(fact) for fact in facts if fact)})")
    for step in asks:
        for worker in parse_status(read(f"asking the workers of {machine.name}", step.command)):
            print(worker.sentence)


def stop(args: argparse.Namespace) -> None:
    """End a run."""
    _do([phase(machine_of(args), args.run, "stop")], args)


def ssh(args: argparse.Namespace) -> None:
    """A shell, or a command."""
    machine, worker = machine_of(args), worker_of(args)
    if args.words:
        line = args.words[0] if len(args.words) == 1 else shlex.join(args.words)
        _do([Step(gcloud_commands.ssh(machine, line, worker))], args)
    elif worker == "all":
        raise ConfigurationError("--worker all needs a command: relpose tpu ssh ... --worker all -- COMMAND")
    else:
        _do([Step(gcloud_commands.login(machine, worker))], args)


def logs(args: argparse.Namespace) -> None:
    """The end of a log."""
    _do([log_step(machine_of(args), args.run, worker_of(args), args.lines, args.follow)], args)


def delete(args: argparse.Namespace) -> None:
    """Delete the VM, after asking."""
    machine = machine_of(args)
    if args.dry_run:
        print(as_script([Step(gcloud_commands.delete(machine), removal.warning(machine, ""))]))
        return
    machine, state = removal.find(machine)
    say(removal.warning(machine, state))
    if not args.yes:
        removal.confirm(machine.name)
    removal.delete(machine)
    say(f"{machine.name} is deleted")


def _do(steps: list[Step], args: argparse.Namespace) -> None:
    if args.dry_run:
        print(as_script(steps))
        return
    for step in steps:
        if step.note:
            say(step.note)
        show(step.note or args.action, step.command)


def _quietly(step: Step) -> None:
    read("reaching the workers", step.command)
