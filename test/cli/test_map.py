"""`relpose map ...` hands its arguments to the library and says what came out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from relpose_ros.cli.main import main
from relpose_ros.errors import MapError


@pytest.fixture
def library(monkeypatch, fake_map):
    """The map library, remembering its calls."""
    calls = []

    def remember(name):
        def function(*args, **kwargs):
            progress = kwargs.pop("progress", None)
            if progress:
                progress(1, 2, "stage")
            calls.append((name, args, kwargs))
            return fake_map

        return function

    build = SimpleNamespace(build_map=remember("build"))
    edit = SimpleNamespace(
        add_references=remember("add"), remove_references=remember("remove"), merge_maps=remember("merge")
    )
    monkeypatch.setitem(sys.modules, "relpose_ros.maps.build", build)
    monkeypatch.setitem(sys.modules, "relpose_ros.maps.edit", edit)
    monkeypatch.setattr("relpose_ros.cli.map.open_from", lambda args: ("source", args.source, args.options))
    return calls


def test_build(library, capsys):
    assert main(["map", "build", "images/", "-o", "every=2", "--out", "office.relmap"]) == 0
    (name, args, _) = library[0]
    assert (name, args) == ("build", (("source", "images/", ["every=2"]), Path("office.relmap")))
    assert capsys.readouterr().out == "office.relmap: 2 references, 3 landmarks, 0.1 MB, built in 4.2 s\n"


def test_add(library):
    assert main(["map", "add", "old.relmap", "images/", "--out", "new.relmap"]) == 0
    assert library[0][:2] == ("add", (Path("old.relmap"), ("source", "images/", []), Path("new.relmap")))


def test_remove(library):
    assert main(["map", "remove", "old.relmap", "a.jpg", "b.jpg", "--out", "new.relmap"]) == 0
    assert library[0][:2] == ("remove", (Path("old.relmap"), ["a.jpg", "b.jpg"], Path("new.relmap")))


def test_merge(library):
    assert main(["map", "merge", "one.relmap", "two.relmap", "--out", "both.relmap"]) == 0
    assert library[0][:2] == ("merge", ([Path("one.relmap"), Path("two.relmap")], Path("both.relmap")))


@pytest.mark.parametrize(
    "line", [["build", "x"], ["add", "m", "x"], ["remove", "m", "--out", "n"], ["merge", "--out", "n"]]
)
def test_nothing_is_done_with_half_a_command(library, capsys, line):
    with pytest.raises(SystemExit) as stop:
        main(["map", *line])
    assert stop.value.code == 2 and not library


@pytest.fixture
def opened(monkeypatch, fake_map):
    """`Map.open` gives the map that lies nowhere."""
    monkeypatch.setattr("relpose_ros.maps.bundle.Map.open", lambda path: fake_map)


def test_info_is_a_table(opened, capsys):
    assert main(["map", "info", "office.relmap"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["references"] == "2" and rows["calibration.scale"] == "1.5"


def test_info_as_json(opened, capsys):
    assert main(["map", "info", "office.relmap", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["landmarks"] == 3 and facts["reference_names"] == ["a.jpg", "b.jpg"]


def test_info_lists_references(opened, capsys):
    assert main(["map", "info", "office.relmap", "--references"]) == 0
    assert capsys.readouterr().out == "a.jpg\nb.jpg\n"


@pytest.mark.parametrize("content", [None, b"", b"no map at all"])
def test_what_is_no_map_is_refused(tmp_path, capsys, content):
    path = tmp_path / "bad.relmap"
    if content is not None:
        path.write_bytes(content)
    assert main(["map", "info", str(path)]) == 2
    said = capsys.readouterr().err
    assert "bad.relmap" in said and "Traceback" not in said


def test_an_error_of_the_build_is_a_message(library, monkeypatch, capsys):
    def refuse(*args, **kwargs):
        raise MapError("no features in any of 3 reference images")

    sys.modules["relpose_ros.maps.build"].build_map = refuse
    assert main(["map", "build", "images/", "--out", "m.relmap"]) == 2
    assert capsys.readouterr().err == "relpose: error: no features in any of 3 reference images\n"
