"""Checkpoints of networks that give an image one global descriptor: what they say of it, and their input."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import CheckpointInfo
from relpose_ros.checkpoints.header_values import number, numbers, text, whole
from relpose_ros.datasets.colour_statistics import CAFFE, IMAGENET, ColourStatistics, colour_planes
from relpose_ros.errors import CheckpointError
from relpose_ros.resampling import resize_bilinear

Triple = tuple[float, float, float]

LARGEST_SIDE = 4096
LARGEST_DIMENSION = 1 << 16
"""Beyond these a header is wrong: an image or a descriptor of that size serves no robot."""


@dataclass(frozen=True, kw_only=True)
class RetrievalInfo:
    """What the header of such a checkpoint says (`CheckpointInfo.retrieval`).

    `dimension`: values of the descriptor; `height`, `width`: px of what the network is fed, images are
    resized to exactly this, as published; it is fed (RGB * scale - mean) / spread, RGB from 0 to 255;
    `output`: which of the network's outputs is the global descriptor, (N, dimension). The defaults are
    VGG16's; `RetrievalInfo.of_colours(IMAGENET, dimension=256)` is how others are fed.
    """

    dimension: int
    height: int = 480
    width: int = 640
    scale: float = 1.0
    mean: Triple = (123.68, 116.779, 103.939)
    spread: Triple = (1.0, 1.0, 1.0)
    output: str = "descriptor"

    @classmethod
    def of_colours(cls, colours: ColourStatistics, **others: Any) -> Self:
        """Fed as `colours.normalise` does it, to the last bit; `others` are the other fields."""
        red, green, blue = np.sqrt(np.asarray(colours.variance)).tolist()
        return cls(scale=1 / 255, mean=colours.mean, spread=(red, green, blue), **others)

    @classmethod
    def vgg16(cls, dimension: int, **others: Any) -> Self:
        """Of OpenIBL's networks: `network_input` is then `vgg16_input` to the last bit."""
        return cls.of_colours(CAFFE, dimension=dimension, **others)

    @classmethod
    def imagenet(cls, dimension: int, **others: Any) -> Self:
        """Of trunks that were trained on ImageNet as torchvision and timm do it."""
        return cls.of_colours(IMAGENET, dimension=dimension, **others)

    @classmethod
    def of(cls, info: CheckpointInfo, path: str | Path = "checkpoint") -> Self:
        """Out of a checkpoint's header; `path` names it in messages.

        Raises CheckpointError if it says nothing of retrieval, or what cannot be.
        """
        name = f"{path} ({info.network})"
        if not info.retrieval:
            raise CheckpointError(
                f"{name}: expected a checkpoint that gives an image one global descriptor, got one that says "
                "nothing of it; `relpose train retrieval` makes one, and published ones are imported anew"
            )
        try:
            return cls(**_parsed(info.retrieval))
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise CheckpointError(f"{name}: what it says of retrieval cannot be used: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for the header: `RetrievalInfo.of` reads them back."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def network_input(image: NDArray[np.uint8], info: RetrievalInfo) -> NDArray[np.float32]:
    """BGR (H, W, 3) or grey (H, W) pixels of any size -> (1, 3, height, width), RGB.

    Raises ImageError for pixels that are not uint8, or none.
    """
    small = resize_bilinear(image, info.height, info.width)
    return colour_planes(small, info.scale, info.mean, info.spread)[None]


def _parsed(values: dict[str, Any]) -> dict[str, Any]:
    """The JSON values as arguments. Raises ValueError, TypeError or KeyError in words."""
    if "dimension" not in values:
        raise KeyError("it has no dimension")
    out: dict[str, Any] = {"dimension": whole("dimension", values["dimension"], 1, LARGEST_DIMENSION)}
    for name in ("height", "width"):
        if name in values:
            out[name] = whole(name, values[name], 16, LARGEST_SIDE)
    for name in ("mean", "spread"):
        if name in values:
            out[name] = numbers(name, values[name], 3)
    if "scale" in values:
        out["scale"] = number("scale", values["scale"])
    if not (0 < out.get("scale", 1.0) < np.inf and min(out.get("spread", (1.0,))) > 0):
        raise ValueError("scale and spread: expected numbers above 0")
    if "output" in values:
        out["output"] = text("output", values["output"])
    return out
