"""What `relpose replay` tells the node, and what it reads of its process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from relpose_ros.nodes import replay
from relpose_ros.nodes.replay import Recording, ReplayOptions
from relpose_ros.nodes.replay_report import format_figures, processor_figures


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
    given = parameters()
    assert (given["scene.checkpoint"], given["global_frame_id"]) == ("", "map")


def test_processor_time_holds_the_work_for_the_last_answer(tmp_path):
    """A bag of less than a second would else have one sample, and work of 0 ms."""
    used = iter([1.0, 1.25, 1.5])  # at the first image, after the last, after its answer
    process = SimpleNamespace(memory=lambda: 10**6, processor_seconds=lambda: next(used), status=lambda: None)
    collector = SimpleNamespace(images_sent=2, samples=[None, None], is_last_answered=lambda: True)
    recording = Recording(collector)
    player = SimpleNamespace(play=lambda rate, go_on: go_on())
    replay._play(ReplayOptions(tmp_path, tmp_path, tmp_path), player, process, recording)
    assert processor_figures(recording.memory, 2)["ms_per_answer"] == pytest.approx(250.0)


@pytest.mark.parametrize(("answered", "advised"), [(90, False), (10, True)])
def test_most_images_dropped_is_said_with_what_to_do(answered, advised):
    figures = {
        "images_played": 100,
        "images_answered": answered,
        "images_dropped": 100 - answered,
        "poses_published": 9,
        "seconds": 20.0,
        "answers_per_second": answered / 20,
        "image_age_s": {"p50": 1.0, "p95": 2.0, "max": None},
        "node_memory_mb": {"first": 200.0, "last": 210.0, "slope_per_minute": None},
        "node_processor": {"cores": 0.1, "ms_per_answer": 200.0},
    }
    assert ("--profile fast" in format_figures(figures)) == advised
