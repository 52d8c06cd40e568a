"""Real features in simulated pictures obey the simulated geometry."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.geometry.rigid import Rigid, skew


def matches(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) of SIFT features that agree by ratio and mutually."""
    sift, matcher = cv2.SIFT_create(2000), cv2.BFMatcher()
    (points0, words0), (points1, words1) = (sift.detectAndCompute(p, None) for p in (first, second))
    forth = {
        m.queryIdx: m.trainIdx
        for m, n in matcher.knnMatch(words0, words1, k=2)
        if m.distance < 0.75 * n.distance
    }
    back = {m.queryIdx: m.trainIdx for m in matcher.match(words1, words0)}
    pairs = [(i, j) for i, j in forth.items() if back.get(j) == i]
    return (
        np.array([points0[i].pt for i, _ in pairs]),
        np.array([points1[j].pt for _, j in pairs]),
    )


def sampson(x0: np.ndarray, x1: np.ndarray, first_from_second: Rigid, focal: float) -> np.ndarray:
    """First-order distance (N,) in pixels of homogeneous rays to the epipolar geometry (Sampson, 1982)."""
    essential = skew(first_from_second.translation) @ first_from_second.rotation
    line0, line1 = x1 @ essential.T, x0 @ essential
    error = np.einsum("ij,ij->i", x0, line0)
    return focal * np.abs(error) / np.sqrt((line0[:, :2] ** 2 + line1[:, :2] ** 2).sum(axis=1))


@pytest.mark.parametrize(("one", "other"), [(15, 16), (35, 36), (63, 65), (105, 106)])
def test_sift_matches_obey_the_true_epipolar_geometry(one: int, other: int):
    drive = Simulation(SimulationOptions(width=480, height=360))
    camera = drive.options.lens
    shots = drive.shots[one], drive.shots[other]
    pixels = matches(*(drive.image(s) for s in shots))
    poses = [drive.map_from_camera(s.split, s.time) for s in shots]
    here, there = (np.concatenate([camera.rays(p), np.ones((len(p), 1))], axis=1) for p in pixels)
    errors = sampson(here, there, poses[0].inverse() @ poses[1], camera.focal)
    assert len(errors) > 60
    assert np.median(errors) < 0.5
    swapped = sampson(here, there, poses[1].inverse() @ poses[0], camera.focal)
    assert np.median(swapped) > 2 * np.median(errors)
