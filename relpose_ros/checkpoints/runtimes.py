"""An ONNX file as a function of arrays, in ONNX Runtime or in OpenVINO, and how far two answers are apart."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DependencyError

_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"
"""Of ONNX Runtime: where weights are that are not in the model itself."""

Arrays = tuple[NDArray[Any], ...]
Run = Callable[..., Arrays]


@dataclass(frozen=True, eq=False)
class Model:
    """A network in a runtime: `model(*arrays)` gives all its outputs, whose names are `outputs`."""

    run: Run
    outputs: tuple[str, ...]

    def __call__(self, *arrays: NDArray[Any]) -> Arrays:
        return self.run(*arrays)


def run_in_onnxruntime(path: Path | bytes, threads: int | None = None) -> Model:
    """The network of `path` on the CPU; `threads` bounds those of one call. Callable from several threads.

    Given the bytes of such a file, weights that lie in another file beside it are not looked for.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    with tempfile.TemporaryDirectory(prefix="relpose.") as nothing:
        if isinstance(path, bytes):  # else they would be looked for in the working directory
            options.add_session_config_entry(_WEIGHTS_FOLDER, nothing)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    return Model(
        lambda *arrays: tuple(session.run(None, dict(zip(names, arrays, strict=True)))),
        tuple(x.name for x in session.get_outputs()),
    )


def run_in_openvino(path: Path, threads: int | None = None) -> Model:
    """As `run_in_onnxruntime`, in float32. Raises DependencyError if OpenVINO is not installed."""
    try:
        import openvino
    except ModuleNotFoundError:
        raise DependencyError("backend openvino: it is not installed; pip install openvino") from None
    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    model = openvino.Core().compile_model(path, "CPU", properties)
    one_at_a_time = threading.Lock()

    def run(*arrays: NDArray[Any]) -> Arrays:
        with one_at_a_time:
            return tuple(np.array(value) for value in model(list(arrays)).values())

    return Model(run, tuple(port.any_name for port in model.outputs))


def disagreement(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference over the largest magnitude of `expected`; infinite for another shape.

    NaN in either gives NaN, which is below no tolerance.
    """
    if found.shape != expected.shape:
        return float("inf")
    largest = float(np.max(np.abs(found.astype(float) - expected), initial=0))
    return largest / max(float(np.max(np.abs(expected), initial=0)), 1e-300)


def agree(found: Arrays, expected: Arrays, tolerance: float) -> bool:
    """Whether no output differs by more than `tolerance` of its largest magnitude, and no index at all."""
    return all(
        disagreement(a, b) <= (tolerance if b.dtype.kind == "f" else 0)
        for a, b in zip(found, expected, strict=True)
    )
