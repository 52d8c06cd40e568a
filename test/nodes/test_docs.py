"""The pages in docs/nodes say what the nodes have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relpose_ros.nodes import camera_node, loading, localizer, scene_coordinate

DOCS = Path(__file__).parents[2] / "docs" / "nodes"


def test_the_parameter_table_is_that_of_the_node():
    text = (DOCS / "localizer.md").read_text()
    section = text[text.index("## Parameters") : text.index("## The mount")]
    documented = re.findall(r"^\| `([\w.]+)` \|", section, re.M)
    assert sorted(documented) == sorted(r.name for r in (*camera_node.PARAMETERS, *localizer.PARAMETERS))


@pytest.mark.parametrize(
    ("page", "own"),
    [
        ("retrieval.md", loading.RETRIEVAL_PARAMETERS),
        ("relative_pose.md", (*loading.MATCHING_PARAMETERS, *loading.RELATIVE_PARAMETERS)),
    ],
)
def test_the_other_nodes_name_their_parameters(page, own):
    text = (DOCS / page).read_text()
    for row in (*camera_node.PARAMETERS, *loading.MAP_PARAMETERS, *own):
        assert f"`{row.name}`" in text


def test_the_scene_node_names_its_parameters():
    text = (DOCS / "scene_coordinate.md").read_text()
    section = text[text.index("## Parameters") : text.index("## Diagnostics")]
    for row in (*camera_node.PARAMETERS, *scene_coordinate.PARAMETERS):
        assert f"`{row.name}`" in section, row.name


def test_ranges_are_documented():
    text = (DOCS / "localizer.md").read_text()
    for row in (*camera_node.PARAMETERS, *localizer.PARAMETERS):
        if row.range:
            assert f"({row.range[0]:g} to {row.range[1]:g})" in text, row.name
