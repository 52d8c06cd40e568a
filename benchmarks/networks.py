"""The forward pass of each network on this CPU: eager, compiled, ONNX Runtime, OpenVINO; ratios in one run.

    python -m benchmarks networks [--only imp] [--threads 2]

A runtime counts only when it agrees with eager torch within the network's tolerance. On a machine with a GPU,
`--gpu` adds eager torch on it. OpenVINO: pip install openvino (make bench installs it).
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.report import describe_machine, markdown
from benchmarks.timing import race
from relpose_ros.networks.base import Network
from relpose_ros.networks.export import export_onnx
from relpose_ros.networks.registry import ARCHITECTURES, build_network, find_architecture

Run = Callable[[], list[NDArray[Any]]]

IMAGE = (480, 640)
GRAPH_IMAGE = (256, 341)
CORRESPONDENCES = 2048
KEYPOINTS = 1024

REPRESENTATIVES = {
    factory: name for name, factory in reversed([(n, a.factory) for n, a in ARCHITECTURES.items()])
}
"""One variant of each class: the first registered."""


def realistic_inputs(name: str, network: Network) -> tuple[torch.Tensor, ...]:
    """Inputs of the size that a robot has: one VGA image, 2048 correspondences, 1024 keypoints a side."""
    generator = torch.Generator().manual_seed(1)
    return tuple(_enlarge(name, x, generator) for x in network.example_inputs(1, generator))


def _enlarge(name: str, example: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Repeat an example's content to the realistic size, with a little noise: nothing is there twice."""
    system = find_architecture(name).system
    shape = list(example.shape)
    if system in ("retrieval", "scene_coordinates") and example.ndim == 4:
        shape[2:] = IMAGE
    elif system == "relpose_gnn" and example.ndim == 5:
        shape[3:] = GRAPH_IMAGE
    elif system == "imp":
        shape[1] = KEYPOINTS
    elif system == "one_to_one":
        shape[1] = CORRESPONDENCES
    repeats = [-(-wanted // have) for wanted, have in zip(shape, example.shape, strict=True)]
    enlarged = example.repeat(repeats)[tuple(slice(0, wanted) for wanted in shape)]
    if not enlarged.is_floating_point():
        return enlarged
    return enlarged + 0.01 * example.std() * torch.randn(shape, generator=generator)


def runtimes(
    network: Network, inputs: tuple[torch.Tensor, ...], folder: Path, threads: int, gpu: bool
) -> dict[str, Run]:
    """Name -> a call of the network in that runtime. Preparing them takes seconds to a minute."""
    last = copy.deepcopy(network)
    if any(x.ndim == 4 for x in inputs):
        last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = {"eager": _torch(last, inputs), "compiled": _torch(torch.compile(last, dynamic=False), inputs)}
    path = export_onnx(network, inputs, folder / "network.onnx")
    arrays = [x.numpy() for x in inputs]
    found["onnxruntime"] = _onnxruntime(path, network, arrays, threads)
    found["openvino"] = _openvino(path, arrays, threads)
    if gpu:
        found["gpu"] = _torch(network.to("cuda"), tuple(x.cuda() for x in inputs))
    return found


def _torch(network: Callable[..., Any], inputs: tuple[torch.Tensor, ...]) -> Run:
    def run() -> list[NDArray[Any]]:
        with torch.inference_mode():
            return [output.float().cpu().numpy() for output in network(*inputs)]

    return run


def _onnxruntime(path: Path, network: Network, arrays: list[NDArray[Any]], threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = dict(zip(network.input_names, arrays, strict=True))
    return lambda: list(session.run(None, feed))


def _openvino(path: Path, arrays: list[NDArray[Any]], threads: int) -> Run:
    import openvino

    properties = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path, "CPU", properties)
    return lambda: [np.asarray(value) for value in model(arrays).values()]


def disagreement(found: list[NDArray[Any]], expected: list[NDArray[Any]]) -> float:
    """Largest difference of any output over the largest magnitude of that output."""
    return max(
        float(
            np.max(np.abs(np.asarray(a, np.float64) - b), initial=0)
            / max(np.max(np.abs(b), initial=0), 1e-12)
        )
        for a, b in zip(found, expected, strict=True)
    )


def measure(name: str, threads: int, gpu: bool) -> list[object]:
    """One row: milliseconds of eager torch, the others as shares of it, and the fastest that agrees."""
    torch.manual_seed(0)
    network = build_network(name).eval()
    inputs = realistic_inputs(name, network)
    cells: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        runs = runtimes(network, inputs, Path(folder), threads, gpu)
        expected = runs["eager"]()
        agree = {}
        for runtime, run in runs.items():
            try:
                off = disagreement(run(), expected)
            except Exception as error:  # noqa: BLE001 (a runtime that cannot run it is a result)
                cells[runtime] = f"fails: {type(error).__name__}"
                continue
            agree[runtime] = off < find_architecture(name).tolerance
            cells[runtime] = "" if agree[runtime] else f" (off by {off:.0e})"
        times = race({runtime: runs[runtime] for runtime in agree}, repeats=7, patience=10.0)
    for runtime, ms in times.items():
        cells[runtime] = f"{ms / times['eager']:.2f}{cells[runtime]}" if runtime != "eager" else f"{ms:.0f}"
    fastest = min(
        (runtime for runtime, ok in agree.items() if ok and runtime != "gpu"), key=times.__getitem__
    )
    size = " ".join("x".join(map(str, x.shape)) for x in inputs[:1])
    return [
        name,
        size,
        *(cells.get(r, "") for r in ("eager", "compiled", "onnxruntime", "openvino", "gpu")),
        fastest,
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks networks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="eager torch on a GPU as well")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    print(f"{describe_machine()}\n", flush=True)
    names = [name for name in REPRESENTATIVES.values() if args.only in name]
    rows = [measure(name, args.threads, args.gpu) for name in track(names, "networks")]
    header = [
        "network",
        "first input",
        "eager ms",
        "compiled",
        "ONNX Runtime",
        "OpenVINO",
        "GPU",
        "fastest that agrees",
    ]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
