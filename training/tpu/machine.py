"""Which VM, and what to order; names are checked here, before gcloud is called."""

from __future__ import annotations

import re
from dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.tpu.accelerators import parse_type

NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
ZONE = re.compile(r"[a-z]+-[a-z]+\d+-(ai\d+)?[a-z]")
REGION = re.compile(r"[a-z]+-[a-z]+\d+")
PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]")
RUNTIME = re.compile(r"[a-z0-9][-a-z0-9.]*")
BUCKET = re.compile(r"gs://[a-z0-9][-a-z0-9_.]{1,220}[a-z0-9](/[^/\s*?\[\]#][^*?\[\]#\r\n]*)?")


@dataclass(frozen=True)
class Machine:
    """A TPU VM by name; `queued`: it was asked for through a queued resource of the same name."""

    name: str
    zone: str
    project: str | None = None
    queued: bool = False

    def __post_init__(self) -> None:
        check(NAME, "name", self.name, "a letter, then letters, digits and dashes, all lower case, as my-tpu")
        if REGION.fullmatch(self.zone):
            raise ConfigurationError(
                f"zone {self.zone!r} is a region: add the zone's letter, as {self.zone}-a"
            )
        check(ZONE, "zone", self.zone, "a zone, as europe-west4-a")
        if self.project is not None:
            check(
                PROJECT, "project", self.project, "a project's ID (not its display name), as my-project-123"
            )


@dataclass(frozen=True)
class Order:
    """What to create. `version` None: the runtime that Google names for the type and PyTorch."""

    machine: Machine
    type: str
    version: str | None = None
    spot: bool = False
    preemptible: bool = False
    flags: tuple[str, ...] = ()
    """Flags for gcloud's create, as they are (`--internal-ips`)."""

    def __post_init__(self) -> None:
        accelerator, _ = parse_type(self.type)
        object.__setattr__(self, "type", accelerator)
        if self.version is not None:
            check(RUNTIME, "version", self.version, "a TPU software version, as tpu-ubuntu2204-base")
        if self.spot and self.preemptible:
            raise ConfigurationError("spot and preemptible exclude each other; spot has no limit of 24 hours")
        if self.preemptible and self.machine.queued:
            raise ConfigurationError("queued resources know no preemptible VMs: use --spot with --queued")
        for flag in self.flags:
            if not flag.startswith("--"):
                raise ConfigurationError(f"gcloud flag {flag!r}: expected one that starts with --")

    @property
    def runtime(self) -> str:
        """The software version that the VM starts with."""
        return self.version or parse_type(self.type)[1].runtime

    @property
    def can_be_taken_away(self) -> bool:
        """Whether Google may pre-empt it."""
        return self.spot or self.preemptible

    def note_on_zone(self) -> str | None:
        """A sentence, if the zone is not in Google's table for this type."""
        zones = parse_type(self.type)[1].zones
        if self.machine.zone in zones:
            return None
        return (
            f"Google's table (as of 2025) has {self.type} in {', '.join(zones)}, not in {self.machine.zone}; "
            "going on, since grants and tables change"
        )


def check_bucket(text: str) -> str:
    """A bucket or a folder in one, without the slash at its end. Raises ConfigurationError."""
    address = text.rstrip("/")
    check(BUCKET, "bucket", address, "gs://bucket or gs://bucket/folder")
    return address


def check(pattern: re.Pattern[str], what: str, value: str, expected: str) -> None:
    """Raise ConfigurationError unless all of `value` matches."""
    if not pattern.fullmatch(value):
        raise ConfigurationError(f"{what} {value!r}: expected {expected}")
