"""On what machine, and with which versions, a result was measured."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

DISTRIBUTIONS = {
    "relpose_ros": ("relpose_ros", "relpose-ros"),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "opencv": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "poselib": ("poselib",),
    "pycolmap": ("pycolmap",),
    "faiss": ("faiss-cpu", "faiss-gpu"),
    "torch": ("torch",),
}
"""What is reported -> the distributions that may carry it."""


def software() -> dict[str, str | None]:
    """Name -> installed version, or None. Reads metadata only; imports nothing."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name, candidates in DISTRIBUTIONS.items():
        versions[name] = next(filter(None, map(_version, candidates)), None)
    return versions


def hardware() -> dict[str, Any]:
    """Processor, usable cores, memory in GiB, operating system."""
    return {
        "processor": _processor(),
        "cores": _cores(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
    }


def command_line() -> str:
    """The command that this process was started with."""
    import shlex

    return shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]) if sys.argv else ""


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
