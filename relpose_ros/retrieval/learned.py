"""A retrieval checkpoint as a describer of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import read_info
from relpose_ros.checkpoints.predictor import Backend, Predictor
from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.errors import CheckpointError, ImageError
from relpose_ros.features.base import Features
from relpose_ros.retrieval.describer import DescriberIdentity, Floats, Image


class CheckpointDescriber:
    """Runs the network of a retrieval checkpoint. The network has seen an image when this is made.

    Making it takes seconds, and needs torch, where no ONNX file of it is in the cache yet (see `Predictor`).
    Raises CheckpointError for a checkpoint that gives no global descriptor, and what `Predictor` raises.
    """

    needs_image = True

    def __init__(
        self,
        checkpoint: str | Path,
        backend: Backend = "auto",
        threads: int | None = None,
        cache: str | Path | None = None,
    ) -> None:
        self.path = Path(checkpoint)
        self.info = read_info(checkpoint)
        self.retrieval = RetrievalInfo.of(self.info, checkpoint)
        self._predictor = Predictor(checkpoint, backend, threads, cache)
        self.identity = DescriberIdentity(
            kind="checkpoint",
            name=self.path.name,
            dimension=self.retrieval.dimension,
            sha256=self._predictor.identity,
            licence=self.info.licence,
            origin=self.info.origin,
        )
        self.describe(blank(self.retrieval.height, self.retrieval.width))

    @property
    def dimension(self) -> int:
        """Values of a descriptor."""
        return self.retrieval.dimension

    def describe(self, image: Image | None, features: Features | None = None) -> Floats:
        """Global descriptor (G,), norm 1, of an image of any size.

        Raises ImageError for what is no image, CheckpointError if the network gives no descriptor of it.
        """
        outputs = self._predictor.named(network_input(checked_image(image), self.retrieval))
        wanted = self.retrieval.output
        name = f"{self.path} ({self.info.network})"
        if wanted not in outputs:
            raise CheckpointError(
                f"{name}: its header names the output {wanted!r}, the network has {', '.join(outputs)}"
            )
        return unit_descriptor(outputs[wanted], self.retrieval.dimension, name)


def checked_image(image: Image | None) -> Image:
    """The image. Raises ImageError for anything but uint8 grey (H, W) or BGR (H, W, 3)."""
    if image is None:
        raise ImageError("this map's descriptor is learned: it needs the image, not its features alone")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ImageError(f"expected an image (H, W) or (H, W, 3), got {image.shape}")
    return image


def unit_descriptor(output: NDArray[Any], dimension: int, name: str, normalise: bool = True) -> Floats:
    """What a network said of one image, (1, G) or (G,), as a descriptor (G,) of norm 1; or zeros.

    Raises CheckpointError, with `name`, for another shape, values that are not finite, and, without
    `normalise`, another norm.
    """
    if output.shape not in ((1, dimension), (dimension,)) or output.dtype.kind != "f":
        raise CheckpointError(
            f"{name}: expected a descriptor of {dimension} values, got {output.dtype} {output.shape}"
        )
    values = output.reshape(-1).astype(np.float64)
    norm = float(np.linalg.norm(values))
    if not np.isfinite(norm):
        raise CheckpointError(f"{name}: its descriptor of an image is not finite; is the model broken?")
    if not normalise and abs(norm - 1) > _UNIT:
        raise CheckpointError(f"{name}: expected descriptors of norm 1, got {norm:.4g}; set normalise: true")
    return np.asarray(values / max(norm, 1e-12) if norm > 1e-12 else np.zeros(dimension), np.float32)


_UNIT = 1e-2


def blank(height: int, width: int) -> Image:
    """An image to warm up with: a ramp, for a descriptor of one flat colour may be zero."""
    ramp = np.arange(height * width * 3) % 251
    return ramp.astype(np.uint8).reshape(height, width, 3)
