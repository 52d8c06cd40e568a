"""What a node's parameters make of a map and a localizer."""

from __future__ import annotations

import pytest

from relpose_ros.errors import CheckpointError
from relpose_ros.nodes.loading import MAP_PARAMETERS, MATCHING_PARAMETERS, load


def settings(world, **changes):
    defaults = {row.name: row.default for row in (*MAP_PARAMETERS, *MATCHING_PARAMETERS)}
    return defaults | {"map": str(world.map)} | changes


def test_there_is_no_pruner_by_default(small_world):
    options = load(settings(small_world)).localizer.options
    assert options.pruner is None and options == type(options)()


def test_a_pruner_is_the_one_that_is_named(small_world, ratio_pruner, onnx_cache):
    loaded = load(settings(small_world, **{"features.pruner": str(ratio_pruner), "profile": "fast"}))
    assert loaded.localizer.options.pruner == str(ratio_pruner)
    for pruner in (loaded.localizer._structure_pruner, loaded.localizer._relative.pruner):
        assert pruner.info.network == "one_to_one.ltfgc" and pruner.size == 512


def test_what_is_no_pruner_ends_the_node_at_start(small_world, foreign_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"one_to_one\.ltfgc.*one_to_one\.eot_21"):
        load(settings(small_world, **{"features.pruner": str(foreign_checkpoint)}))
    with pytest.raises(CheckpointError, match="found no file"):
        load(settings(small_world, **{"features.pruner": str(tmp_path / "x.safetensors")}))
