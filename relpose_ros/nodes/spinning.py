"""A node beside other work: its callbacks run in a thread of their own."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions


@contextmanager
def spinning_node(name: str) -> Iterator[Node]:
    """A node that spins until the block ends, whatever its callbacks raise. Signals stay with the caller."""
    context = Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(name, context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ended = threading.Event()

    def spin() -> None:
        while context.ok() and not ended.is_set():
            try:
                executor.spin()
            except ExternalShutdownException:
                return
            except Exception:  # noqa: BLE001 - callbacks go on, as they do in the nodes
                if not ended.is_set():
                    _report(node)

    thread = threading.Thread(target=spin, name="relpose-spin", daemon=True)
    thread.start()
    try:
        yield node
    finally:
        ended.set()
        executor.shutdown()
        thread.join(5.0)
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def _report(node: Node) -> None:
    """rclpy's executor falls over an entity that another thread makes or destroys; not so a round later."""
    node.get_logger().warning(f"the executor goes on after\n{traceback.format_exc()}")
