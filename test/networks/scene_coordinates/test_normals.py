"""Normals as angles and as logits: round trips."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from relpose_ros.networks.scene_coordinates.normals import (
    angles_of_logits,
    angles_of_vectors,
    logits_of_angles,
    vectors_of_angles,
)


def test_vectors_come_back_from_angles():
    vectors = functional.normalize(torch.randn(2, 3, 4, 5, dtype=torch.float64), dim=1)
    torch.testing.assert_close(vectors_of_angles(angles_of_vectors(vectors)), vectors)


def test_angles_come_back_from_logits():
    angles = torch.linspace(-3, 3, 20, dtype=torch.float64).reshape(1, 2, 10)
    torch.testing.assert_close(angles_of_logits(logits_of_angles(angles)), angles)


def test_extreme_logits_stay_inside_the_circle():
    assert angles_of_logits(torch.tensor([[1e4], [-1e4]])[None]).abs().max() <= math.pi


def test_known_directions():
    vectors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]]).T[None]
    expected = torch.tensor([[0.0, 0], [90, 0], [0, 90], [0, -90]]).T[None]
    torch.testing.assert_close(torch.rad2deg(angles_of_vectors(vectors)), expected)
