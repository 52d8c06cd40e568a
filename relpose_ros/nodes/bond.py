"""The bond with a lifecycle manager: heart-beats on the topic `bond`; each notices the other's end."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from rclpy.node import Node

TOPIC = "bond"
"""Relative to the node's namespace, as Nav2's lifecycle manager has it; the bond's id is the node's name."""

TIMEOUT = 4.0
"""Seconds without a heart-beat after which the other side is taken for dead; Nav2's own value."""


def has_bondpy() -> bool:
    """Whether the package bondpy is installed (it comes with ROS, not from PyPI)."""
    return importlib.util.find_spec("bondpy") is not None


def open_bond(node: Node, period: float, on_broken: Callable[[], object]) -> Callable[[], None]:
    """Begin heart-beats every `period` seconds (bondpy sends them from a thread of its own).

    Returns what ends them. `on_broken` is called, from any thread, when the manager falls silent; not when
    none was ever heard.
    """
    from bondpy import bondpy

    formed = closing = False

    def form() -> None:
        nonlocal formed
        formed = True

    def broken() -> None:
        if formed and not closing:  # bondpy calls it too when it gives up waiting for the other side
            on_broken()

    bond = bondpy.Bond(node, TOPIC, node.get_name(), on_broken=broken, on_formed=form)
    bond.heartbeat_period, bond.heartbeat_timeout = period, TIMEOUT
    bond.start()

    def close() -> None:
        nonlocal closing
        closing = True
        if node.context.ok():
            bond.shutdown()
        else:
            bond.is_shutdown = True  # the process is ending: bondpy could not publish its last word

    return close
