"""The environment of processes that talk over a DDS domain of their own."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from relpose_ros.errors import ConfigurationError

DOMAINS = range(1, 102)
"""Above 101 the ports of a domain reach those that the system gives to others."""

PROFILE = "fastdds_shm.xml"


def free_domain() -> int:
    """A ROS domain whose ports nobody on this machine uses, starting from one that depends on the process.

    Raises ConfigurationError when all are taken.
    """
    first = os.getpid() % len(DOMAINS)
    for offset in range(len(DOMAINS)):
        domain = DOMAINS[(first + offset) % len(DOMAINS)]
        if _is_free(domain):
            return domain
    raise ConfigurationError("every ROS domain from 1 to 101 is in use on this machine; set ROS_DOMAIN_ID")


def _is_free(domain: int) -> bool:
    """Whether the discovery ports (multicast, first unicast) can be bound: RTPS 2.5, section 9.6.2.3."""
    for port in (7400 + 250 * domain, 7410 + 250 * domain):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port))
            except OSError:
                return False
    return True


def dds_environment(domain: int, log_folder: Path) -> dict[str, str]:
    """Variables for processes of one domain: logs in `log_folder`, shared memory that fits images."""
    log_folder.mkdir(parents=True, exist_ok=True)
    out = {"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(log_folder), "PYTHONUNBUFFERED": "1"}
    profile = find_profile()
    if profile is None:
        return out | {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}
    return out | {profile_variable(): str(profile)}


def profile_variable() -> str:
    """Name of the variable by which Fast DDS is given a profile: up to Jazzy it is version 2."""
    is_fastdds_2 = os.environ.get("ROS_DISTRO") in ("humble", "iron", "jazzy")
    return "FASTRTPS_DEFAULT_PROFILES_FILE" if is_fastdds_2 else "FASTDDS_DEFAULT_PROFILES_FILE"


@contextmanager
def applied(variables: Mapping[str, str]) -> Iterator[None]:
    """The variables are set for this process and those it starts; afterwards they are as before."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def find_profile() -> Path | None:
    """Our Fast DDS profile: beside the package in a checkout, in share/ where it is installed."""
    package = Path(__file__).resolve().parents[1]
    share = Path("share", "relpose_ros", "config", PROFILE)
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    candidates = [package.parent / "config" / PROFILE, *(Path(p) / share for p in prefixes if p)]
    return next((path for path in candidates if path.is_file()), None)
