"""Ten minutes at 30 Hz: the age of images stays bounded and memory does not grow.

RELPOSE_SOAK_MINUTES=2 python -m pytest -m slow test/system/test_soak.py     shorter
"""

from __future__ import annotations

import os

import pytest

from relpose_ros.nodes.replay import ReplayOptions, replay


@pytest.mark.slow
def test_memory_and_age_over_minutes(world, ros_environment, tmp_path):
    minutes = float(os.environ.get("RELPOSE_SOAK_MINUTES", "10"))
    figures = replay(ReplayOptions(world.map, world.fast_bag, tmp_path, minutes=minutes))
    print(figures)
    assert (
        figures["images_played"] > 0.8 * 30 * 60 * minutes
    )  # the pace was kept (a bag of 40 frames ends with one gap less)
    assert figures["images_dropped"] + figures["images_answered"] == figures["images_played"]
    age, memory = figures["image_age_s"], figures["node_memory_mb"]
    assert age["p95"] < 0.5 and age["max"] < 3.0
    assert memory["slope_per_minute"] < 1.0
    assert memory["last"] < memory["first"] + 100
