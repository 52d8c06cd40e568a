"""The launch files, as far as they go without `launch`; test/system/test_launch.py starts them."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import yaml

from relpose_ros.errors import ConfigurationError
from relpose_ros.nodes import camera_node, launching, loading, localizer, scene_coordinate
from relpose_ros.nodes.replay import ReplayOptions

ROOT = Path(__file__).parents[2]
FILES = ("localization.launch.py", "pipeline.launch.py", "replay.launch.py")
STAND_INS = (
    "launch",
    "launch.actions",
    "launch.events",
    "launch.events.process",
    "launch.launch_description_sources",
    "launch.substitutions",
    "launch_ros",
    "launch_ros.actions",
    "launch_ros.substitutions",
)
OWN = {"use_sim_time"}
"""Parameters that every ROS node has."""
KNOWN = {
    "localizer": (*camera_node.PARAMETERS, *localizer.PARAMETERS),
    "retrieval": (*camera_node.PARAMETERS, *loading.MAP_PARAMETERS, *loading.RETRIEVAL_PARAMETERS),
    "relative_pose": (
        *camera_node.PARAMETERS,
        *loading.MAP_PARAMETERS,
        *loading.MATCHING_PARAMETERS,
        *loading.RELATIVE_PARAMETERS,
    ),
    "scene_coordinate": (*camera_node.PARAMETERS, *scene_coordinate.PARAMETERS),
}


@pytest.fixture
def load(monkeypatch):
    """Imports a launch file; a stand-in takes the place of `launch`."""

    def run(name):
        for stand_in in STAND_INS:
            monkeypatch.setitem(sys.modules, stand_in, MagicMock())
        spec = importlib.util.spec_from_file_location(name.replace(".", "_"), ROOT / "launch" / name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return run


def given(module, **changes):
    assert set(changes) <= set(module.ARGUMENTS)
    return {name: default or "" for name, (default, _) in module.ARGUMENTS.items()} | changes


def everything(module):
    """A value for each argument that is a parameter or names a model."""
    words = dict.fromkeys(launching.WORDS, "none") | dict.fromkeys(launching.FLAGS, "true")
    files = dict.fromkeys(launching.FILES, "file")
    several = {"cameras": "front left"} if "cameras" in module.ARGUMENTS else {}
    return given(module, **words, **files, **several, base_from_camera="1 2 3 0 0 0 1")


def types_fit(parameters, table):
    defaults = {row.name: row.default for row in table} | {"use_sim_time": False}
    return all(type(value) is type(defaults[name]) for name, value in parameters.items())


@pytest.mark.parametrize("name", FILES)
def test_every_launch_file_describes_its_arguments(load, name):
    module = load(name)
    assert module.ARGUMENTS["map"][0] is None  # required
    assert all(len(text) > 5 for _, text in module.ARGUMENTS.values())
    assert module.generate_launch_description() is not None


@pytest.mark.parametrize("name", FILES)
def test_the_page_has_every_argument(load, name):
    """docs/launch.md: a table for each file, as `--show-args` prints it."""
    page = (ROOT / "docs" / "launch.md").read_text()
    section = page.split(f"## {name}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", section, re.M)
    shown = {None: "(required)", "": "`''`"}
    arguments = load(name).ARGUMENTS
    assert rows == [(n, shown.get(default, f"`{default}`"), text) for n, (default, text) in arguments.items()]


def test_the_names_are_nav2s(load):
    wanted = {"map", "params_file", "use_sim_time", "namespace", "autostart", "use_respawn", "log_level"}
    for name in ("localization.launch.py", "pipeline.launch.py"):
        assert wanted | {"use_rviz", "rviz_config"} <= set(load(name).ARGUMENTS)


def test_what_is_not_said_is_left_to_the_parameter_file(load):
    module = load("localization.launch.py")
    assert set(module.node_parameters(given(module, map="m"))) == {"map", "autostart"}


def test_arguments_become_parameters_of_their_types(load):
    module = load("localization.launch.py")
    out = module.node_parameters(everything(module))
    assert set(out) <= {row.name for row in KNOWN["localizer"]} | OWN
    assert types_fit(out, KNOWN["localizer"])
    assert out["map"] == str(Path.cwd() / "file") and out["base_from_camera"][:3] == [1.0, 2.0, 3.0]
    assert out["odom_frame_id"] == "" and out["tf_broadcast"] is True
    assert out["relative.estimator"] == "relpose_gnn"
    some = module.node_parameters(given(module, map="~/m", base_frame_id="b", tf_broadcast="False"))
    assert some["map"] == str(Path("~/m").expanduser()) and some["base_frame_id"] == "b"
    assert some["tf_broadcast"] is False and "relative.estimator" not in some


@pytest.mark.parametrize("word", ["True", "true", "1", " true"])
def test_truth_is_said_as_in_other_launch_files(word):
    assert launching.flag({"use_sim_time": word}, "use_sim_time") is True
    assert launching.parameters({"use_sim_time": word}, "use_sim_time") == {"use_sim_time": True}


@pytest.mark.parametrize(
    ("name", "value"), [("use_sim_time", "yes"), ("base_from_camera", "1 2 x"), ("params_file", "none.yaml")]
)
def test_what_cannot_be_used_is_named(name, value):
    with pytest.raises(ConfigurationError, match=name):
        if name == "params_file":
            launching.parameter_file({name: value}, "/share")
        launching.parameters({name: value}, name)


def test_the_pipeline_has_a_scene_node_where_there_is_a_scene(load):
    module = load("pipeline.launch.py")
    assert set(module.node_parameters(given(module, map="m"))) == {"retrieval", "relative_pose"}
    nodes = module.node_parameters(everything(module))
    assert set(nodes) == {"retrieval", "relative_pose", "scene_coordinate"}
    for name, parameters in nodes.items():
        assert set(parameters) <= {row.name for row in KNOWN[name]} | OWN
        assert types_fit(parameters, KNOWN[name])
        assert {"image_transport", "camera_file", "use_sim_time"} <= set(parameters)
    assert "global_frame_id" not in nodes["scene_coordinate"]  # its checkpoint names it
    assert nodes["retrieval"]["retrieval.checkpoint"] == str(Path.cwd() / "file")


@pytest.mark.parametrize(
    ("autostart", "manager", "node", "by_manager"),
    [
        ("true", "false", True, None),
        ("False", "false", False, None),
        ("true", "True", False, True),
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


@pytest.mark.parametrize(
    ("image", "camera_info", "expected"),
    [
        ("/front/image_raw", "", "/front/camera_info"),
        ("front/image_raw", "", "front/camera_info"),
        ("image", "", "camera_info"),
        ("/front/image_raw", "/other", "/other"),
    ],
)
def test_camera_info_lies_beside_the_image(image, camera_info, expected):
    pairs = launching.camera_remappings({"image": image, "camera_info": camera_info})
    assert ("camera_info", expected) in pairs and ("image", image) in pairs
    assert ("/tf", "tf") in pairs and ("/tf_static", "tf_static") in pairs  # as in Nav2's launch files


def test_topics_of_several_cameras(load):
    module = load("localization.launch.py")
    topics = {"image": "/{camera}/image_raw", "camera_info": "/infos/{camera}"}
    pairs = launching.camera_remappings(given(module, cameras="front left", **topics))
    assert ("left/image", "/left/image_raw") in pairs and ("front/camera_info", "/infos/front") in pairs
    assert "image" not in dict(pairs)
    assert module.node_parameters(given(module, map="m", cameras="front left"))["cameras"] == [
        "front",
        "left",
    ]
    with pytest.raises(ConfigurationError, match=r"\{camera\}"):
        launching.camera_remappings(given(module, cameras="front left"))


def test_how_processes_run(load, monkeypatch):
    module = load("localization.launch.py")
    for distribution, variable in (("kilted", "FASTDDS"), ("jazzy", "FASTRTPS")):
        monkeypatch.setenv("ROS_DISTRO", distribution)
        monkeypatch.delenv(f"{variable}_DEFAULT_PROFILES_FILE", raising=False)
        options = launching.node_options(given(module, use_respawn="True", log_level="debug", namespace="r1"))
        profile = options["additional_env"][f"{variable}_DEFAULT_PROFILES_FILE"]
        assert Path(profile).name == "fastdds_shm.xml" and Path(profile).is_file()
    assert options["respawn"] is True and options["namespace"] == "r1"
    assert options["arguments"] == ["--ros-args", "--log-level", "debug"]
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/own.xml")
    assert launching.node_options(given(module))["additional_env"] == {}
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE")
    assert launching.node_options(given(module, shared_memory="false"))["additional_env"] == {}


def test_rviz_shares_namespace_clock_and_tf(load, tmp_path):
    module = load("localization.launch.py")
    options = launching.rviz_options(given(module, namespace="r1", use_sim_time="true"), str(ROOT))
    assert options["arguments"] == ["-d", str(ROOT / "config" / "localization.rviz")]
    assert options["namespace"] == "r1" and options["parameters"] == [{"use_sim_time": True}]
    assert ("/tf", "tf") in options["remappings"]
    own = tmp_path / "own.rviz"
    own.write_text("")
    assert launching.rviz_options(given(module, rviz_config=str(own)), "")["arguments"][1] == str(own)


def test_a_replay_gets_what_was_asked_for(load):
    module = load("replay.launch.py")
    asked = given(
        module, map="m.relmap", bag="bag", out="report", rate="2", pruner="~/net", image="/front/raw"
    )
    options = module.options(asked, 7)
    paths = {name: Path(options[name]) for name in ("map", "bag", "out")}
    replay = ReplayOptions(**options | paths)
    assert (replay.rate, replay.domain, replay.matcher) == (2.0, 7, "")
    assert replay.pruner == str(Path("~/net").expanduser()), "as the other launch files have it"
    assert set(module.CHECKPOINTS) | {"profile"} == set(launching.MODELS)
    assert replay.image_topic == "/front/raw" and replay.pose_topic is None and paths["bag"].is_absolute()


def test_a_replay_that_fails_fails_the_launch(load):
    end = load("replay.launch.py").end
    assert end(MagicMock(returncode=0), MagicMock(is_shutdown=False)) is not None
    assert end(MagicMock(returncode=130), MagicMock(is_shutdown=True)) is not None  # Ctrl-C
    with pytest.raises(RuntimeError, match="status 2"):
        end(MagicMock(returncode=2), MagicMock(is_shutdown=False))


def test_the_parameter_file_has_the_nodes_defaults():
    file = yaml.safe_load((ROOT / "config" / "localizer.yaml").read_text())["/**"]["ros__parameters"]
    defaults = {row.name: row.default for row in KNOWN["localizer"]}
    assert file == {name: defaults[name] for name in file}
