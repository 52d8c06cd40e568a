"""startup.sh with stand-ins for git, pip and uv: what it asks of them, and that it can run again."""

from __future__ import annotations

import os
import subprocess
import tarfile
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STARTUP = Path(str(files("relpose_training.tpu") / "startup.sh"))

STAND_IN = '#!/bin/bash\necho "$(basename "$0") $*" >>"$CALLS"\nlast="${@: -1}"\n'
GIT = (
    STAND_IN
    + """case $1 in clone)
    mkdir -p "$last/requirements"
    touch "$last/requirements/xla.txt"
    printf 'torch==2.13.0\\nnumpy==2.4.6\\n' >"$last/requirements/constraints.txt" ;;
esac
"""
)
PYTHON3 = STAND_IN + 'mkdir -p "$HOME/relpose/uv/bin"; cp "$STAND_INS/uv" "$HOME/relpose/uv/bin/uv"\n'
UV = (
    STAND_IN
    + """case $1 in venv)
    mkdir -p "$last/bin"
    for name in python relpose; do cp "$STAND_INS/git" "$last/bin/$name"; done ;;
esac
"""
)


@pytest.fixture
def start(tmp_path):
    """Run startup.sh; returns the lines of what it called."""
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name, text in (("git", GIT), ("python3", PYTHON3), ("uv", UV)):
        (stand_ins / name).write_text(text)
        (stand_ins / name).chmod(0o755)
    calls = tmp_path / "calls"
    home = tmp_path / "home"
    (home / "relpose").mkdir(parents=True)

    def call(**values: str) -> list[str]:
        calls.write_text("")
        env = {**os.environ, "HOME": str(home), "CALLS": str(calls), "STAND_INS": str(stand_ins)}
        env |= {"PATH": f"{stand_ins}:{os.environ['PATH']}", "RELPOSE_TORCH": "2.9.0", **values}
        done = subprocess.run(
            ["bash", str(STARTUP)], env=env, cwd=home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "ready" in done.stdout
        return [line.replace(str(home), "~") for line in calls.read_text().splitlines()]

    call.home = home
    return call


def test_from_git(start):
    lines = start(RELPOSE_SOURCE="https://example.org/r.git", RELPOSE_COMMIT="0123abc")
    assert lines[0] == "git clone --quiet https://example.org/r.git ~/relpose/source.part"
    assert lines[1] == "git -C ~/relpose/source.part checkout --quiet 0123abc"
    assert "uv venv --quiet --python 3.11 ~/relpose/venv" in lines
    install = next(line for line in lines if line.startswith("uv pip install"))
    for word in (
        "torch==2.9.0",
        "torch_xla[tpu]==2.9.0",
        "gcsfs==",
        "-r ~/relpose/source/requirements/xla.txt -c ~/relpose/constraints.txt",
        "relpose_ros[learned,training] @ file://~/relpose/source",
        "--python ~/relpose/venv/bin/python",
    ):
        assert word in install
    assert lines[-1] == "relpose train --help"
    assert (start.home / "relpose/constraints.txt").read_text() == "numpy==2.4.6\n"


def test_again_it_keeps_the_environment_and_takes_the_new_code(start):
    start(RELPOSE_SOURCE="https://example.org/r.git")
    lines = start(RELPOSE_SOURCE="https://example.org/other.git")
    assert not any("venv --quiet" in line or line.startswith("python3") for line in lines)
    assert any("--no-deps --reinstall-package relpose_ros ~/relpose/source" in line for line in lines)


def test_from_an_archive(start, tmp_path):
    package = tmp_path / "relpose_ros-0.1.0"
    package.mkdir()
    (package / "setup.cfg").write_text("[metadata]\n")
    with tarfile.open(start.home / "relpose/my code.tar.gz", "w:gz") as archive:
        archive.add(package, "relpose_ros-0.1.0")
    lines = start(RELPOSE_SOURCE="relpose/my code.tar.gz")
    assert (start.home / "relpose/source/setup.cfg").is_file()
    assert not any(line.startswith("git clone") for line in lines)
    assert not any("xla.txt" in line for line in lines)


def test_the_pins_agree_with_the_test_environment():
    from relpose_training.tpu.workers import TORCH

    pins = (ROOT / "requirements/xla.txt").read_text().split()
    assert {f"torch=={TORCH}", f"torch_xla=={TORCH}"} <= {pin.partition("+")[0] for pin in pins}


@pytest.mark.parametrize("script", ["startup.sh", "run.sh"])
def test_bash_understands_the_scripts(script):
    path = STARTUP.with_name(script)
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
