"""Node parameters from one table: name, default, description, range or choices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from relpose_ros.errors import ConfigurationError

Value = str | float | bool | list[float] | list[str]


@dataclass(frozen=True)
class Parameter:
    """One row of a node's parameter table.

    `choices` limits a string, `range` (lowest, highest) a float. A parameter is read when the node is
    configured, and may be set while it is not; those that are `live` may be set at any time, those that are
    `fixed` are read once, at process start. `words`: a list of strings, not of numbers.
    """

    name: str
    default: Value
    description: str
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    live: bool = False
    fixed: bool = False
    words: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows."""
        out = ParameterDescriptor(name=self.name, description=self.description, read_only=self.fixed)
        if self.choices:
            out.additional_constraints = "one of: " + ", ".join(self.choices)
        if self.range is not None:
            out.floating_point_range = [
                FloatingPointRange(from_value=self.range[0], to_value=self.range[1], step=0.0)
            ]
        return out

    def problem(self, value: Value) -> str:
        """What is wrong with a value, or the empty string."""
        if self.choices and value not in self.choices:
            return f"parameter {self.name}: expected one of {', '.join(self.choices)}, got {value!r}"
        return ""


def declare(node: Node, table: Sequence[Parameter], is_locked: Callable[[], bool]) -> dict[str, Any]:
    """Declare a table and return name -> value at start.

    While `is_locked()` says so, only live ones can be set. Raises ConfigurationError for a value of the
    wrong type, out of range or not a choice.
    """
    for row in table:
        _declare(node, row)
    values = read(node, table)
    problem = "; ".join(filter(None, (row.problem(values[row.name]) for row in table)))
    if problem:
        raise ConfigurationError(problem)
    _watch(node, table, is_locked)
    return values


def read(node: Node, table: Sequence[Parameter]) -> dict[str, Any]:
    """Name -> value of a declared table."""
    values = {row.name: node.get_parameter_or(row.name).value for row in table}
    return values | {
        row.name: [str(item) if row.words else float(item) for item in values[row.name] or row.default]
        for row in table
        if isinstance(row.default, list)
    }


def _declare(node: Node, row: Parameter) -> None:
    array = RosParameter.Type.STRING_ARRAY if row.words else RosParameter.Type.DOUBLE_ARRAY
    default = array if isinstance(row.default, list) else row.default
    try:
        node.declare_parameter(row.name, default, row.descriptor())
    except InvalidParameterTypeException as error:
        kind = type(row.default).__name__
        if isinstance(row.default, list):
            kind = "a list of words" if row.words else "numbers with decimal points"
        raise ConfigurationError(f"parameter {row.name}: expected {kind}: {error}") from error
    except InvalidParameterValueException as error:
        raise ConfigurationError(f"parameter {row.name}: expected {row.range}: {error}") from error


def _watch(node: Node, table: Sequence[Parameter], is_locked: Callable[[], bool]) -> None:
    """Refuse values that are not choices, and what cannot change while the node works."""
    rows = {row.name: row for row in table}

    def check(changes: list[Any]) -> SetParametersResult:
        known = [(rows[c.name], c.value) for c in changes if c.name in rows]
        problems = [row.problem(value) for row, value in known]
        problems += [
            f"parameter {row.name}: it is read when the node is configured; deactivate and clean up first"
            for row, _ in known
            if not row.live and is_locked()
        ]
        reason = "; ".join(p for p in problems if p)
        return SetParametersResult(successful=not reason, reason=reason)

    node.add_on_set_parameters_callback(check)
