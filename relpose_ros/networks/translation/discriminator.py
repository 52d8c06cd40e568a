"""PatchGAN: says of every patch of an image whether it is real."""

from __future__ import annotations

from torch import Tensor, nn

from relpose_ros.networks.translation.layers import BlurDown, draw_first_weights

LAYERS = 3
"""Published: each output sees 70x70 pixels or so."""


class PatchDiscriminator(nn.Module):
    """Isola, Zhu, Zhou, Efros: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017;
    sizes are halved without aliasing, as in CUT. Published: 64 `channels`. Trained, and not kept.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 4, padding=1), nn.LeakyReLU(0.2), BlurDown()]
        for number in range(1, LAYERS + 1):
            inner, outer = channels * 2 ** (number - 1), channels * 2**number
            layers += [nn.Conv2d(inner, outer, 4, padding=1), nn.InstanceNorm2d(outer), nn.LeakyReLU(0.2)]
            layers += [BlurDown()] if number < LAYERS else []
        layers.append(nn.Conv2d(channels * 2**LAYERS, 1, 4, padding=1))
        self.layers = nn.Sequential(*layers)
        draw_first_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1], 32x32 or more, to (B, 1, h, w): 1 where real, 0 where made."""
        said: Tensor = self.layers(images)
        return said
