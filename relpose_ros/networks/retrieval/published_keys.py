"""Classifiers trained on ImageNet, as torchvision publishes them, under the names of our trunks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

PREFIX = "features."

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68, 116.779, 103.939)


def features(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's VGG16 of the Caffe release (`vgg16_features-amdegroot`): fed as MatConvNet's is.

    Convolutions without `features.`; a state dict without them (cluster centres) stays as it is.
    """
    if not any(name.startswith(PREFIX) for name in state):
        return dict(state)
    return {name.removeprefix(PREFIX): value for name, value in state.items()}


def rescaled_features(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's own VGG16 (IMAGENET1K_V1), which was trained on other colours: 0 to 1, with a deviation.

    The first convolution takes that over, so that it is fed as every VGG16 here is, 0 to 255 less Caffe's
    mean: W' = W / (255 s), b' = b + sum of W (m' / 255 - m) / s. Exact but at the border of the image, where
    zeros now stand for m' and not for m (0.01 of a deviation apart).
    """
    found = features(state)
    if "0.weight" not in found:
        return found
    weight, bias = found["0.weight"].double(), found["0.bias"].double()
    mean, deviation, caffe = (
        torch.tensor(values, dtype=torch.float64)
        for values in (IMAGENET_MEAN, IMAGENET_DEVIATION, CAFFE_MEAN)
    )
    shift = ((caffe / 255 - mean) / deviation)[None, :, None, None]
    found["0.bias"] = (bias + (weight * shift).sum(dim=(1, 2, 3))).float()
    found["0.weight"] = (weight / (255 * deviation[None, :, None, None])).float()
    return found
