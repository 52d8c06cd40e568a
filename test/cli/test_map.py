"""`relpose map ...` hands its arguments to the library and says what came out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relpose_ros.cli.main import main
from relpose_ros.errors import MapError
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.maps.bundle import Map
from relpose_ros.progress import silent


@pytest.fixture
def library(monkeypatch, fake_map, trusted):
    """The map library, remembering its calls."""
    calls = []

    def remember(name):
        def function(*args):
            if name in ("add", "merge"):
                trusted.append(args[-1])
                args = args[:-1]
            *given, options, progress = args if name != "remove" else (*args, None, silent)
            progress(1, 2, "stage")
            calls.append((name, tuple(given), options))
            return fake_map

        return function

    home = "relpose_ros.localization.mapping"
    for name, function in (("build", "build_map"), ("add", "add_references"), ("remove", "remove_references"),
                           ("merge", "merge_maps")):  # fmt: skip
        monkeypatch.setattr(f"{home}.{function}", remember(name))
    monkeypatch.setattr("relpose_ros.cli.map.open_from", lambda args: ("source", args.source, args.options))
    return calls


@pytest.fixture
def trusted():
    """Whether poses were to be trusted, of each call that asks."""
    return []


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
    assert library[0][:2] == ("remove", (Path("old.relmap"), ["a.jpg", "b.jpg"], Path("new.relmap"), []))


def test_merge(library):
    assert main(["map", "merge", "one.relmap", "two.relmap", "--out", "both.relmap"]) == 0
    assert library[0][:2] == ("merge", ([Path("one.relmap"), Path("two.relmap")], Path("both.relmap")))


def test_poses_are_trusted_where_that_is_said(library, trusted):
    for action in (["add", "old", "images/"], ["merge", "a", "b"]):
        assert (
            main(["map", *action, "--out", "m"]) == 0
            and main(["map", *action, "--trust-poses", "--out", "m"]) == 0
        )
    assert trusted == [False, True, False, True]


def test_what_is_given_changes_how_the_map_is_made(library):
    line = ["--max-keypoints", "700", "--condition", "night", "--seed", "4", "--pair-neighbours", "9"]
    assert main(["map", "build", "images/", "--out", "m", "--calibration-samples", "0", *line]) == 0
    assert main(["map", "merge", "a", "b", "--out", "m", "--seed", "4"]) == 0
    build, merge = (call[2] for call in library)
    wanted = {"max_keypoints": 700, "condition": "night", "pair_neighbours": 9, "calibration_samples": 0}
    assert build == BuildOptions(seed=4, **wanted) and merge == BuildOptions(seed=4)


@pytest.mark.parametrize("wrong", [["--max-keypoints", "3"], ["--seed", "-1"], ["--pair-neighbours", "0"]])
def test_wrong_numbers_are_refused(library, capsys, wrong):
    assert main(["map", "build", "images/", "--out", "m", *wrong]) == 2
    assert wrong[0] in capsys.readouterr().err and not library


@pytest.mark.parametrize(
    "line", [["build", "x"], ["add", "m", "x"], ["remove", "--out", "n"], ["merge", "--out", "n"]]
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

    monkeypatch.setattr("relpose_ros.localization.mapping.build_map", refuse)
    assert main(["map", "build", "images/", "--out", "m.relmap"]) == 2
    assert capsys.readouterr().err == "relpose: error: no features in any of 3 reference images\n"


def test_images_that_were_left_out_are_said(library, fake_map, capsys):
    facts = fake_map.info()
    tested = {"tried": 40, "availability": 0.95}
    left_out = {"left_out": {"7.jpg": "truncated"}}
    fake_map.info = lambda: {**facts, "calibration": tested, "provenance": left_out}
    assert main(["map", "build", "images/", "--out", "m"]) == 0
    said = capsys.readouterr().out
    assert "38 of 40 localized" in said and "1 images left out; 7.jpg: truncated" in said


def test_a_real_map_is_built_changed_and_looked_into(small_world, tmp_path, capsys):
    """Add, remove and merge on the library itself; the map that is read is not touched."""
    before = small_world.map.read_bytes()
    smaller, merged = tmp_path / "smaller.relmap", tmp_path / "merged.relmap"
    names = [f"map{n:03d}.png" for n in range(12, 24)]
    assert main(["map", "remove", str(small_world.map), *names, "--out", str(smaller)]) == 0
    assert len(Map.open(smaller)) == 12 and len(Map.open(small_world.map)) == 24
    assert main(["map", "remove", str(small_world.map), "nobody.png", "--out", str(smaller)]) == 2
    assert "nobody.png" in capsys.readouterr().err
    quick = ["--calibration-samples", "2", "--pair-neighbours", "4"]
    assert main(["map", "merge", str(smaller), str(small_world.map), "--out", str(merged), *quick]) == 0
    assert len(Map.open(merged)) == 36
    assert small_world.map.read_bytes() == before
    assert not list(tmp_path.glob("*.building"))
    assert main(["map", "build", str(small_world.folder), "--out", str(tmp_path / "no" / "x.relmap")]) == 2
    assert "does not exist" in capsys.readouterr().err
