"""What a network over graphs of images sees of an image, in training and on a robot."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.colour_statistics import IMAGENET, ColourStatistics, Triple
from relpose_ros.errors import ConfigurationError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.resampling import resize_bilinear, resize_short_side, short_side_size

Kind = Literal["canonical", "short_side"]
Pixels = NDArray[np.uint8]
Planes = NDArray[np.float32]

_IMAGENET_DEVIATION: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class GraphCamera:
    """A pinhole camera with its axis in the middle: `width` and `height` in pixels, `focal` length too."""

    width: int = 224
    height: int = 160
    focal: float = 146.0

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 8 or not 0 < self.focal < float("inf"):
            raise ConfigurationError(f"expected a size of 8 or more and a focal length above 0, got {self}")

    @classmethod
    def of_field(cls, width: int, height: int, degrees: float) -> Self:
        """From the horizontal field of view. Raises ConfigurationError for one that is none."""
        if not 0 < degrees < 160:
            raise ConfigurationError(f"expected a field of view between 0 and 160 degrees, got {degrees:g}")
        return cls(width, height, 0.5 * width / float(np.tan(np.deg2rad(degrees) / 2)))

    @property
    def camera(self) -> Camera:
        """As the rest of the house knows it."""
        centre = 0.5 * (self.width - 1), 0.5 * (self.height - 1)
        return Camera("pinhole", self.focal, self.focal, *centre, self.width, self.height)


@dataclass(frozen=True)
class GraphInput:
    """How images reach the network; it is part of a checkpoint (`to_dict`, `from_dict`).

    `kind` "canonical": warped to the pinhole camera of `width`, `height` and `focal` pixels, black where the
    image does not reach, so that all cameras show the same geometry. "short_side": the shorter side becomes
    `height`, whatever the camera, as published; `width` and `focal` are not read. Then colours are normalised
    by `mean` and `deviation` (RGB between 0 and 1), or with `per_scene` by those of the scene (`in_scene`).
    """

    kind: Kind = "canonical"
    width: int = 224
    height: int = 160
    focal: float = 146.0
    mean: Triple = IMAGENET.mean
    deviation: Triple = _IMAGENET_DEVIATION
    per_scene: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", _triple(self.mean))
        object.__setattr__(self, "deviation", _triple(self.deviation))
        if self.kind not in get_args(Kind) or min(self.deviation) <= 0 or self.height < 8:
            raise ConfigurationError(
                f"expected an input of kind {', '.join(get_args(Kind))}, 8 pixels or more high, with "
                f"deviations above 0; got {self}"
            )
        if self.kind == "canonical":
            GraphCamera(self.width, self.height, self.focal)

    @classmethod
    def published(cls, height: int = 256) -> Self:
        """Of RelPoseGNN on 7-Scenes: short side 256, each scene by its own colours."""
        return cls("short_side", 0, height, 0.0, per_scene=True)

    @property
    def graph_camera(self) -> GraphCamera:
        """Raises ConfigurationError where each image keeps its own camera."""
        if self.kind != "canonical":
            raise ConfigurationError(
                "an input by its short side has no camera of its own; expected canonical"
            )
        return GraphCamera(self.width, self.height, self.focal)

    @property
    def statistics(self) -> ColourStatistics:
        """`mean` and `deviation` squared."""
        red, green, blue = (deviation**2 for deviation in self.deviation)
        return ColourStatistics(self.mean, (red, green, blue))

    def in_scene(self, statistics: ColourStatistics) -> Self:
        """With the colours of a scene where it is `per_scene`; else itself."""
        if not self.per_scene:
            return self
        red, green, blue = np.sqrt(np.asarray(statistics.variance)).tolist()
        return replace(self, mean=statistics.mean, deviation=(red, green, blue))

    def size_of(self, camera: Camera) -> tuple[int, int]:
        """Height and width of what the network sees of an image of this camera."""
        if self.kind == "canonical":
            return self.height, self.width
        return short_side_size(camera.height, camera.width, self.height)

    def camera_of(self, camera: Camera) -> Camera:
        """The camera of what the network sees: where its pixels look."""
        if self.kind == "canonical":
            return self.graph_camera.camera
        height, width = self.size_of(camera)
        return camera.resized(width, height)

    def to_dict(self) -> dict[str, Any]:
        """Plain types: `from_dict` reads them back."""
        return {**asdict(self), "mean": list(self.mean), "deviation": list(self.deviation)}

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Raises ConfigurationError if these are not the values of one."""
        wanted = cls().to_dict()
        if not isinstance(values, dict) or set(values) != set(wanted):
            raise ConfigurationError(
                f"expected the input of a graph network ({', '.join(wanted)}), got {values!r:.200}"
            )
        numbers = {name: (int, float) if isinstance(v, float) else type(v) for name, v in wanted.items()}
        wrong = [name for name, kind in numbers.items() if not isinstance(values[name], kind)]
        if wrong:
            raise ConfigurationError(f"input of a graph network: {wrong[0]} is {values[wrong[0]]!r:.80}")
        return cls(**values)


def graph_image(image: Pixels, camera: Camera, graph_input: GraphInput) -> Planes:
    """What the network sees: (3, H, W) float32, normalised RGB. Arguments and errors as `graph_pixels`."""
    return normalised(graph_pixels(image, camera, graph_input), graph_input)


def graph_pixels(image: Pixels, camera: Camera, graph_input: GraphInput) -> Pixels:
    """The same before it is normalised: (H, W, 3) uint8 RGB.

    `image` uint8, BGR (h, w, 3) or grey (h, w), of `camera`. Raises ImageError for another shape or size.
    """
    colour = _rgb(image, camera)
    if graph_input.kind == "short_side":
        return resize_short_side(colour, graph_input.height)
    return warped(colour, camera, graph_input.graph_camera.camera)


def normalised(pixels: Pixels, graph_input: GraphInput) -> Planes:
    """RGB (..., H, W, 3) uint8 -> (..., 3, H, W) float32, by `mean` and `deviation` of the input."""
    statistics = graph_input.statistics
    flat = pixels.reshape(-1, *pixels.shape[-3:])
    planes = [statistics.normalise(np.ascontiguousarray(one[..., ::-1])) for one in flat]
    height, width = pixels.shape[-3:-1]
    out = np.stack(planes) if planes else np.zeros((0, 3, height, width), np.float32)
    return out.reshape(*pixels.shape[:-3], 3, height, width)


def warped(image: Pixels, camera: Camera, wanted: Camera) -> Pixels:
    """As the camera `wanted` would have seen it from the same place: bilinear, 0 where the image ends.

    An image with finer pixels than wanted is reduced before, so that nothing aliases.
    """
    import cv2

    if camera == wanted:
        return np.ascontiguousarray(image)
    width = min(camera.width, max(round(camera.width * wanted.fx / camera.fx), 1))
    height = min(camera.height, max(round(camera.height * wanted.fy / camera.fy), 1))
    image, camera = resize_bilinear(image, height, width), camera.resized(width, height)
    y, x = np.mgrid[: wanted.height, : wanted.width].reshape(2, -1)
    rays = wanted.rays(np.stack([x, y], axis=1))
    seen = camera.project(np.concatenate([rays, np.ones((len(rays), 1))], axis=1))
    # A place that the lens does not reach: far outside, where remap finds black.
    maps = np.where(np.isfinite(seen), np.clip(seen, -1e4, 3e4), -1e4).astype(np.float32)
    maps = maps.reshape(wanted.height, wanted.width, 2)
    return np.asarray(cv2.remap(image, maps, None, cv2.INTER_LINEAR), np.uint8)  # type: ignore[call-overload]


def colour_statistics(pixels: Pixels) -> ColourStatistics:
    """Mean and variance of RGB images (N, H, W, 3): for an input that goes by the scene."""
    values = pixels.reshape(-1, 3)
    counts = np.stack([np.bincount(values[:, colour], minlength=256) for colour in range(3)])
    levels = np.arange(256) / 255
    mean = counts @ levels / len(values)
    variance = np.maximum(counts @ levels**2 / len(values) - mean**2, 1e-6)
    return ColourStatistics(_triple(mean.tolist()), _triple(variance.tolist()))


def _rgb(image: Pixels, camera: Camera) -> Pixels:
    colour = image.ndim == 3 and image.shape[2] == 3
    if image.dtype != np.uint8 or not (colour or image.ndim == 2):
        raise ImageError(f"expected uint8 pixels (H, W) or (H, W, 3), got {image.dtype} {image.shape}")
    if image.shape[:2] != (camera.height, camera.width):
        raise ImageError(
            f"expected an image of its camera's size, {camera.width}x{camera.height}; got "
            f"{image.shape[1]}x{image.shape[0]}"
        )
    return np.ascontiguousarray(image[..., ::-1] if colour else np.repeat(image[..., None], 3, axis=2))


def _triple(values: Any) -> Triple:
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"expected three numbers (red, green, blue), got {values!r:.80}") from error
    return red, green, blue
