"""Matchers with drawn weights that do something, and images for them, without pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.features.graph_matching import MatchedImage
from relpose_ros.networks.registry import build_network

SIZE = (320, 240)


def drawn_checkpoint(file: Path, name: str, **parameters: int) -> Path:
    """Five iterations whose layers do something: a match depends on everything else in both images."""
    torch.manual_seed(1)
    given = {"iterations": 5, "descriptor_size": 64, **parameters}
    network = build_network(name, **given)
    with torch.no_grad():
        for key, value in network.named_parameters():
            if key.endswith("mlp.3.weight") or key == "kenc.encoder.12.weight":
                value.mul_(0.2)
            if key.startswith("final_proj"):
                value.copy_(8 * torch.eye(64)[..., None] if value.ndim == 3 else torch.zeros(64))
        network.get_parameter("bin_score").fill_(3.0)
    return write_checkpoint(file, network.state_dict(), CheckpointInfo(name, given))


def invented(count: int, shared: int = 0, seed: int = 0) -> MatchedImage:
    """Random features, of which the first `shared` have about the descriptors of every other such image."""
    generator, common = np.random.default_rng(seed), np.random.default_rng(77)
    descriptors = generator.normal(size=(count, 64))
    descriptors[:shared] = common.normal(size=(400, 64))[: min(shared, count)] + 0.1 * descriptors[:shared]
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    keypoints = generator.uniform(0, SIZE, (count, 2))
    return MatchedImage(keypoints.astype(np.float32), descriptors.astype(np.float32), SIZE)
