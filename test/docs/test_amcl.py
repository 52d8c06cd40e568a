"""docs/amcl.md speaks of parameters, topics, services and actions that the node has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from relpose_ros.nodes import camera_node, localizer

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "amcl.md").read_text()
ROWS = {row.name: row for row in (*localizer.PARAMETERS, *camera_node.PARAMETERS)}


def rows(title: str) -> list[list[str]]:
    """The cells of the first table of a section, without header."""
    section = PAGE[PAGE.index(f"## {title}") :]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    width = lines[0].count("|")
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines[2:] if line.count("|") == width]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


PARAMETERS = [row for row in rows("Parameters") if len(row) == 5]


@pytest.mark.parametrize("row", [row for row in PARAMETERS if row[2] != "-"], ids=lambda row: row[0])
def test_a_parameter_here_exists_and_has_that_default(row):
    (name,) = names(row[2])
    told = row[3].strip("`")
    default = ROWS[name].default
    if told == "(required)":
        assert default == ""
    elif isinstance(default, bool):
        assert told == str(default).lower()
    else:
        assert type(default)(told) == default


def test_whatever_has_the_same_name_as_in_amcl_is_the_same_here():
    """A parameter of AMCL's name may be missing here, but must not be under another name."""
    for row in PARAMETERS:
        (theirs,) = names(row[0])
        if theirs in ROWS:
            assert names(row[2]) == [theirs]


def test_every_parameter_of_the_text_exists():
    text = PAGE[PAGE.index("**Only here**") :]
    known = set(ROWS) | {"tracking.*"}
    for name in re.findall(
        r"`((?:tracking\.)[\w.*]+|pose_file|restore_pose|pose_topic|odometry_source)`", text
    ):
        assert name in known


def test_the_example_can_be_loaded():
    (block,) = re.findall(r"```yaml\n(.+?)```", PAGE, re.S)
    given = yaml.safe_load(block)["/**/localizer"]["ros__parameters"]
    for name, value in given.items():
        assert type(value) is type(ROWS[name].default) and not ROWS[name].problem(value), name


def test_topics_services_and_actions_are_those_of_the_nodes_page():
    documented = (DOCS / "nodes" / "localizer.md").read_text()
    for row in rows("Topics, services, actions"):
        for name in names(row[1]):
            assert f"`{name}`" in documented or f"`{name}`," in documented, name
