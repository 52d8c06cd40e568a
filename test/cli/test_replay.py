"""`relpose replay`: what the command line says is what the replay process gets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from relpose_ros.cli.main import main


@pytest.fixture
def handed_over(monkeypatch):
    options = {}
    monkeypatch.setattr("relpose_ros.cli.replay.start_replay", lambda given: options.update(given) or 0)
    return options


def test_every_option_is_a_field_of_the_replay(handed_over):
    from relpose_ros.nodes.replay import ReplayOptions

    assert main(["replay", "--map", "m.relmap", "bag", "--out", "report"]) == 0
    assert set(handed_over) <= {f.name for f in dataclasses.fields(ReplayOptions)}
    assert handed_over["pruner"] == handed_over["matcher"] == "" and handed_over["map"] == "m.relmap"


@pytest.mark.parametrize("name", ["pruner", "matcher"])
def test_a_file_becomes_the_parameter_of_the_node(handed_over, monkeypatch, tmp_path, name):
    from relpose_ros.nodes import replay

    assert main(["replay", "--map", "m", "bag", "--out", "report", f"--{name}", "net.safetensors"]) == 0
    started = {}
    monkeypatch.setattr(replay, "NodeProcess", lambda *_, parameters, **__: started.update(parameters))
    options = replay.ReplayOptions(Path("m"), Path("bag"), tmp_path, **{name: handed_over[name]})
    topics = type("Topics", (), {"is_compressed": False, "image_base": "/image", "camera_info": None})
    replay.start_localizer(options, topics)
    assert started[f"features.{name}"] == "net.safetensors"


def test_a_scene_is_handed_over(handed_over):
    line = ["replay", "--map", "m", "bag", "--out", "report"]
    assert main(line) == 0 and handed_over["scene"] == ""
    assert main([*line, "--scene", "room.safetensors"]) == 0 and handed_over["scene"] == "room.safetensors"
