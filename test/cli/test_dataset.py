"""`relpose dataset ...`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relpose_ros.cli.main import main


@pytest.fixture
def simulated(monkeypatch):
    """Calls of the simulation."""
    calls = []
    monkeypatch.setattr(
        "relpose_ros.datasets.simulate.dataset.write_simulation",
        lambda options, out, progress=None: calls.append((options, out)),
    )
    return calls


def test_simulate_passes_what_is_given(simulated, capsys):
    line = "dataset simulate --out world --seed 7 --world corridor --appearance b --map-frames 12"
    line += " --bags --no-depth"
    assert main([*line.split(), "--camera", "300", "301", "159.5", "119.5", "320", "240"]) == 0
    ((options, out),) = simulated
    assert (options.seed, options.world, options.appearance, options.map_frames) == (7, "corridor", "b", 12)
    assert (options.bags, options.depth, options.query_frames) == (True, False, 100)
    assert options.camera.fx == 300 and options.camera.width == 320
    assert out == Path("world")


def test_simulate_keeps_the_defaults(simulated):
    from relpose_ros.datasets.simulate.options import SimulationOptions

    assert main(["dataset", "simulate", "--out", "world"]) == 0
    assert repr(simulated[0][0]) == repr(SimulationOptions())


def test_a_world_that_is_not_is_refused(simulated, capsys):
    assert main(["dataset", "simulate", "--out", "world", "--world", "moon"]) == 2
    assert "office" in capsys.readouterr().err and not simulated


def test_fetch_without_a_name_lists(capsys):
    assert main(["dataset", "fetch"]) == 0
    assert "7scenes:chess" in capsys.readouterr().out


def test_fetch_wants_the_licence_accepted(tmp_path, capsys):
    assert main(["dataset", "fetch", "7scenes:chess", "--out", str(tmp_path)]) == 2
    assert "--accept-licence" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_fetch_hands_over(monkeypatch, tmp_path, capsys):
    calls = []

    def fetch(name, out, accept_licence=False, progress=None):
        calls.append((name, out, accept_licence))
        return out / "chess"

    monkeypatch.setattr("relpose_ros.datasets.fetch.fetch", fetch)
    assert main(["dataset", "fetch", "7scenes:chess", "--out", str(tmp_path), "--accept-licence"]) == 0
    assert calls == [("7scenes:chess", tmp_path, True)]
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'chess'}\n" and "licence" in said.err


def test_info(images, capsys):
    folder = images / "source"
    (folder / "images").mkdir(parents=True)
    (folder / "images/a.png").write_bytes((images / "a.png").read_bytes())
    (folder / "poses.txt").write_text("a.png 0 0 0 0 0 0 1\n")
    (folder / "intrinsics.txt").write_text("60 61 31.5 23.5 64 48\n")
    assert main(["dataset", "info", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["images"], facts["references"], facts["queries"]) == (1, 1, 0)
    assert facts["camera_kinds"] == ["64x48 pinhole"]


def test_info_of_nothing(tmp_path, capsys):
    assert main(["dataset", "info", str(tmp_path)]) == 2
    assert "posed-image source" in capsys.readouterr().err
