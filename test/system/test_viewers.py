"""config/localization.rviz and config/foxglove_layout.json name what a running node has."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import yaml
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

CONFIG = Path(__file__).parents[2] / "config"
SHOWN = {
    "rviz_default_plugins/PoseWithCovariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
}
"""Display class -> message type: plugins_description.xml of rviz_default_plugins."""
WITHOUT_TOPIC = {"rviz_default_plugins/Grid", "rviz_default_plugins/TF"}
CLASSES = {
    *("Displays", "Tool Properties", "Views", "Time"),
    *("Interact", "MoveCamera", "Select", "FocusCamera", "Measure", "SetInitialPose", "TF", "Orbit"),
}
"""Panels, tools and views of rviz_common and rviz_default_plugins."""
INITIAL_POSE = "geometry_msgs/msg/PoseWithCovarianceStamped"


@pytest.fixture(scope="module")
def node(ros, make_probe, start_shared, fake):
    """A probe of a node that runs with its default names, below a namespace."""
    probe = make_probe()
    start_shared(fake, remap=probe.remap, map="good")
    probe.wait_for_node()
    return probe


@pytest.fixture(scope="module")
def fake():
    return (str(Path(__file__).parents[1] / "nodes" / "fake_localizer_node.py"),)


@pytest.fixture(scope="module")
def rviz():
    return yaml.safe_load((CONFIG / "localization.rviz").read_text())["Visualization Manager"]


@pytest.fixture(scope="module")
def foxglove():
    return json.loads((CONFIG / "foxglove_layout.json").read_text())


def published(node, wait_for):
    """Topic below the namespace -> types, once the node has all."""
    look = node.node.get_publisher_names_and_types_by_node

    def found():
        topics = {name.removeprefix(node.namespace): t for name, t in look("localizer", node.namespace)}
        return topics if "/localizer/tracked_pose" in topics else None

    return wait_for(found, what="the node's topics")


def listened_to(node):
    subscribed = node.node.get_subscriber_names_and_types_by_node("localizer", node.namespace)
    return {name.removeprefix(node.namespace): types for name, types in subscribed}


def test_every_display_has_a_topic_of_its_type(node, rviz, wait_for):
    topics, displays = published(node, wait_for), rviz["Displays"]
    assert {d["Class"] for d in displays} == {*SHOWN, *WITHOUT_TOPIC}
    for display in displays:
        if display["Class"] in WITHOUT_TOPIC:
            continue
        name = display["Topic"]["Value"]
        assert not name.startswith("/")  # RViz is started in the namespace of the nodes
        assert topics[f"/{name}"] == [SHOWN[display["Class"]]], name


def test_displays_ask_for_what_is_offered(node, rviz, wait_for):
    published(node, wait_for)
    for asked in (d["Topic"] for d in rviz["Displays"] if "Topic" in d):
        (offer,) = node.node.get_publishers_info_by_topic(f"{node.namespace}/{asked['Value']}")[:1]
        quality = offer.qos_profile
        assert (asked["Durability Policy"] == "Transient Local") == (
            quality.durability == DurabilityPolicy.TRANSIENT_LOCAL
        )
        assert asked["Reliability Policy"] == "Reliable"
        assert quality.reliability == ReliabilityPolicy.RELIABLE


def test_the_pose_tools_reach_the_node(node, rviz, foxglove):
    (tool,) = [t for t in rviz["Tools"] if t["Class"].endswith("SetInitialPose")]
    assert listened_to(node)[f"/{tool['Topic']['Value']}"] == [INITIAL_POSE]
    publish = foxglove["configById"]["3D!map"]["publish"]
    assert publish["type"] == "pose_estimate"
    assert listened_to(node)[publish["poseEstimateTopic"]] == [INITIAL_POSE]


def test_classes_are_rvizs():
    whole = yaml.safe_load((CONFIG / "localization.rviz").read_text())
    manager = whole["Visualization Manager"]
    views, transformation = manager["Views"]["Current"], manager["Transformation"]["Current"]
    for part in (*whole["Panels"], *manager["Tools"], views, transformation):
        package, name = part["Class"].split("/")
        assert package in ("rviz_common", "rviz_default_plugins") and name in CLASSES
    assert manager["Global Options"]["Fixed Frame"] == "map"


def test_foxglove_shows_the_nodes_topics(node, foxglove, wait_for):
    topics = published(node, wait_for) | {"/diagnostics": []}
    panels = foxglove["configById"]
    named = {
        *panels["3D!map"]["topics"],
        panels["Image!debug"]["imageMode"]["imageTopic"],
        panels["RawMessages!state"]["topicPath"],
        panels["DiagnosticSummary!health"]["topicToRender"],
    }
    assert named <= set(topics)
    for path in panels["Plot!confidence"]["paths"]:
        topic, field = path["value"].split(".")
        package, _, kind = topics[topic][0].split("/")
        assert hasattr(getattr(importlib.import_module(f"{package}.msg"), kind)(), field)


def test_every_panel_has_a_place(foxglove):
    def leaves(part):
        return [part] if isinstance(part, str) else [*leaves(part["first"]), *leaves(part["second"])]

    assert sorted(leaves(foxglove["layout"])) == sorted(foxglove["configById"])
