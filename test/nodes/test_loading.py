"""What a node's parameters make of a map and a localizer."""

from __future__ import annotations

import pytest

from relpose_ros.datasets.open import open_source
from relpose_ros.errors import CheckpointError, ConfigurationError, MapError
from relpose_ros.features import graph_matching
from relpose_ros.features.onnx_iterations import BACKENDS
from relpose_ros.localization.mapping import attach_network
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.nodes.loading import (
    MAP_PARAMETERS,
    MATCHING_PARAMETERS,
    RELATIVE_PARAMETERS,
    RETRIEVAL_PARAMETERS,
    SCENE_PARAMETERS,
    load,
    load_scene,
)


def settings(world, **changes):
    rows = (
        *MAP_PARAMETERS, *MATCHING_PARAMETERS, *RELATIVE_PARAMETERS, *RETRIEVAL_PARAMETERS, *SCENE_PARAMETERS
    )  # fmt: skip
    own = {"map": str(world.map), "global_frame_id": "map"}
    return {row.name: row.default for row in rows} | own | changes


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


def test_a_matcher_is_the_one_that_is_named(small_world, nearest_matcher, foreign_checkpoint):
    named = {"features.matcher": str(nearest_matcher)}
    for changes, iterations in (({}, 6), ({"profile": "fast"}, 4), ({"features.matcher_iterations": 2}, 2)):
        localizer = load(settings(small_world, **named, **changes)).localizer
        assert localizer._matcher is localizer._relative.matcher
        assert localizer._matcher.iterations == iterations and localizer._matcher.name == "imp.adagmn"
    with pytest.raises(CheckpointError, match=r"imp\.dgnns.*one_to_one\.eot_21"):
        load(settings(small_world, **{"features.matcher": str(foreign_checkpoint)}))


def test_the_matcher_runs_by_the_runtime_that_is_named(small_world, nearest_matcher, monkeypatch):
    """The node's choices are those that there are, and the chosen one reaches the matcher."""
    parameter = next(p for p in MATCHING_PARAMETERS if p.name == "features.matcher_backend")
    assert parameter.choices == BACKENDS and parameter.default == "auto"
    asked = []
    kept = graph_matching.advance_with
    monkeypatch.setattr(graph_matching, "advance_with", lambda *a: asked.append(a[3]) or kept(*a))
    for changes in ({}, {"features.matcher_backend": "torch"}):
        load(settings(small_world, **{"features.matcher": str(nearest_matcher)}, **changes))
    assert asked == ["auto", "torch"]


def test_relative_poses_by_a_network_that_the_map_knows(small_world, regressor_checkpoint, tmp_path):
    named = {"relative.estimator": "relpose_gnn", "relative.checkpoint": str(regressor_checkpoint)}
    with pytest.raises(MapError, match=r"small\.relmap.*relpose map attach"):
        load(settings(small_world, **named))
    for changes, words in (
        ({"relative.estimator": "relpose_gnn"}, "expected relative.checkpoint"),
        ({"relative.checkpoint": str(regressor_checkpoint)}, "essential uses none"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            load(settings(small_world, **changes))
    out = tmp_path / "gnn.relmap"
    source = open_source(small_world.folder)
    attach_network(small_world.map, [source], regressor_checkpoint, out, BuildOptions(calibration_samples=0))
    localizer = load(settings(small_world, map=str(out), **named)).localizer
    neighbours = [localizer.neighbour(name) for name in localizer.map.reference_names[:3]]
    found = localizer.relative_poses(source.queries[0].frame(), neighbours)
    assert len(found) == 3 and all(r.scale_known and r.matches == 0 for r in found)


def test_a_scene_is_the_one_that_is_named(small_world, scene_checkpoint, onnx_cache):
    loaded = load(settings(small_world, **{"scene.checkpoint": str(scene_checkpoint)}))
    assert str(loaded.localizer.options.scene) == str(scene_checkpoint)
    assert loaded.scene == "untrained.safetensors"
    assert load(settings(small_world)).localizer.options.scene is None


def test_a_scene_of_another_frame_or_none_at_all_is_refused(
    small_world, make_scene_checkpoint, scene_checkpoint, ratio_pruner
):
    cellar = str(make_scene_checkpoint(frame="cellar"))
    for scene, words in (
        (cellar, "'cellar', but the map .*small.relmap in 'map'"),
        (str(make_scene_checkpoint(metric=False)), "expected a scene in metres"),
        (str(ratio_pruner), r"one_to_one\.ltfgc.*knows none"),
        (str(small_world.map), "expected a checkpoint"),
    ):
        with pytest.raises(CheckpointError, match=words):
            load(settings(small_world, **{"scene.checkpoint": scene}))
    with pytest.raises(CheckpointError, match="'office'"):
        load(settings(small_world, global_frame_id="office", **{"scene.checkpoint": str(scene_checkpoint)}))


def test_a_describer_is_the_one_that_made_the_map(small_world, learned_map, retrieval_checkpoint):
    named = {"retrieval.checkpoint": str(retrieval_checkpoint), "map": str(learned_map)}
    loaded = load(settings(small_world, **named))
    assert loaded.describer.startswith("places0.safetensors (sha256 ")
    assert load(settings(small_world)).describer.startswith("vlad")
    with pytest.raises(MapError, match=r"learned\.relmap.*places0.*retrieval\.checkpoint:=places0"):
        load(settings(small_world, map=str(learned_map)))
    with pytest.raises(CheckpointError, match=r"places0.*small\.relmap was made without weights"):
        load(settings(small_world, **{"retrieval.checkpoint": str(retrieval_checkpoint)}))


def test_a_node_that_retrieves_nothing_needs_no_describer(small_world, learned_map):
    own = settings(small_world, map=str(learned_map))
    del own["retrieval.checkpoint"]
    loaded = load(own)
    assert loaded.describer == "" and loaded.localizer.neighbour(loaded.map.reference_names[0]).index == 0


def test_the_scene_node_needs_a_checkpoint(make_scene_checkpoint):
    with pytest.raises(ConfigurationError, match=r"scene\.checkpoint: expected the path"):
        load_scene({"scene.checkpoint": "", "allow_unscaled_map": False})
    unscaled = {"scene.checkpoint": str(make_scene_checkpoint(metric=False)), "allow_unscaled_map": False}
    with pytest.raises(CheckpointError, match="without scale"):
        load_scene(unscaled)


def test_the_scene_node_localizes_with_its_checkpoint(make_scene_checkpoint, onnx_cache):
    path = make_scene_checkpoint(frame="office")
    loaded = load_scene({"scene.checkpoint": str(path), "allow_unscaled_map": False})
    assert (loaded.info.frame, loaded.name) == ("office", "untrained.safetensors")
    assert len(loaded.digest) == 64
