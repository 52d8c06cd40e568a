"""The image that OpenIBL's networks (all on VGG16 but `NetVladRelu`) see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.colour_statistics import ColourStatistics
from relpose_ros.resampling import resize_bilinear, resize_short_side

HEIGHT, WIDTH = 480, 640
"""Of everything the published networks were trained and tested on, but Tokyo 24/7's queries."""

CAFFE = ColourStatistics((0.48501960784313836, 0.4579568627450961, 0.4076039215686255), ((1 / 255) ** 2,) * 3)
"""0 to 255 less the mean that Caffe's VGG16 was trained with."""


def vgg16_input(image: NDArray[np.uint8], height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """BGR or grey pixels of any size -> RGB planes (3, height, width), whatever that does to the aspect."""
    return CAFFE.normalise(resize_bilinear(image, height, width))


def vgg16_whole_input(image: NDArray[np.uint8], length: int = WIDTH) -> NDArray[np.float32]:
    """The same with the aspect kept and the shorter side of `length`: for Tokyo 24/7's queries."""
    return CAFFE.normalise(resize_short_side(image, length))
