"""The image that OpenIBL's networks (all on VGG16 but `NetVladRelu`) see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.datasets.colour_statistics import CAFFE
from relpose_ros.resampling import resize_short_side

HEIGHT, WIDTH = 480, 640
"""Of everything the published networks were trained and tested on, but Tokyo 24/7's queries."""


def vgg16_input(image: NDArray[np.uint8], height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    """BGR or grey pixels of any size -> RGB planes (3, height, width), whatever that does to the aspect."""
    planes: NDArray[np.float32] = network_input(image, RetrievalInfo.vgg16(1, height=height, width=width))[0]
    return planes


def vgg16_whole_input(image: NDArray[np.uint8], length: int = WIDTH) -> NDArray[np.float32]:
    """The same with the aspect kept and the shorter side of `length`: for Tokyo 24/7's queries."""
    return CAFFE.normalise(resize_short_side(image, length))
