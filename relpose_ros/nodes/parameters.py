"""Node parameters from one table: name, default, description, range or choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from relpose_ros.errors import ConfigurationError

Value = str | float | bool | list[float]


@dataclass(frozen=True)
class Parameter:
    """One row of a node's parameter table.

    `choices` limits a string, `range` (lowest, highest) a float. A parameter is read once at
    start unless it is `live`: live ones may be set while the node runs.
    """

    name: str
    default: Value
    description: str
    choices: tuple[str, ...] = ()
    range: tuple[float, float] | None = None
    live: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """What `ros2 param describe` shows."""
        out = ParameterDescriptor(name=self.name, description=self.description, read_only=not self.live)
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


def declare(node: Node, table: Sequence[Parameter]) -> dict[str, Any]:
    """Declare a table and return name -> value at start.

    Raises ConfigurationError for a value of the wrong type, out of range or not a choice.
    """
    values: dict[str, Any] = {}
    for row in table:
        values[row.name] = _declare(node, row)
        problem = row.problem(values[row.name])
        if problem:
            raise ConfigurationError(problem)
    watch_live(node, table)
    return values


def _declare(node: Node, row: Parameter) -> Any:
    descriptor = row.descriptor()
    value: Any
    try:
        if isinstance(row.default, list):
            value = node.declare_parameter(row.name, RosParameter.Type.DOUBLE_ARRAY, descriptor).value
            return list(row.default) if value is None else [float(v) for v in value]
        return node.declare_parameter(row.name, row.default, descriptor).value
    except InvalidParameterTypeException as error:
        kind = "numbers with decimal points" if isinstance(row.default, list) else type(row.default).__name__
        raise ConfigurationError(f"parameter {row.name}: expected {kind}: {error}") from error
    except InvalidParameterValueException as error:
        raise ConfigurationError(f"parameter {row.name}: expected {row.range}: {error}") from error


def watch_live(node: Node, table: Sequence[Parameter]) -> None:
    """Refuse values that are not choices when a live parameter is set."""
    rows = {row.name: row for row in table}

    def check(changes: list[Any]) -> SetParametersResult:
        problems = [rows[c.name].problem(c.value) for c in changes if c.name in rows]
        reason = "; ".join(p for p in problems if p)
        return SetParametersResult(successful=not reason, reason=reason)

    node.add_on_set_parameters_callback(check)
