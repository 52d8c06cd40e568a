"""Start a node, spin, end cleanly: exit status 0 after a signal, 2 when it refuses to start."""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relpose_ros.nodes.camera_node import CameraNode

END_WITH_PARENT = "RELPOSE_END_WITH_PARENT"
"""Set in the environment of a process that must not outlive the one that started it."""

PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: a signal for when the parent dies."""

SPIN_AGAIN_AFTER = 0.02
"""Seconds: an error that comes back at every turn must not take a whole core."""

REFUSED = 2
"""Exit status of a node that cannot do what its parameters ask."""


class Phase(Enum):
    """What a signal finds the process doing."""

    IMPORTING = "importing"
    STARTING = "starting"
    SPINNING = "spinning"
    ENDING = "ending"


class StopSignals:
    """SIGINT and SIGTERM end the process cleanly in every phase.

    An exception in the middle of an import or of the map's reading comes out as anything, so
    only a spinning node is interrupted by one.
    """

    def __init__(self) -> None:
        self.phase = Phase.IMPORTING
        self.wanted = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        self.wanted = True
        if self.phase is Phase.IMPORTING:
            os._exit(0)  # nothing has been made yet
        if self.phase is Phase.SPINNING:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """A signal that comes meanwhile interrupts at the end: a transition reads maps, as starting does."""
        if self.phase is not Phase.SPINNING:
            yield
            return
        self.phase = Phase.STARTING
        try:
            yield
        finally:
            self.phase = Phase.SPINNING
            if self.wanted:
                raise KeyboardInterrupt


def run(module: str, node_class: str) -> int:
    """Run `node_class` of `module` until it is told to stop. Returns the exit status.

    Signals are caught before anything heavy is imported.
    """
    signals = StopSignals()
    end_with_parent()
    make = getattr(importlib.import_module(module), node_class)
    import rclpy  # noqa: F401 - before the phase changes

    signals.phase = Phase.STARTING
    status = _run(make, node_class, signals)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # one that comes in Python's own end would be the exit status
    if any(thread.name.startswith("relpose-") for thread in threading.enumerate()):
        # Still in the middle of a map or a frame: Python's own end would pull the libraries away under it.
        gc.collect()  # what rclpy still holds, so that DDS tells the others that the node is gone
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def end_with_parent() -> None:
    """Get a SIGINT when the parent dies, if the environment asks for it (Linux)."""
    if os.environ.get(END_WITH_PARENT) and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _run(make: Callable[[], CameraNode], name: str, signals: StopSignals) -> int:
    from relpose_ros.errors import RelposeError

    node: CameraNode | None = None
    try:
        _init()
        node = make()
        node.hold_signals = signals.held
        node.start_by_itself()
        _spin(node, signals)
    except RelposeError as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return REFUSED
    finally:
        signals.phase = Phase.ENDING
        _end(node)
    return 0


def _init() -> None:
    """Raises ConfigurationError for ROS arguments that cannot be used."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from relpose_ros.errors import ConfigurationError

    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:
        raise ConfigurationError(f"the arguments after --ros-args cannot be used: {error}") from error


def _spin(node: Any, signals: StopSignals) -> None:
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions, install_signal_handlers

    executor = SingleThreadedExecutor()
    try:
        install_signal_handlers(SignalHandlerOptions.ALL)  # wakes the executor, then calls ours
        signals.phase = Phase.SPINNING
        while not signals.wanted and rclpy.ok():
            _spin_until_raised(node, executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        return  # the ordinary end
    finally:
        signals.phase = Phase.ENDING
        executor.shutdown()


def _spin_until_raised(node: Any, executor: Any) -> None:
    """What a callback raises, or rclpy over a message before any callback, does not end the node."""
    import rclpy
    from rclpy.executors import ExternalShutdownException

    try:
        rclpy.spin(node, executor)
    except ExternalShutdownException:
        raise
    except Exception as error:  # noqa: BLE001 - counted, logged, and on
        node.unexpected(error)
        time.sleep(SPIN_AGAIN_AFTER)


def _end(node: CameraNode | None) -> None:
    import rclpy

    if node is not None:
        node.stop()
        node.destroy_node()
    rclpy.try_shutdown()
