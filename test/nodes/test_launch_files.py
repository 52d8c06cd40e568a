"""The launch files: what can be checked where `launch` is not installed, and a real start where it is."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import yaml

from relpose_ros.nodes import camera_node, loading, localizer, scene_coordinate

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
STAND_INS = (
    "launch",
    "launch.actions",
    "launch.launch_description_sources",
    "launch.substitutions",
    "launch_ros",
    "launch_ros.actions",
    "launch_ros.substitutions",
)


@pytest.fixture
def load(monkeypatch):
    """Imports a launch file; a stand-in takes the place of `launch`."""

    def run(name):
        for stand_in in STAND_INS:
            monkeypatch.setitem(sys.modules, stand_in, MagicMock())
        spec = importlib.util.spec_from_file_location(name.replace(".", "_"), LAUNCH / name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return run


@pytest.mark.parametrize("name", ["localization.launch.py", "pipeline.launch.py"])
def test_every_launch_file_describes_its_arguments(load, name):
    module = load(name)
    assert module.ARGUMENTS["map"][0] is None  # required
    assert all(len(text) > 5 for _, text in module.ARGUMENTS.values())
    assert module.generate_launch_description() is not None


def given(module, **changes):
    return {name: default or "" for name, (default, _) in module.ARGUMENTS.items()} | changes


def test_arguments_become_parameters_of_their_types(load):
    module = load("localization.launch.py")
    out = module.node_parameters(given(module, map="office.relmap", base_from_camera="1 2 3 0 0 0 1"))
    assert out["map"] == str(Path.cwd() / "office.relmap")
    assert out["base_from_camera"] == [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0]
    assert out["use_sim_time"] is False
    assert "base_from_camera" not in module.node_parameters(given(module, map="m"))
    assert module.node_parameters(given(module, map="m", base_frame_id="none"))["base_frame_id"] == ""
    assert out["odom_frame_id"] == "odom" and out["tf_broadcast"] is True
    alone = module.node_parameters(given(module, map="m", odom_frame_id="none", tf_broadcast="false"))
    assert alone["odom_frame_id"] == "" and alone["tf_broadcast"] is False
    assert "features.pruner" not in module.node_parameters(given(module, map="m"))
    pruned = module.node_parameters(given(module, map="m", pruner="net.safetensors"))
    assert pruned["features.pruner"] == str(Path.cwd() / "net.safetensors")
    assert "features.matcher" not in pruned
    matched = module.node_parameters(given(module, map="m", matcher="net.safetensors"))
    assert matched["features.matcher"] == str(Path.cwd() / "net.safetensors")
    assert "scene.checkpoint" not in pruned and "retrieval.checkpoint" not in pruned
    retrieval = module.node_parameters(given(module, map="m", retrieval="places.yaml"))
    assert retrieval["retrieval.checkpoint"] == str(Path.cwd() / "places.yaml")
    assert "relative.checkpoint" not in pruned and "relative.estimator" not in pruned
    regressed = module.node_parameters(given(module, map="m", relative_checkpoint="net.safetensors"))
    assert regressed["relative.checkpoint"] == str(Path.cwd() / "net.safetensors")
    assert regressed["relative.estimator"] == "relpose_gnn"
    scene = module.node_parameters(given(module, map="m", scene="room.safetensors"))
    assert scene["scene.checkpoint"] == str(Path.cwd() / "room.safetensors")


def test_parameters_that_are_set_exist(load):
    known = {row.name for row in (*camera_node.PARAMETERS, *localizer.PARAMETERS)} | {"use_sim_time"}
    module = load("localization.launch.py")
    files = dict.fromkeys(("pruner", "matcher", "scene", "retrieval", "relative_checkpoint"), "f")
    everything = given(module, map="m", base_from_camera="1", **files)
    assert set(module.node_parameters(everything)) <= known
    file = yaml.safe_load((ROOT / "config" / "localizer.yaml").read_text())
    assert set(file["/**"]["ros__parameters"]) <= known


def test_the_pipeline_has_a_scene_node_where_there_is_a_scene(load):
    module = load("pipeline.launch.py")
    assert set(module.node_parameters(given(module, map="m"))) == {"retrieval", "relative_pose"}
    everything = given(
        module, map="m", pruner="p", matcher="i", scene="room.safetensors", retrieval="r.safetensors",
        relative_checkpoint="g",
    )  # fmt: skip
    nodes = module.node_parameters(everything)
    assert nodes["retrieval"]["retrieval.checkpoint"] == str(Path.cwd() / "r.safetensors")
    own = {"scene.checkpoint": str(Path.cwd() / "room.safetensors"), "use_sim_time": False, "autostart": True}
    assert nodes["scene_coordinate"] == own
    for name in ("features.pruner", "features.matcher", "relative.estimator", "relative.checkpoint"):
        assert name in nodes["relative_pose"] and name not in nodes["retrieval"]
    known = {
        "retrieval": (*loading.MAP_PARAMETERS, *loading.RETRIEVAL_PARAMETERS),
        "relative_pose": (
            *loading.MAP_PARAMETERS,
            *loading.MATCHING_PARAMETERS,
            *loading.RELATIVE_PARAMETERS,
        ),
        "scene_coordinate": scene_coordinate.PARAMETERS,
    }
    for name, parameters in nodes.items():
        assert set(parameters) <= {row.name for row in known[name]} | {"use_sim_time", "autostart"}


@pytest.mark.parametrize(
    ("autostart", "manager", "node", "by_manager"),
    [
        ("true", "false", True, None),
        ("false", "false", False, None),
        ("true", "true", False, True),
        ("false", "true", False, False),
    ],
)
def test_who_starts_the_nodes(load, autostart, manager, node, by_manager):
    """Exactly one of them: the node, its manager, or somebody else."""
    life = {"autostart": autostart, "use_lifecycle_manager": manager}
    single, pipeline = load("localization.launch.py"), load("pipeline.launch.py")
    one = given(single, map="m", **life)
    assert single.node_parameters(one)["autostart"] is node
    assert len(single.make_manager(one)) == (by_manager is not None)
    if by_manager is not None:
        parameters = single.manager_parameters(one)
        assert parameters["autostart"] is by_manager and parameters["node_names"] == ["localizer"]
        assert parameters["bond_timeout"] == 0.0  # there is no bondpy here
    several = given(pipeline, map="m", scene="s", **life)
    assert all(p["autostart"] is node for p in pipeline.node_parameters(several).values())
    assert pipeline.managed_nodes(several) == "retrieval relative_pose scene_coordinate localizer"


def test_camera_info_lies_beside_the_image(load):
    module = load("localization.launch.py")
    assert module.camera_info_topic(given(module, image="/front/image_raw")) == "/front/camera_info"
    assert module.camera_info_topic(given(module, camera_info="/other")) == "/other"


def test_defaults_of_the_file_are_those_of_the_node():
    file = yaml.safe_load((ROOT / "config" / "localizer.yaml").read_text())["/**"]["ros__parameters"]
    defaults = {row.name: row.default for row in (*camera_node.PARAMETERS, *localizer.PARAMETERS)}
    assert file == {name: defaults[name] for name in file}
