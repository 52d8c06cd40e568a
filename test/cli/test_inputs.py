"""Sources, options and cameras from the command line."""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import pytest

from relpose_ros.cli.inputs import add_source_arguments, open_from, parse_options, split_camera
from relpose_ros.errors import ConfigurationError, DatasetError


@pytest.mark.parametrize(
    ("words", "camera", "images"),
    [
        (["camera.yaml"], ["camera.yaml"], []),
        (["camera.yaml", "a.jpg", "7.png"], ["camera.yaml"], ["a.jpg", "7.png"]),
        (list("123456"), list("123456"), []),
        ("1 2 3 4 5 6 -1e-3 .5 0 0 a.jpg".split(), "1 2 3 4 5 6 -1e-3 .5 0 0".split(), ["a.jpg"]),
    ],
)
def test_split_camera(words, camera, images):
    assert split_camera(words) == (camera, images)


def test_options_are_yaml_scalars():
    pairs = [
        "every=5",
        "min_distance_m=0.2",
        "rectified=true",
        "image_topic=/camera/image_raw",
        "mount=0 0 1 0 0 0 1",
    ]
    assert parse_options(pairs) == {
        "every": 5,
        "min_distance_m": 0.2,
        "rectified": True,
        "image_topic": "/camera/image_raw",
        "mount": "0 0 1 0 0 0 1",
    }


@pytest.mark.parametrize("pair", ["every", "=3", "a b=3", "--x=1"])
def test_a_bad_option_is_refused(pair):
    with pytest.raises(ConfigurationError, match="KEY=VALUE"):
        parse_options([pair])


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_source_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def formats(monkeypatch, tmp_path):
    """Two formats: one with a split of its own, one that takes it as an option."""
    calls = []

    def own(path):
        calls.append({})

    def takes(path, *, split="map", every=1):
        calls.append({"split": split, "every": every})

    def layout(opener):
        return SimpleNamespace(recognises=lambda p: opener is takes, open_function=lambda: opener, layout="")

    monkeypatch.setattr("relpose_ros.datasets.open.FORMATS", {"own": layout(own), "takes": layout(takes)})
    return calls


def test_queries_are_asked_of_a_format_without_a_split(formats, tmp_path):
    open_from(parsed(str(tmp_path), "-o", "every=3"), split="query")
    open_from(parsed(str(tmp_path), "-o", "split=map"), split="query")
    open_from(parsed(str(tmp_path), "--format", "own"), split="query")
    open_from(parsed(str(tmp_path)))
    assert formats == [
        {"split": "query", "every": 3},
        {"split": "map", "every": 1},
        {},
        {"split": "map", "every": 1},
    ]


def test_what_is_no_source_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        open_from(parsed(str(tmp_path / "absent")), split="query")
    with pytest.raises(DatasetError, match="posed-image source"):
        open_from(parsed(str(tmp_path)), split="query")
    with pytest.raises(ConfigurationError, match="unknown dataset format"):
        open_from(parsed(str(tmp_path), "--format", "kodak"), split="query")
