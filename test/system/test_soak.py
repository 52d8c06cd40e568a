"""Ten minutes at 30 Hz: the age of images stays bounded and memory does not grow.

RELPOSE_SOAK_MINUTES=2 python -m pytest -m slow test/system/test_soak.py     shorter
"""

from __future__ import annotations

import json
import os

import pytest

from relpose_ros.nodes.replay import ReplayOptions, replay


@pytest.mark.slow
def test_memory_and_age_over_minutes(world, ros_environment, tmp_path):
    minutes = float(os.environ.get("RELPOSE_SOAK_MINUTES", "10"))
    figures = replay(ReplayOptions(world.map, world.fast_bag, tmp_path, minutes=minutes))
    print(json.dumps(figures))
    assert figures["images_played"] > 0.8 * 30 * 60 * minutes  # the pace was kept
    assert figures["images_answered"] > 60 * minutes
    age, memory = figures["image_age_s"], figures["node_memory_mb"]
    assert age["p95"] < 0.6 and age["max"] < 3.0
    assert memory["slope_per_minute"] < 1.0
    assert memory["last"] < memory["first"] + 120  # lazy imports and buffers of the first frames
    assert figures["node_exit_status"] == 0
