"""Where a keypoint is and how sure the detector was, as a vector to add to its descriptor."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from relpose_ros.networks.imp.layers import Pointwise, activation_layer, norm_layer

HIDDEN = (32, 64, 128, 256)


class KeypointEncoder(nn.Module):
    """A perceptron 3 -> 32 -> 64 -> 128 -> 256 -> descriptor size, applied to every keypoint alone."""

    def __init__(self, descriptor_size: int, norm_fn: str, ac_fn: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        sizes = (3, *HIDDEN)
        for inputs, outputs in zip(sizes, HIDDEN, strict=False):
            layers += [Pointwise(inputs, outputs), norm_layer(norm_fn, outputs), activation_layer(ac_fn)]
        last = Pointwise(HIDDEN[-1], descriptor_size)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        self.encoder = nn.Sequential(*layers, last)

    def forward(self, keypoints: Tensor, scores: Tensor) -> Tensor:
        """(B, D, N) from normalised keypoints (B, N, 2) and detection scores (B, N)."""
        inputs = torch.cat([keypoints.transpose(1, 2), scores.unsqueeze(1)], dim=1)
        encoding: Tensor = self.encoder(inputs)
        return encoding
