"""Colours changed at random, and the size that the networks want: training images of retrieval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.errors import ConfigurationError

LUMA = (0.299, 0.587, 0.114)
"""Grey of red, green, blue (ITU-R 601)."""

STEPS = ("brightness", "contrast", "saturation", "hue")


@dataclass(frozen=True)
class ColourJitter:
    """How far colours change; the defaults are OpenIBL's.

    `brightness`, `contrast` and `saturation` get factors from 1 - x to 1 + x, `hue` turns by up to that
    part of the colour circle either way. Raises ConfigurationError out of range.
    """

    brightness: float = 0.7
    contrast: float = 0.7
    saturation: float = 0.7
    hue: float = 0.5

    def __post_init__(self) -> None:
        strengths = (self.brightness, self.contrast, self.saturation)
        if not all(0 <= s <= 1 for s in strengths) or not 0 <= self.hue <= 0.5:
            raise ConfigurationError(
                f"expected strengths from 0 to 1 and hue from 0 to 0.5, got {strengths} and {self.hue}"
            )

    def __call__(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """RGB (3, H, W), 0 to 1 -> the same, by amounts and in an order that `generator` draws.

        The steps are torchvision's, the random numbers and the last bit are not.
        """
        order = torch.randperm(len(STEPS), generator=generator).tolist()
        draws = (2 * torch.rand(len(STEPS), generator=generator) - 1).tolist()
        for step in order:
            amount = draws[step] * getattr(self, STEPS[step])
            image = (
                turn_hue(image, amount) if STEPS[step] == "hue" else _blend(image, STEPS[step], 1 + amount)
            )
        return image


def _blend(image: Tensor, step: str, factor: float) -> Tensor:
    """Away from black, from the mean grey, or from each pixel's grey, by `factor`."""
    grey = torch.einsum("c,chw->hw", image.new_tensor(LUMA), image)
    origin = {"brightness": torch.zeros_like(grey), "contrast": grey.mean(), "saturation": grey}[step]
    return (origin + factor * (image - origin)).clamp(0, 1)


def turn_hue(image: Tensor, turn: float) -> Tensor:
    """RGB (3, H, W), 0 to 1, with hues turned by `turn` of the circle; value and saturation stay."""
    value, low = image.amax(dim=0), image.amin(dim=0)
    chroma = value - low
    red, green, blue = image
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sixths = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    hue = sixths / 6 + turn
    # Distance of each channel from its own full sixth of the circle, as a piecewise linear ramp.
    offsets = image.new_tensor((5.0, 3.0, 1.0))[:, None, None]
    ramp = torch.remainder(offsets + 6 * hue, 6)
    return value - chroma * torch.minimum(ramp, 4 - ramp).clamp(0, 1)


@dataclass(frozen=True)
class Augmentation:
    """How training images differ from those of a test: colours, and a random part of the image.

    `crop`: how much less than the whole area a part is at most. Raises ConfigurationError out of range.
    """

    jitter: ColourJitter | None = None
    crop: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.crop < 1:
            raise ConfigurationError(f"expected crop from 0 to less than 1, got {self.crop}")


PLAIN = Augmentation()
"""None."""


def random_part(
    image: NDArray[np.uint8], generator: torch.Generator, crop: float, stretch: float = 4 / 3
) -> NDArray[np.uint8]:
    """A part of an image (H, W, ...) at a random place, up to `crop` smaller in area than the whole.

    Its aspect is that of the image or up to the root of `stretch` wider or narrower, as far as it fits.
    """
    area, aspect, y, x = torch.rand(4, generator=generator).tolist()
    side = float(np.sqrt(1 - crop * area))
    bend = float(np.clip(stretch ** (aspect - 0.5), side, 1 / side))
    height, width = image.shape[:2]
    rows, columns = max(1, round(height * side / bend)), max(1, round(width * side * bend))
    top, left = round(y * (height - rows)), round(x * (width - columns))
    return image[top : top + rows, left : left + columns]


def training_input(
    image: NDArray[np.uint8],
    generator: torch.Generator,
    info: RetrievalInfo,
    augment: Augmentation = PLAIN,
) -> NDArray[np.float32]:
    """BGR or grey pixels of any size -> what the network is trained on, (3, height, width).

    Colours change before the size does, as in OpenIBL. Without an augmentation, this is `network_input`.
    """
    if augment.crop:
        image = random_part(image, generator, augment.crop)
    if augment.jitter is None:
        plain: NDArray[np.float32] = network_input(image, info)[0]
        return plain
    colour = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    planes = torch.from_numpy(np.ascontiguousarray(colour[..., ::-1].transpose(2, 0, 1))).float() / 255
    jittered = (augment.jitter(planes, generator) * 255).round().to(torch.uint8)
    changed = np.ascontiguousarray(jittered.numpy().transpose(1, 2, 0)[..., ::-1])
    return training_input(changed, generator, info)
