"""The iterations of a graph matcher in ONNX Runtime; what comes between them stays in torch."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.predictor import default_cache
from relpose_ros.checkpoints.runtimes import Model, run_in_onnxruntime
from relpose_ros.datasets.download import sha256_of
from relpose_ros.errors import ConfigurationError, DependencyError

if TYPE_CHECKING:
    from torch import Tensor

    from relpose_ros.networks.imp.matcher import Matcher
    from relpose_ros.networks.imp.state import MatchingState

Advance = Callable[["MatchingState", int], "MatchingState"]
"""As `Matcher.advance`: a state and how many iterations, to the state after them."""

Backend = Literal["auto", "onnxruntime", "torch"]
BACKENDS = ("auto", "onnxruntime", "torch")

_LAYOUT = 1
"""Part of the files' names: raised where the network's code changes what its weights mean."""


class OnnxIterations:
    """`Matcher.advance` in ONNX Runtime, for states without masks, from one of `network.stops` to the next.

    Each piece is a file for any number of pairs and keypoints, named by the checkpoint's digest in `cache`
    (default: $XDG_CACHE_HOME/relpose). `export_iterations` makes them. `threads` bounds those of a call.
    """

    def __init__(
        self, network: Matcher, checkpoint: Path, iterations: int, threads: int, cache: Path | None = None
    ) -> None:
        files = iteration_files(network, checkpoint, iterations, cache)
        self._pieces: dict[tuple[int, int], Model] = {
            piece: run_in_onnxruntime(path, threads) for piece, path in files.items()
        }

    def __call__(self, state: MatchingState, iterations: int) -> MatchingState:
        """The state after so many iterations. Raises ConfigurationError where no piece ends."""
        import torch

        from relpose_ros.networks.imp.state import ReceivedAttention

        piece = state.iteration, state.iteration + iterations
        if piece not in self._pieces:
            raise ConfigurationError(f"expected iterations {list(self._pieces)}, got those of {piece}")
        outputs = self._pieces[piece](*(_array(x) for x in (state.descriptors0, state.descriptors1)))
        first, second, *received = (torch.from_numpy(output) for output in outputs)
        return replace(
            state,
            descriptors0=first,
            descriptors1=second,
            iteration=piece[1],
            attention=None,
            received=ReceivedAttention(*received) if received else None,
        )


def iteration_files(
    network: Matcher, checkpoint: Path, iterations: int, cache: Path | None = None
) -> dict[tuple[int, int], Path]:
    """Where the files of a checkpoint's pieces are, or would be: first iteration and end -> path."""
    digest, folder = sha256_of(checkpoint), cache if cache is not None else default_cache()
    keys = {
        piece: hashlib.sha256(f"{digest} {piece} {_LAYOUT}".encode()).hexdigest()[:24]
        for piece in pairwise((0, *network.stops(iterations)))
    }
    return {piece: folder / f"matcher-{key}.onnx" for piece, key in keys.items()}


def export_iterations(
    network: Matcher, checkpoint: Path, iterations: int, cache: Path | None = None
) -> list[Path]:
    """Make the files that are missing, which takes seconds for each; returns all. Raises DependencyError."""
    import torch

    try:
        from relpose_ros.networks.export import export_onnx
        from relpose_ros.networks.imp.part import part

        files = iteration_files(network, checkpoint, iterations, cache)
        descriptors = (torch.zeros(2, network.descriptor_size, points) for points in (37, 29))
        example = (next(descriptors), next(descriptors))
        for piece, path in files.items():
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                export_onnx(part(network, *piece), example, path, any_length=(0, 2))
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"{checkpoint}: to make ONNX files of it, {error.name} is needed: pip install "
            "'relpose_ros[learned]', or make them on another machine and copy them"
        ) from None
    return list(files.values())


def advance_with(
    network: Matcher, checkpoint: Path, iterations: int, backend: Backend, threads: int
) -> Advance:
    """What does the iterations of a checkpoint's network.

    `auto`: ONNX Runtime where it is installed and the files have been made, else torch. `onnxruntime` makes
    them. Raises ConfigurationError for an unknown backend, DependencyError where one is missing.
    """
    if backend not in BACKENDS:
        raise ConfigurationError(f"unknown backend {backend!r}; expected one of {', '.join(BACKENDS)}")
    if backend == "torch":
        return network.advance
    installed = importlib.util.find_spec("onnxruntime") is not None
    if backend == "auto":
        files = iteration_files(network, checkpoint, iterations)
        if not installed or not all(path.is_file() for path in files.values()):
            return network.advance
    elif not installed:
        raise DependencyError(
            f"{checkpoint}: backend onnxruntime: it is not installed; pip install onnxruntime, or take torch"
        )
    else:
        export_iterations(network, checkpoint, iterations)
    return OnnxIterations(network, checkpoint, iterations, threads)


def _array(descriptors: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(descriptors.numpy(), np.float32)
