"""`relpose doctor` tells the truth about what is there, missing and broken."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from relpose_ros.cli import examination
from relpose_ros.cli.examination import REQUIRED, Piece, cores, graphics, transport
from relpose_ros.cli.main import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def absent(monkeypatch):
    """Make modules look as if they were not installed."""
    find_spec = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name in names else find_spec(name)
        )

    return hide


def report(capsys):
    status = main(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    return status, answer["healthy"], {f["name"]: f for f in answer["findings"]}


def test_a_whole_installation_is_healthy(capsys):
    status, healthy, findings = report(capsys)
    assert (status, healthy) == (0, True)
    assert all(
        findings[piece.module]["state"] == "ok" and findings[piece.module]["found"] for piece in REQUIRED
    )
    assert {"rclpy", "relpose_msgs", "tf2_ros", "torch", "onnxruntime", "GPU", "cores"} <= set(findings)
    assert "Fast DDS profile" in findings


def test_what_is_looked_for_is_what_the_package_needs():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = setup["options"]["install_requires"].split()
    assert {re.split("[<>=]", line)[0] for line in needed} == {piece.distribution for piece in REQUIRED}


def test_a_robot_is_told_to_install_what_rosdep_does_not():
    by_rosdep = {depend.text for depend in ElementTree.parse(ROOT / "package.xml").iter("exec_depend")}
    by_apt = {"opencv-python-headless": "python3-opencv", "pyyaml": "python3-yaml"}
    page = (ROOT / "docs" / "getting-started.md").read_text()
    (line,) = re.findall(r"^    pip install (.*poselib.*)$", page, re.M)
    for piece in REQUIRED:
        key = by_apt.get(piece.distribution, f"python3-{piece.distribution}")
        assert (key in by_rosdep) != (piece.distribution in line), piece.distribution


def test_a_missing_optional_piece_says_what_it_would_give(capsys, absent):
    absent("torch", "rclpy")
    status, healthy, findings = report(capsys)
    assert (status, healthy) == (0, True)
    assert findings["rclpy"]["state"] == "missing" and "nodes" in findings["rclpy"]["advice"]
    assert "pip install 'relpose_ros[learned]'" in findings["torch"]["advice"]


def test_a_missing_required_piece_is_status_1(capsys, absent):
    absent("poselib")
    status, healthy, findings = report(capsys)
    assert (status, healthy) == (1, False)
    assert "pip install poselib" in findings["poselib"]["advice"]


def test_the_table_marks_what_is_missing(capsys, absent):
    absent("poselib", "torch")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["-", "torch"] for line in lines)
    assert any(line.split()[:2] == ["ok", "numpy"] for line in lines)
    assert "required is missing" in lines[-1]


def test_a_piece_that_cannot_be_imported_is_broken(tmp_path, monkeypatch):
    (tmp_path / "rotten_piece.py").write_text("raise OSError('libGL.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    finding = examination._examine(Piece("rotten_piece", "rotten", "pictures"), "required", required=True)
    assert finding.state == "broken" and "libGL" in finding.found
    assert "rotten_piece" not in sys.modules


@pytest.mark.parametrize(
    ("variables", "state"),
    [
        ({}, "hint"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}, "ok"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}, "hint"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": "/nowhere/shm.xml"}, "broken"),
        ({"FASTDDS_DEFAULT_PROFILES_FILE": __file__}, "ok"),
    ],
)
def test_transport_profile(monkeypatch, variables, state):
    for name in (*examination.PROFILES, "FASTDDS_BUILTIN_TRANSPORTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert transport()[0].state == state


def test_small_shared_memory_gets_a_hint(monkeypatch):
    usage = SimpleNamespace(total=64 * 2**20, free=60 * 2**20)
    monkeypatch.setattr(examination.shutil, "disk_usage", lambda path: usage)
    finding = transport()[1]
    assert finding.state == "hint" and "64 MiB" in finding.found


def test_graphics_without_a_driver(monkeypatch):
    monkeypatch.setattr(examination.shutil, "which", lambda name: None)
    assert graphics().state == "missing"


def test_graphics_that_do_not_answer(monkeypatch):
    monkeypatch.setattr(examination.shutil, "which", lambda name: "/bin/false")
    assert graphics().state == "broken"


def test_one_core_is_a_hint(monkeypatch):
    monkeypatch.setattr(examination.os, "sched_getaffinity", lambda pid: {0})
    assert cores().state == "hint"
