"""`relpose checkpoint ...`."""

from __future__ import annotations

import json

import pytest
import torch

from relpose_ros.cli.main import main
from relpose_ros.networks.registry import ARCHITECTURES, build_network

NAME = "scene_coordinates.dsacstar_tiny"


@pytest.fixture
def published(tmp_path):
    path = tmp_path / "chess.net"
    torch.save(build_network(NAME).state_dict(), path)
    return path


def test_import_then_info(published, capsys):
    assert main(["checkpoint", "import", "dsacstar", str(published), "--data", "7-Scenes chess"]) == 0
    said = capsys.readouterr().out
    assert NAME in said and "nothing missing, nothing left over" in said and "BSD-3" in said
    out = published.with_suffix(".safetensors")
    assert main(["checkpoint", "info", str(out)]) == 0
    said = capsys.readouterr().out
    assert "7-Scenes chess" in said and "sha256" in said and "946566" in said
    assert main(["checkpoint", "info", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tensors"]["fc3.bias"] == [3]


def test_an_existing_checkpoint_is_not_replaced_unasked(published, capsys):
    line = ["checkpoint", "import", "dsacstar", str(published)]
    assert main(line) == 0
    assert main(line) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*line, "--force"]) == 0


@pytest.mark.parametrize("setting", ["compat", "=1", "a b=2", "x=[1"])
def test_a_setting_that_is_none_is_refused(published, capsys, setting):
    assert main(["checkpoint", "import", "dsacstar", str(published), "--set", setting]) == 2
    assert "--set" in capsys.readouterr().err


def test_settings_are_typed(published, capsys):
    line = ["checkpoint", "import", "dsacstar", str(published), "--network", NAME, "--set", "colour=blue"]
    assert main(line) == 2
    assert "colour" in capsys.readouterr().err


def test_info_of_something_else(tmp_path, capsys):
    (tmp_path / "x.safetensors").write_text("no")
    assert main(["checkpoint", "info", str(tmp_path / "x.safetensors")]) == 2
    assert "expected a checkpoint" in capsys.readouterr().err


def test_fetch_lists_and_asks_for_the_licence(tmp_path, capsys):
    assert main(["checkpoint", "fetch"]) == 0
    assert "relpose-gnn:7scenes" in capsys.readouterr().out
    assert main(["checkpoint", "fetch", "relpose-gnn:7scenes", "--out", str(tmp_path)]) == 2
    assert "--accept-licence" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("answer", "accepted"), [("yes", True), ("no", False), ("", False)])
def test_fetch_asks_a_person(tmp_path, monkeypatch, answer, accepted):
    given = []

    def fetch(name, out, accept, progress):
        given.append(accept)
        return out

    monkeypatch.setattr("relpose_ros.checkpoints.fetch.fetch_checkpoint", fetch)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert main(["checkpoint", "fetch", "relpose-gnn:7scenes", "--out", str(tmp_path)]) == 0
    assert given == [accepted]


def test_networks_are_listed(capsys):
    assert main(["checkpoint", "networks"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ARCHITECTURES)
