"""The frame around every command: exit status, messages, commands of other packages."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import pytest

import relpose_ros
from relpose_ros.cli import main as cli
from relpose_ros.errors import MapError, RelposeError


def command(run):
    """A module with one command, `probe`."""
    module = ModuleType("probe_command")
    module.add_parser = lambda subparsers: subparsers.add_parser("probe", help="a test").add_argument(
        "--deep"
    )
    module.run = run
    return module


@pytest.fixture
def probe(monkeypatch):
    """Make `relpose probe` do what the test says."""

    def install(run):
        monkeypatch.setattr(cli, "load_commands", lambda: {"probe": command(run)})

    return install


def raising(error):
    def run(args):
        raise error

    return run


def test_status_of_the_command_is_returned(probe):
    probe(lambda args: 7)
    assert cli.main(["probe"]) == 7


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (
            MapError("x.relmap: truncated; build it again"),
            2,
            "relpose: error: x.relmap: truncated; build it again\n",
        ),
        (FileNotFoundError(2, "No such file", "y"), 2, "relpose: error: [Errno 2] No such file: 'y'\n"),
        (ModuleNotFoundError("No module named 'pycolmap'", name="pycolmap"), 2, "`relpose doctor` says"),
        (ModuleNotFoundError("No module", name="relpose_ros.gone"), 1, "internal error: ModuleNotFoundError"),
        (KeyboardInterrupt(), 130, "relpose: interrupted\n"),
        (ValueError("bad shape"), 1, "relpose: internal error: ValueError: bad shape\n"),
    ],
)
def test_errors_become_messages(probe, capsys, error, status, says):
    probe(raising(error))
    assert cli.main(["probe"]) == status
    said = capsys.readouterr()
    assert says in said.err and not said.out
    assert "Traceback" not in said.err


@pytest.mark.parametrize("line", [["--debug", "probe"], ["probe", "--debug"]])
def test_debug_shows_the_traceback(probe, capsys, line):
    probe(raising(RelposeError("why")))
    assert cli.main(line) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said and "in run" in said


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"relpose {relpose_ros.__version__}\n"


@pytest.mark.parametrize("line", [[], ["fly"], ["map"], ["map", "build"], ["evaluate"]])
def test_wrong_usage_is_status_2(capsys, line):
    with pytest.raises(SystemExit) as stop:
        cli.main(line)
    assert stop.value.code == 2
    assert "usage: relpose" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", [["evaluate", "office.relmap", "drive/", "--out", "report"], ["localize", "a.jpg", "--mpa", "b"]]
)
def test_what_a_command_does_not_know_is_refused_with_its_own_usage(capsys, line):
    with pytest.raises(SystemExit) as stop:
        cli.main(line)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert (
        f"usage: relpose {line[0]} " in said and f"relpose {line[0]}: error: unrecognized arguments" in said
    )


def test_every_command_of_the_table_has_help_with_examples(capsys):
    commands = cli.load_commands()
    assert list(commands)[: len(cli.COMMANDS)] == list(cli.COMMANDS)
    for name, module in commands.items():
        assert callable(module.run)
        with pytest.raises(SystemExit) as stop:
            cli.main([name, "--help"])
        assert stop.value.code == 0
        assert f"relpose {name}" in capsys.readouterr().out.partition("\nexamples:\n")[2]


def test_other_packages_add_commands(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "probe_command", command(lambda args: 5))
    entry = EntryPoint("probe", "probe_command", cli.ENTRY_POINT_GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry] if group == cli.ENTRY_POINT_GROUP else [])
    assert cli.main(["probe"]) == 5


def test_a_command_that_cannot_be_imported_is_said_and_left_out(monkeypatch, capsys):
    entry = EntryPoint("train", "relpose_absent.commands", cli.ENTRY_POINT_GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry])
    assert "train" not in cli.load_commands()
    assert "'train' is not available" in capsys.readouterr().err


def test_another_package_cannot_replace_ours(monkeypatch):
    monkeypatch.setitem(sys.modules, "probe_command", command(lambda args: 5))
    monkeypatch.setattr(cli, "entry_points", lambda group: [EntryPoint("map", "probe_command", group)])
    assert cli.load_commands()["map"].__name__ == "relpose_ros.cli.map"


def test_a_reader_that_leaves_is_no_error(probe, monkeypatch):
    probe(raising(BrokenPipeError()))
    devnull = os.open(os.devnull, os.O_WRONLY)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(fileno=lambda: devnull, flush=lambda: None))
    assert cli.main(["probe"]) == 0


def test_python_dash_m():
    result = subprocess.run(
        [sys.executable, "-m", "relpose_ros.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("relpose ")
