"""A checkpoint as a function of arrays, in the runtime that is fastest on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import CheckpointInfo, load_network, read_info
from relpose_ros.checkpoints.runtimes import Arrays, Model, agree, run_in_onnxruntime, run_in_openvino
from relpose_ros.datasets.download import sha256_of
from relpose_ros.errors import ConfigurationError, DependencyError
from relpose_ros.networks.registry import find_architecture

Backend = Literal["auto", "openvino", "onnxruntime", "torch"]
BACKENDS = ("auto", "openvino", "onnxruntime", "torch")

MAX_SHAPES = 8
"""Combinations of input shapes that are kept ready."""

Shape = tuple[tuple[tuple[int, ...], str], ...]


class Predictor:
    """Runs the network of a checkpoint: `predictor(*arrays)` gives a tuple of arrays.

    `auto` is torch on a GPU where there is one; else OpenVINO, where it is installed and its first answer
    agrees with ONNX Runtime's within the network's tolerance; else ONNX Runtime (docs/networks/README.md has
    the figures). An ONNX file is made for each new combination of input shapes, once: that needs torch and
    takes some seconds; it is kept in `cache` (default: $XDG_CACHE_HOME/relpose), and torch is not needed from
    then on. `threads` bounds the threads of one call. Calls from several threads at once are safe.

    Raises CheckpointError for a checkpoint that cannot be used, ConfigurationError for an unknown backend,
    and DependencyError if torch is needed and not installed.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        backend: Backend = "auto",
        threads: int | None = None,
        cache: str | Path | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise ConfigurationError(f"unknown backend {backend!r}; expected one of {', '.join(BACKENDS)}")
        self.checkpoint = Path(checkpoint)
        self.info: CheckpointInfo = read_info(self.checkpoint)
        self.backend: Backend = "torch" if backend == "auto" and _gpu() else backend
        self._threads = threads
        self._cache = Path(cache) if cache is not None else default_cache()
        self._digest = sha256_of(self.checkpoint)
        self._prepared: dict[Shape, Model] = {}

    @property
    def identity(self) -> str:
        """sha256 of the checkpoint: what a map records of the model that made it."""
        return self._digest

    def __call__(self, *inputs: NDArray[Any]) -> Arrays:
        """The network's outputs for its inputs, batch first (see the network's `forward`)."""
        return self._model(inputs)(*inputs)

    def named(self, *inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """The same by the names of the network's outputs."""
        model = self._model(inputs)
        return dict(zip(model.outputs, model(*inputs), strict=True))

    def _model(self, inputs: Arrays) -> Model:
        """The network, ready for inputs of these shapes."""
        shape = tuple((tuple(x.shape), x.dtype.name) for x in inputs)
        if shape not in self._prepared:
            prepare = self._prepare_torch if self.backend == "torch" else self._prepare_onnx
            prepared = prepare(inputs)
            while len(self._prepared) >= MAX_SHAPES:  # each holds the weights once
                self._prepared.pop(next(iter(self._prepared)))
            self._prepared[shape] = prepared
        return self._prepared[shape]

    def _prepare_torch(self, inputs: Arrays) -> Model:
        import torch

        network, _ = load_network(self.checkpoint)
        device = "cuda" if _gpu() else "cpu"
        network.to(device)

        def run(*arrays: NDArray[Any]) -> Arrays:
            with torch.inference_mode():
                outputs = network(*(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays))
            return tuple(output.cpu().numpy() for output in outputs)

        return Model(run, network.output_names)

    def _prepare_onnx(self, inputs: Arrays) -> Model:
        path = self._exported(inputs)
        if self.backend == "openvino":
            return run_in_openvino(path, self._threads)
        plain = run_in_onnxruntime(path, self._threads)
        if self.backend == "onnxruntime" or importlib.util.find_spec("openvino") is None:
            return plain
        fast = run_in_openvino(path, self._threads)
        tolerance = find_architecture(self.info.network).tolerance
        return fast if agree(fast(*inputs), plain(*inputs), tolerance) else plain

    def _exported(self, inputs: Arrays) -> Path:
        """The ONNX file for inputs of these shapes, made if there is none."""
        shapes = repr([(x.shape, x.dtype.name) for x in inputs])
        key = hashlib.sha256(f"{self._digest} {shapes}".encode()).hexdigest()[:24]
        path = self._cache / f"{self.info.network}-{key}.onnx"
        if not path.is_file():
            try:
                import torch

                from relpose_ros.networks.export import export_onnx
            except ModuleNotFoundError as error:
                raise DependencyError(
                    f"{self.checkpoint}: to make the ONNX file {path}, {error.name} is needed: "
                    "pip install 'relpose_ros[learned]', or make the file on another machine and copy it"
                ) from None
            network, _ = load_network(self.checkpoint)
            path.parent.mkdir(parents=True, exist_ok=True)
            export_onnx(network, tuple(torch.from_numpy(np.ascontiguousarray(x)) for x in inputs), path)
        return path


def default_cache() -> Path:
    """Where ONNX files are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relpose"


def _gpu() -> bool:
    """Whether torch is installed and sees a GPU."""
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return bool(torch.cuda.is_available())
