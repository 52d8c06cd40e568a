"""A model of others, plugged in end to end: exported, described in a YAML, a map made, a frame localized."""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from relpose_ros.errors import CheckpointError, MapError
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.mapping import add_references, build_map
from relpose_ros.localization.options import options_for
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.maps.bundle import Map


class Thumbnail(torch.nn.Module):
    """An image in 6 x 8 pixels, less its mean: a descriptor that works in a small world."""

    def forward(self, images):
        small = torch.nn.functional.avg_pool2d(images, 8).flatten(1)
        return small - small.mean(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def thumbnail(tmp_path_factory) -> Path:
    """The YAML of the model."""
    folder = tmp_path_factory.mktemp("thumbnail")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Thumbnail().eval(), (torch.zeros(1, 3, 48, 64),), str(folder / "thumbnail.onnx"), dynamo=False
        )
    fed = {"height": 48, "width": 64, "mean": [0.5] * 3, "spread": [0.25] * 3}
    facts = {"kind": "onnx", "file": "thumbnail.onnx", "licence": "MIT", "source": "this test", "input": fed}
    (folder / "thumbnail.yaml").write_text(yaml.safe_dump(facts))
    return folder / "thumbnail.yaml"


def test_a_map_by_a_plugged_in_model(rendered_world, thumbnail, tmp_path):
    source = replace(rendered_world, images=rendered_world.references[:10])
    options = BuildOptions(calibration_samples=2, max_keypoints=600, retrieval=thumbnail)
    made = build_map(source, tmp_path / "small.relmap", options)
    opened = Map.open(made.path)
    facts = json.loads(json.dumps(opened.info()))["describer"]
    assert (facts["kind"], facts["name"], facts["dimension"]) == ("onnx", "thumbnail", 144)
    assert (facts["licence"], facts["origin"]) == ("MIT", "this test")
    assert facts["settings"]["height"] == 48
    localizer = Localizer(opened, options_for("default", retrieval=thumbnail))
    answer = localizer.localize(rendered_world.references[3].frame())
    assert answer.has_pose and "describe" in answer.latency_ms
    added = replace(rendered_world, images=rendered_world.references[10:12])
    assert len(add_references(made.path, added, tmp_path / "more.relmap", options)) == 12

    with pytest.raises(MapError, match="made by thumbnail"):
        Localizer(opened)
    facts = yaml.safe_load(thumbnail.read_text())
    facts |= {"file": str(thumbnail.with_suffix(".onnx")), "input": {**facts["input"], "colours": "bgr"}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(facts))
    with pytest.raises(CheckpointError, match=r"fed otherwise .colours rgb, not bgr"):
        Localizer(opened, options_for("default", retrieval=tmp_path / "other.yaml"))
