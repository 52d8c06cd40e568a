"""What every benchmark prints: on what machine, how busy it was, and Markdown tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from relpose_ros.evaluation.provenance import hardware, software

BUSY_SHARE = 0.25
"""Load average (one minute) per core above which times are not to be trusted."""


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def machine() -> dict[str, Any]:
    """Hardware, versions and the load averages of 1, 5 and 15 minutes, as they are now."""
    return {"hardware": hardware(), "software": software(), "load_average": list(os.getloadavg())}


def describe_machine() -> str:
    """`machine()` in words, with a warning when something else is using the processor."""
    facts = machine()
    hard, load = facts["hardware"], facts["load_average"]
    versions = ", ".join(f"{name} {v}" for name, v in facts["software"].items() if v)
    lines = [
        f"{hard['processor']}, {hard['cores']} cores, {hard['memory_gib']} GiB, {hard['system']}",
        versions,
        f"load average {load[0]:.2f} {load[1]:.2f} {load[2]:.2f}",
    ]
    if load[0] > BUSY_SHARE * hard["cores"]:
        lines.append(
            "**The machine is busy: times are too long, and ratios suffer too. Repeat when it is idle.**"
        )
    return "  \n".join(lines)


def number(value: float | None, digits: int = 1) -> str:
    """Fixed digits; `-` for what is unknown."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share (0..1) in percent; `-` for what is unknown."""
    return "-" if value is None else f"{100 * value:.1f}"
