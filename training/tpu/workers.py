"""What is done on the workers of a VM: shell lines around startup.sh and run.sh."""

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
RECIPE = re.compile(r"[A-Za-z]\w*(\.\w+)*(:[A-Za-z]\w*)?")
RUN_NAME = "a letter, then letters, digits and dashes, all lower case"
SCRIPTS = ("startup.sh", "run.sh")
TORCH = "2.9.0"
"""Of torch and torch_xla, which go together: the newest there is (requirements/xla.txt)."""
REMOTE = "relpose"
"""Folder in the home of every worker: environment, runs, control files, scripts."""


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
                raise ConfigurationError(
                    f"source {self.address} is an archive: --commit is for git addresses"
                )
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
    config: str | None = None
    """A YAML file of this machine with settings; it is copied to the workers."""

    def __post_init__(self) -> None:
        check(RECIPE, "recipe", self.recipe, "a name, as one_to_one, or module:Class")
        plain = self.recipe.rpartition(":")[2].lower().replace("_", "-")
        object.__setattr__(self, "name", self.name or plain)
        check(NAME, "run", self.name, RUN_NAME)
        for word in self.words:
            key, mark, _ = word.partition("=")
            if not mark or not key.isidentifier():
                raise ConfigurationError(f"expected key=value, got {word!r}")
            if key == "out":
                raise ConfigurationError(
                    "out= is set by this command: --run NAME names it, --bucket keeps it"
                )
        if self.config is not None and not Path(self.config).is_file():
            raise ConfigurationError(f"--config {self.config}: there is no such file")
        if self.every_s < 30:
            raise ConfigurationError(f"--sync-minutes: expected at least 0.5, got {self.every_s / 60:g}")

    @property
    def arguments(self) -> list[str]:
        """What follows `relpose train`, but for out=."""
        named = {word.partition("=")[0] for word in self.words}
        config = [] if self.config is None else ["--config", self.remote_config]
        return [self.recipe, *self.words, *config, *([] if "device" in named else ["device=xla"])]

    @property
    def remote_config(self) -> str:
        """Where the configuration file lies on a worker."""
        return f"{REMOTE}/{self.name}.yaml"


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


def phase(machine: Machine, run: str, name: str, job: Job | None = None, note: str = "") -> Step:
    """One command of run.sh on all workers at the same time: push, fetch, start, stop or status."""
    check(NAME, "run", run, RUN_NAME)
    values = {"RELPOSE_RUN": run}
    if job is not None:
        values |= {"RELPOSE_BUCKET": job.bucket or "", "RELPOSE_EVERY": f"{job.every_s:g}"}
    arguments = job.arguments if job is not None and name == "start" else []
    return Step(commands.ssh(machine, _line(values, "run.sh", name, *arguments)), note)


def run_steps(machine: Machine, job: Job, restart: bool = False) -> list[Step]:
    """Start a run, from its newest state. Every step ends on all workers before the next begins."""
    steps = [phase(machine, job.name, "stop", job, "end what is left of it")] if restart else []
    if job.bucket:
        steps += [
            phase(machine, job.name, "push", job, "a state that is newer on the VM goes to the bucket"),
            phase(machine, job.name, "fetch", job, "every worker gets the same state from the bucket"),
        ]
    if job.config is not None:
        steps.append(Step(commands.copy(machine, [job.config], job.remote_config), "the configuration"))
    return [*steps, phase(machine, job.name, "start", job)]


def log_step(machine: Machine, run: str, worker: str, lines: int, follow: bool) -> Step:
    """The end of a run's log on a worker."""
    check(NAME, "run", run, RUN_NAME)
    tail = f"tail -n {lines}{' -F' if follow else ''} {REMOTE}/control/{run}/log"
    return Step(commands.ssh(machine, tail, worker))


def _line(values: dict[str, str], script: str, *arguments: str) -> str:
    """`A=... B=... bash relpose/script arguments`, quoted for the worker's shell."""
    given = " ".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
    return f"{given} bash {REMOTE}/{script}" + "".join(f" {shlex.quote(a)}" for a in arguments)
