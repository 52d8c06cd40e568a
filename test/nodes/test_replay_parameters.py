"""What `relpose replay` tells the node."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from relpose_ros.nodes import replay
from relpose_ros.nodes.replay import ReplayOptions


@pytest.fixture
def parameters(monkeypatch, tmp_path):
    """Makes the node's parameters of options."""
    topics = SimpleNamespace(is_compressed=False, image_base="image", camera_info=None)
    monkeypatch.setattr(replay, "NodeProcess", lambda command, log, parameters, remappings: parameters)
    return lambda **options: replay.start_localizer(
        ReplayOptions(tmp_path / "m.relmap", tmp_path / "bag", tmp_path, **options), topics
    )


def test_the_scene_and_its_frame(parameters, make_scene_checkpoint):
    path = str(make_scene_checkpoint(frame="cellar"))
    given = parameters(scene=path)
    assert (given["scene.checkpoint"], given["global_frame_id"]) == (path, "cellar")
    assert not {"scene.checkpoint", "global_frame_id"} & set(parameters())
