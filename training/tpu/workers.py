"""What is done on the workers of a VM: shell lines around startup.sh and run.sh, which lie beside this file."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from relpose_ros.errors import ConfigurationError
from relpose_training.tpu import gcloud_commands as commands
from relpose_training.tpu.gcloud import Step
from relpose_training.tpu.machine import NAME, Machine, check

HERE = Path(__file__).parent
SCRIPTS = ("startup.sh", "run.sh")
TORCH = "2.9.0"
"""Of torch and torch_xla, which go together: the newest there is (requirements/xla.txt)."""
REMOTE = "relpose"
"""Folder in the home of every worker: environment, runs, control files, scripts."""

STATUS = re.compile(
    r"relpose-status worker=(?P<worker>\d+) state=(?P<state>\w+) exit=(?P<exit>\d*) "
    r"saved=(?P<saved>\S*) copied=(?P<copied>\S*)"
)


@dataclass(frozen=True)
class Source:
    """Where the workers get relpose_ros from: a git repository, or an archive of this machine (.tar.gz)."""

    address: str
    commit: str | None = None

    def __post_init__(self) -> None:
        if self.is_archive:
            if not Path(self.address).is_file():
                raise ConfigurationError(f"source {self.address}: there is no such file")
            if self.commit:
                raise ConfigurationError(f"source {self.address} is an archive: --commit is for git addresses")
        elif not re.match(r"(https|ssh|git)://|git@", self.address):
            raise ConfigurationError(
                f"source {self.address!r}: expected a git address (https://...) or a .tar.gz: an sdist, or "
                "git archive --format=tar.gz --prefix=relpose_ros/ -o relpose_ros.tar.gz HEAD"
            )

    @property
    def is_archive(self) -> bool:
        """Whether it is a file."""
        return self.address.endswith(".tar.gz")


@dataclass(frozen=True)
class Job:
    """A run on a VM: `relpose train RECIPE key=value ...` under a name, kept in a bucket."""

    recipe: str
    words: tuple[str, ...] = ()
    name: str = ""
    bucket: str | None = None
    every_s: float = 600.0
    """Seconds between copies to the bucket."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.recipe.replace("_", "-"))
        check(NAME, "run", self.name, "letters, digits and dashes, all lower case")
        if not self.recipe.isidentifier():
            raise ConfigurationError(f"recipe {self.recipe!r}: expected a name, as one_to_one")
        for word in self.words:
            key, mark, _ = word.partition("=")
            if not mark or not key.isidentifier():
                raise ConfigurationError(f"expected key=value, got {word!r}")
            if key == "out":
                raise ConfigurationError("out= is set by this command: --run NAME names it, --bucket keeps it")
        if self.every_s < 30:
            raise ConfigurationError(f"--sync-minutes: expected at least 0.5, got {self.every_s / 60:g}")

    @property
    def arguments(self) -> list[str]:
        """What follows `relpose train`, but for out=."""
        named = {word.partition("=")[0] for word in self.words}
        return [self.recipe, *self.words, *([] if "device" in named else ["device=xla"])]


def prepare_steps(machine: Machine, source: Source) -> list[Step]:
    """Copy the scripts (and the archive) to all workers and install everything there."""
    files = [str(HERE / name) for name in SCRIPTS] + [source.address] * source.is_archive
    address = f"{REMOTE}/{Path(source.address).name}" if source.is_archive else source.address
    values = {"RELPOSE_SOURCE": address, "RELPOSE_COMMIT": source.commit or "", "RELPOSE_TORCH": TORCH}
    return [
        Step(commands.ssh(machine, f"mkdir -p {REMOTE}")),
        Step(commands.copy(machine, files, f"{REMOTE}/")),
        Step(commands.ssh(machine, _line(values, "startup.sh")), "Python, torch, torch_xla, relpose_ros"),
    ]


def phase(machine: Machine, job: Job, name: str, note: str = "") -> Step:
    """One command of run.sh on all workers at the same time: push, fetch, start, stop or status."""
    values = {"RELPOSE_RUN": job.name, "RELPOSE_BUCKET": job.bucket or "", "RELPOSE_EVERY": f"{job.every_s:g}"}
    arguments = job.arguments if name == "start" else []
    return Step(commands.ssh(machine, _line(values, "run.sh", name, *arguments)), note)


def run_steps(machine: Machine, job: Job, restart: bool = False) -> list[Step]:
    """Start a run, from its newest state. Every step ends on all workers before the next begins."""
    steps = [phase(machine, job, "stop", "end what is left of it")] if restart else []
    if job.bucket:
        steps += [
            phase(machine, job, "push", "a state that is newer here goes to the bucket"),
            phase(machine, job, "fetch", "every worker gets the same state from the bucket"),
        ]
    return [*steps, phase(machine, job, "start")]


def log_step(machine: Machine, run: str, worker: str, lines: int, follow: bool) -> Step:
    """The end of a run's log on a worker."""
    check(NAME, "run", run, "letters, digits and dashes, all lower case")
    tail = f"tail -n {lines}{' -F' if follow else ''} {REMOTE}/control/{run}/log"
    return Step(commands.ssh(machine, tail, worker))


@dataclass(frozen=True)
class WorkerStatus:
    """A line of `run.sh status`."""

    worker: int
    state: str
    """running, ended, lost (it vanished without a word: the VM was restarted) or none."""
    exit: int | None
    saved: str
    copied: str

    @property
    def sentence(self) -> str:
        """For people."""
        ended = "" if self.exit is None else f" with status {self.exit}"
        saved = f", state saved {self.saved}" if self.saved else ""
        copied = f", copied to the bucket {self.copied}" if self.copied else ""
        return f"worker {self.worker}: {self.state}{ended}{saved}{copied}"


def parse_status(text: str) -> list[WorkerStatus]:
    """The status lines in gcloud's output, by worker."""
    found = [
        WorkerStatus(
            int(m["worker"]), m["state"], int(m["exit"]) if m["exit"] else None, m["saved"], m["copied"]
        )
        for m in STATUS.finditer(text)
    ]
    return sorted(found, key=lambda status: status.worker)


def _line(values: dict[str, str], script: str, *arguments: str) -> str:
    """`A=... B=... bash relpose/script arguments`, quoted for the worker's shell."""
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return f"{given} bash {REMOTE}/{script}" + "".join(f" {shlex.quote(a)}" for a in arguments)
