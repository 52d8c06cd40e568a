"""The pages in docs/nodes say what the nodes have: parameters, topics, services and actions."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from relpose_ros.nodes.environment import dds_environment, free_domain
from tools import document_nodes

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "nodes"
NODES = ("localizer", "retrieval", "relative_pose", "scene_coordinate")

EVERY_NODE = re.compile(
    r"~/(?:change_state|get_state|get_available_\w+|get_transition_graph|transition_event)$"
)
"""What rclpy opens for a managed node; lifecycle.md has it."""

SHARED = {"camera_info", "/tf", "/tf_static"}
"""The pages of the other nodes name these in the row of `image`, without a type."""


def test_the_parameter_tables_are_those_of_the_nodes():
    stale = document_nodes.stale()
    assert not stale, f"run `python tools/document_nodes.py`: {', '.join(p.name for p in stale)}"


def test_a_page_that_is_not_as_the_node_is_stale(tmp_path):
    for name in document_nodes.tables():
        text = (DOCS / name).read_text()
        (tmp_path / name).write_text(text.replace("| `autostart` | bool |", "| `autostart` | int |"))
    assert len(document_nodes.stale(tmp_path)) == len(document_nodes.tables())
    for path, text in document_nodes.stale(tmp_path).items():
        path.write_text(text)
    assert not document_nodes.stale(tmp_path)


def test_a_page_without_marks_is_an_error():
    with pytest.raises(ValueError, match="expected a line"):
        document_nodes.with_table("# a page\n", ())


@pytest.fixture(scope="module")
def interfaces(tmp_path_factory) -> dict[str, dict[str, str]]:
    """What each node opens, asked of the nodes themselves in one process: name with direction -> type."""
    environment = {**os.environ, **dds_environment(free_domain(), tmp_path_factory.mktemp("ros_log"))}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("node_interfaces.py")],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def documented(page: str) -> dict[str, str]:
    """Name with direction -> type, out of a page's tables."""
    out = {}
    for cells, kind in re.findall(r"^\| (`[^|]+) \| ([\w]+_(?:msgs|srvs)/\w+)", page, re.M):
        for name in re.findall(r"`([^`]+)`", cells):
            way = re.search(r"\((in|out)\)", cells)
            out[f"{name} ({way[1]})" if way else name] = kind
    return out


@pytest.mark.parametrize("name", NODES)
def test_topics_services_and_actions_are_documented(interfaces, name):
    page = (DOCS / f"{name}.md").read_text()
    told = documented(page) | {f"{topic} (in)": "" for topic in SHARED if f"`{topic}`" in page}
    if name != "localizer":  # their pages refer to localizer.md for these
        told |= {f"{topic} (in)": "" for topic in ("image", *SHARED)} | {"~/load_map": "relpose_msgs/LoadMap"}
    opened = {key: kind for key, kind in interfaces[name].items() if not EVERY_NODE.match(key.split(" (")[0])}
    for key, kind in opened.items():
        assert key in told, f"{name} opens {key} ({kind}), which docs/nodes/{name}.md does not list"
        assert told[key] in ("", kind), f"{key} is {kind}, docs/nodes/{name}.md says {told[key]}"


def test_the_localizer_opens_what_its_page_lists(interfaces):
    told = documented((DOCS / "localizer.md").read_text())
    opened = set(interfaces["localizer"]) | {"~/change_state", "~/get_state"}
    assert set(told) - opened == set()
