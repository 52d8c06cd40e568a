"""Prints what the nodes open, as one line of JSON: node -> {name with direction: type}. Run by test_docs.py.

Each node is configured and activated with stand-ins for map and checkpoint. The localizer twice: odometry
from TF, and from a topic, with masks.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import rclpy
from rclpy.action import ActionServer, get_action_server_names_and_types_by_node

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.loading import Loaded
from relpose_ros.nodes.localizer import LocalizerNode
from relpose_ros.nodes.relative_pose import RelativePoseNode
from relpose_ros.nodes.retrieval import RetrievalNode
from relpose_ros.nodes.scene_coordinate import SceneCoordinateNode

exact_scene = importlib.import_module("exact_scene")  # beside this script

PLUMBING = ("rcl_interfaces", "type_description_interfaces", "action_msgs", "rosgraph_msgs")
"""Packages of what every node of rclpy has: parameters, its log, time, parts of actions."""


def load(settings: dict[str, Any]) -> Loaded:
    """A map whose localizer answers anything."""
    map_ = MagicMock(cameras=(), reference_names=("a",), landmark_points=np.zeros((0, 3)))
    map_.reference_poses = Rigid.stack([Rigid.identity()])
    return Loaded(MagicMock(**{"retrieve_frame.return_value": ([], {})}), map_, "no map")


def opened_by(node: Any) -> dict[str, str]:
    """Topics, services and actions of a node, but for rclpy's own."""
    name = node.get_fully_qualified_name()
    found = [(f"{p.topic} (out)", p.msg_type) for p in node.publishers]
    found += [(f"{s.topic_name} (in)", s.msg_type) for s in node.subscriptions]
    found += [(s.srv_name, s.srv_type) for s in node.services]
    out = dict(actions_of(node))
    for key, kind in found:
        package = kind.__module__.split(".")[0]
        if package not in PLUMBING and "/_action/" not in key:
            out[own(key, name)] = f"{package}/{kind.__name__}"
    return out


def actions_of(node: Any) -> list[tuple[str, str]]:
    """Out of the graph, which knows them a moment later: action servers keep their names to themselves."""
    served = any(isinstance(w, ActionServer) for w in node.waitables)
    until = time.monotonic() + 10.0
    found: list[tuple[str, list[str]]] = []
    while served and not found and time.monotonic() < until:
        found = get_action_server_names_and_types_by_node(node, node.get_name(), node.get_namespace())
        time.sleep(0.05)
    name = node.get_fully_qualified_name()
    return [(own(action, name), kinds[0].replace("/action/", "/")) for action, kinds in found]


def own(key: str, name: str) -> str:
    """As the pages write it: ~/ for the node's own, relative names without slash, TF and diagnostics with."""
    if key.startswith(f"{name}/"):
        return f"~{key.removeprefix(name)}"
    return key if key.startswith(("/tf", "/diagnostics", "~")) else key.removeprefix("/")


def look(make: Callable[[], Any], *arguments: str) -> dict[str, str]:
    """Make a node with these ROS arguments, activate it, ask it, and end it."""
    rclpy.init(args=["--ros-args", *arguments])
    node = make()
    node.start_by_itself()
    found = opened_by(node)
    node.stop()
    node.destroy_node()
    rclpy.shutdown()
    return found


def main() -> None:
    """Ask all nodes."""
    topic = look(
        lambda: LocalizerNode(load=load), "-p", "odometry_source:=topic", "-p", "mask_topic:=mask_topic"
    )
    found = {
        "localizer": look(lambda: LocalizerNode(load=load)) | topic,
        "retrieval": look(lambda: RetrievalNode(load=load)),
        "relative_pose": look(lambda: RelativePoseNode(load=load)),
        "scene_coordinate": look(lambda: SceneCoordinateNode(load=exact_scene.load)),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
