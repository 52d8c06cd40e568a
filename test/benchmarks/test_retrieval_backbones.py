"""The table of global descriptors: ratios are to VGG16 in the same column."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import retrieval_backbones as bench


def test_ratios_are_to_vgg16_in_the_same_column():
    one = bench.Contestant(lambda image: None, lambda image: None, 256, 1_500_000, 6.0)
    free = bench.Contestant(lambda image: None, None, 256)
    times = {f"robot {bench.BASE}": 100.0, f"torch {bench.BASE}": 90.0}
    times |= {"robot small": 5.0, "torch small": 30.0, "robot free": 20.0}
    table = bench.rows({bench.BASE: one, "small": one, "free": free}, times)
    assert table[1] == ["small", 256, "1.50", "6.0", "5.0", "20.0", "30.0", "3.0"]
    assert table[2][4:] == ["20.0", "5.0", "-", "-"]


def test_a_backbone_runs_as_on_a_robot_and_in_torch_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "HEIGHT", 64)
    monkeypatch.setattr(bench, "WIDTH", 96)
    small = bench.Backbone("small", "retrieval.mobile", {"width": 0.35, "stride": 32, "dimension": 8})
    made = bench.prepare(small, tmp_path, threads=1)
    image = bench.scene_like()
    found, expected = made.robot(image), made.torch(image)[0]
    assert made.values == 8 and np.allclose(found, torch.as_tensor(expected).numpy(), atol=1e-3)


def test_vlad_has_as_many_values_as_a_map():
    assert bench.weight_free(bench.scene_like()).values == 256
