"""A managed node: unconfigured, inactive, active, finalized, and what may fail on the way.

https://design.ros2.org/articles/node_lifecycle.html
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from relpose_ros.errors import RelposeError
from relpose_ros.nodes.bond import has_bondpy, open_bond
from relpose_ros.nodes.memory import release_memory
from relpose_ros.nodes.parameters import Parameter, declare, read

LIFE_PARAMETERS = (
    Parameter("autostart", True, "configure and activate at process start, and end the process if that "
              "fails; false: wait for a lifecycle manager", fixed=True),
    Parameter("bond_heartbeat_period", 0.1, "seconds between heart-beats to the lifecycle manager (only "
              "without autostart, where bondpy is installed); 0: none", range=(0.0, 10.0)),
)  # fmt: skip
"""Parameters of every managed node."""

UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = "unconfigured", "inactive", "active", "finalized"

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class ManagedNode(LifecycleNode):
    """Base of the nodes: the states, and who closes what was opened in them.

    A subclass fills `configure` and `activate` and hands what must be undone to `while_configured` and
    `while_active`, and what rclpy does not destroy with the node to `while_alive`; that is how the way back
    works. What they raise makes the transition fail: the reason is logged and the node stays in the state
    before. Raises ConfigurationError at construction when a parameter cannot be used.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter] = ()) -> None:
        super().__init__(name)
        self.lifecycle = UNCONFIGURED
        self.hold_signals: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.while_alive, self.while_configured, self.while_active = ExitStack(), ExitStack(), ExitStack()
        self._table = tuple(parameters)
        self._starting = self._setting = False
        self._refusal: Exception | None = None
        self._heard: dict[str, Subscription[Any]] = {}
        self.settings = declare(self, self._table, self._is_locked)

    def configure(self) -> None:
        """Load and check. May raise."""

    def activate(self) -> None:
        """Warm up and open the doors. May raise."""

    def lifecycle_changed(self, problem: str = "") -> None:
        """The state is another one, or, with a `problem`, a transition has failed."""

    @property
    def is_active(self) -> bool:
        """Whether frames are worked on."""
        return self.lifecycle == ACTIVE

    def start_by_itself(self) -> None:
        """Configure and activate, unless a manager shall. Raises what stood in the way."""
        if not self.settings["autostart"]:
            self.get_logger().info("unconfigured: waiting for a lifecycle manager (autostart is false)")
            return
        self._starting = True
        try:
            for trigger in (self.trigger_configure, self.trigger_activate):
                if trigger() != SUCCESS:
                    raise self._refusal or RuntimeError("the node could not be started")
        finally:
            self._starting, self._refusal = False, None

    def stop(self) -> None:
        """Close everything, before the node is destroyed."""
        with self.while_configured:
            self.while_active.close()

    def destroy_node(self) -> None:
        """With what rclpy does not destroy by itself, first."""
        self.while_alive.close()
        super().destroy_node()

    def open_publisher(self, kind: type[Any], topic: str, quality: QoSProfile | int) -> Any:
        """A publisher of the configured node; silent unless active."""
        out = self.create_lifecycle_publisher(kind, topic, quality)
        self.while_configured.callback(self.destroy_lifecycle_publisher, out)
        return out

    def open_subscription(
        self,
        kind: type[Any],
        topic: str,
        callback: Callable[[Any], None],
        quality: QoSProfile | int,
        heard_as: str = "",
    ) -> None:
        """Listen while active; diagnostics count the publishers under the name `heard_as`, if given."""
        subscription = self.create_subscription(kind, topic, callback, quality)
        self.while_active.callback(self.destroy_subscription, subscription)
        if heard_as:
            self._heard[heard_as] = subscription
            self.while_active.callback(self._heard.pop, heard_as)

    def publishers_heard(self) -> dict[str, int]:
        """How many publishers each named subscription is matched with: those whose messages do arrive."""
        return {name: subscription.get_publisher_count() for name, subscription in self._heard.items()}

    def open_timer(self, period: float, callback: Callable[[], None]) -> None:
        """Call every `period` seconds of steady time while active."""
        timer = self.create_timer(period, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.while_active.callback(self.destroy_timer, timer)

    def set_own(self, name: str, value: Any) -> None:
        """Set a parameter that others cannot set now."""
        self._setting = True
        try:
            self.set_parameters([RosParameter(name, value=value)])
        finally:
            self._setting = False
        self.settings = read(self, self._table)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        return self._enter(INACTIVE, "configure", self._configure, self.while_configured)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""

        def work() -> None:
            self.activate()
            self._open_bond()
            LifecycleNode.on_activate(self, state)  # the publishers may speak

        return self._enter(ACTIVE, "activate", work, self.while_active)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        done = super().on_deactivate(state)  # the publishers are silent, also for the frame in work
        self.while_active.close()
        self._became(INACTIVE)
        return done

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        return self._release(UNCONFIGURED)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        super().on_deactivate(state)
        return self._release(UNCONFIGURED)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy. The process stays, finalized, until it gets a signal."""
        super().on_deactivate(state)
        return self._release(FINALIZED)

    def _configure(self) -> None:
        self.settings = read(self, self._table)
        self.configure()

    def _enter(
        self, state: str, verb: str, work: Callable[[], None], stack: ExitStack
    ) -> TransitionCallbackReturn:
        try:
            with self.hold_signals():
                work()
        except Exception as error:  # noqa: BLE001 - rclpy would drop it without a word
            stack.close()
            self._refuse(verb, error)
            return FAILURE
        self._became(state)
        return SUCCESS

    def _refuse(self, verb: str, error: Exception) -> None:
        if self._starting:
            self._refusal = error  # the process ends with it
            return
        release_memory()
        if self.context.ok():
            problem = f"cannot {verb}: {error}"
            foreseen = isinstance(error, RelposeError)
            trace = [] if foreseen else ["\n", *traceback.format_exception(error)]
            self.get_logger().error("".join([problem, *trace]))
            self.lifecycle_changed(problem)

    def _release(self, state: str) -> TransitionCallbackReturn:
        self.stop()
        release_memory()
        self._became(state)
        return SUCCESS

    def _became(self, state: str) -> None:
        self.lifecycle = state
        self.get_logger().info(state)
        self.lifecycle_changed()

    def _open_bond(self) -> None:
        period = self.settings["bond_heartbeat_period"]
        if self.settings["autostart"] or not period:
            return
        if not has_bondpy():
            self.get_logger().warning(
                "bondpy is not installed, so the lifecycle manager gets no heart-beats: install "
                "ros-<distribution>-bondpy, or set the manager's bond_timeout to 0"
            )
            return
        text = "the bond with the lifecycle manager is broken (has it ended?); the node goes on"
        self.while_active.callback(open_bond(self, period, lambda: self.get_logger().warning(text)))

    def _is_locked(self) -> bool:
        return self.lifecycle in (INACTIVE, ACTIVE) and not self._setting
