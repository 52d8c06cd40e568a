"""Another light, another camera: gamma, contrast, a gradient across the image, blur and noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GAMMA = (0.6, 1.7)
CONTRAST = (0.6, 1.3)
BRIGHTNESS = 0.15
"""Of the full range."""
GRADIENT = 0.4
"""Brightest corner over the middle, less 1."""
BLUR_PX = 1.2
"""Largest standard deviation; half of the images are not blurred."""
NOISE = 6.0
"""Largest standard deviation, grey levels."""


def change_light(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """An image (H, W) or (H, W, 3) as it would look on another day. Random, by `generator`."""
    import cv2

    height, width = image.shape[:2]
    values = image.astype(np.float32) / 255
    values = values ** np.float32(np.exp(generator.uniform(*np.log(GAMMA))))
    contrast = generator.uniform(*CONTRAST)
    values = (values - 0.5) * contrast + 0.5 + generator.uniform(-BRIGHTNESS, BRIGHTNESS)
    angle, strength = generator.uniform(0, 2 * np.pi), generator.uniform(0, GRADIENT)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    gradient = 1 + strength * (np.cos(angle) * x + np.sin(angle) * y) / np.sqrt(2)
    values = values * (gradient if image.ndim == 2 else gradient[..., None])
    sigma = generator.uniform(-BLUR_PX, BLUR_PX)
    if sigma > 0.3:
        values = cv2.GaussianBlur(values, (0, 0), sigma).reshape(values.shape)
    noise = generator.normal(0, generator.uniform(0, NOISE) / 255, image.shape)
    return np.asarray(np.clip(255 * (values + noise), 0, 255).round(), np.uint8)
