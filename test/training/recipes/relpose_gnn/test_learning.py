"""From nothing, on a CPU: what the small network learns holds for walls that it never saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from walls import HEIGHT, WIDTH, views_of

from relpose_ros.networks.relpose_gnn.robot import RobotRelPoseGNN
from relpose_training.data.graphs import pair_targets
from relpose_training.losses.relative_pose_l1 import edge_targets
from relpose_training.losses.relative_pose_nll import relative_pose_nll
from relpose_training.recipes.relpose_gnn.module import described
from relpose_training.recipes.relpose_gnn.scores import constant_nll

STEPS, RATE, VIEWS = 480, 5e-3, 12


def wall(seed):
    pixels, poses, _ = views_of(seed, VIEWS)
    images = ((pixels / 255 - 0.45) / 0.25).transpose(0, 3, 1, 2).astype(np.float32)
    return images, pair_targets(poses)


def batch(walls, count, rng):
    """Graphs of four views each: images (B, 4, 3, H, W), pairs (B, 4, 4, 6)."""
    images, pairs = [], []
    for number in rng.integers(len(walls), size=count):
        chosen = rng.choice(VIEWS, 4, replace=False)
        images.append(walls[number][0][chosen])
        pairs.append(walls[number][1][np.ix_(chosen, chosen)])
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(pairs))


def said(network, images, pairs):
    found = network.edge_poses(described(network, images))
    return found, edge_targets(pairs, found.edges)


@pytest.mark.slow
def test_unseen_walls_are_told_better_than_by_the_best_constant():
    """Half a minute of a core. The constant is fitted to the very edges that it is scored by."""
    torch.manual_seed(0)
    network = RobotRelPoseGNN(
        height=HEIGHT, width=WIDTH, channels=(16, 16, 24, 24), keys=12, values=8, dimension=32, rounds=1
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-4)
    train, rng = [wall(seed) for seed in range(40)], np.random.default_rng(0)
    for step in range(STEPS):
        found, target = said(network, *batch(train, 6, rng))
        loss = relative_pose_nll(found.relative, found.log_variance, target, "laplace", 0.5).mean()
        rate = RATE * min(1, (step + 1) / 10) * (1 + np.cos(np.pi * step / STEPS)) / 2
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    unseen = batch([wall(seed) for seed in range(1000, 1020)], 40, np.random.default_rng(5))
    with torch.no_grad():
        found, target = said(network, *unseen)
    learnt = float(relative_pose_nll(found.relative, found.log_variance, target).mean())
    assert learnt < constant_nll(target.reshape(-1, 6).double().numpy(), "laplace") - 0.3
