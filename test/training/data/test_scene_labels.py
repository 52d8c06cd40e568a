"""Mean labels, drawing of the rare, distance of poses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.scene_coordinates.crossloc import TASKS, TransPoseNet
from relpose_ros.networks.scene_coordinates.normals import angles_of_logits
from relpose_training.data.label_statistics import LABEL_MEANS, mean_label
from relpose_training.data.pose_distance import pose_distance
from relpose_training.data.rare_first import draw_rare_first, drawing_probabilities


@pytest.mark.parametrize("task", TASKS)
def test_mean_labels_fit_the_network_of_their_task(task):
    mean = mean_label("urbanscape", task)
    uncertainty = "none" if task == "semantics" else "isotropic"
    network = TransPoseNet(task, uncertainty, tiny=True, extra_blocks=0, mean=mean)
    torch.testing.assert_close(network.mean, torch.tensor(mean))


def test_normals_come_as_logits():
    logits = torch.tensor(mean_label("EPFL", "normal"), dtype=torch.float64)
    angles = angles_of_logits(logits[None]).flatten()
    assert angles.tolist() == pytest.approx(LABEL_MEANS["EPFL"].normal)


def test_an_unknown_scene_is_refused_with_what_to_do():
    with pytest.raises(ConfigurationError, match="training labels"):
        mean_label("my_house", "coord")


def test_the_rare_is_likelier_unless_compat():
    drawn, candidates = [0, 9, 3, 1], [0, 2, 3]
    right = drawing_probabilities(drawn, candidates)
    original = drawing_probabilities(drawn, candidates, compat=True)
    assert right.sum() == pytest.approx(1) and original.sum() == pytest.approx(1)
    assert right[0] > right[2] > right[1]
    assert original[0] < original[2] < original[1]


def test_drawing_rare_first_evens_the_counts_out():
    def spread(compat: bool) -> float:
        rng, drawn = np.random.default_rng(0), np.zeros(20)
        for _ in range(200):
            chosen = draw_rare_first(rng, drawn, np.arange(20), 3, compat)
            assert len(set(chosen)) == 3
            drawn[chosen] += 1
        return float(drawn.std())

    assert spread(compat=False) < 0.5 * spread(compat=True)


def test_forty_degrees_are_a_metre():
    here = Rigid.identity()
    turned = Rigid.from_rotation_vector([0, np.radians(40), 0], [2, 0, 0])
    assert pose_distance(here, turned) == pytest.approx(3)
    assert pose_distance(here, here) == 0
