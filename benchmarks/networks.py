"""The forward pass of each network on this CPU: eager, compiled, ONNX Runtime, OpenVINO; ratios in one run.

    python -m benchmarks networks [imp.dgnns_sift ...] [--threads 2]

A runtime counts only when it agrees with eager torch within the network's tolerance. On a machine with a GPU,
`--gpu` adds eager torch on it.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from benchmarks.report import describe_machine, markdown
from benchmarks.timing import race
from relpose_ros.checkpoints.runtimes import disagreement, run_in_onnxruntime, run_in_openvino
from relpose_ros.networks.base import Network
from relpose_ros.networks.export import export_onnx
from relpose_ros.networks.registry import ARCHITECTURES, build_network, find_architecture

Run = Callable[[], tuple[NDArray[Any], ...]]

COLUMNS = ("eager", "compiled", "onnxruntime", "openvino", "gpu")

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
    examples = network.example_inputs(1, generator)
    sizes = _sizes(find_architecture(name).system, examples)
    return tuple(_enlarge(x, size, generator) for x, size in zip(examples, sizes, strict=True))


def _sizes(system: str, examples: tuple[torch.Tensor, ...]) -> list[list[int]]:
    """The shape that each input has on a robot."""
    sizes = [list(x.shape) for x in examples]
    if system == "relpose_gnn":
        return [[*size[:3], *GRAPH_IMAGE] for size in sizes]
    if system in ("imp", "one_to_one"):
        return [[size[0], KEYPOINTS if system == "imp" else CORRESPONDENCES, *size[2:]] for size in sizes]
    features = sizes[0][1] > 4  # not an image: a map of features, an eighth of its size
    height, width = (side // 8 if features else side for side in IMAGE)
    first = sizes[0][2:]
    return [
        [*s[:2], s[2] * height // first[0], s[3] * width // first[1]] if len(s) == 4 else s for s in sizes
    ]


def _enlarge(example: torch.Tensor, size: list[int], generator: torch.Generator) -> torch.Tensor:
    """Repeat an example's content to a size, with a little noise: nothing is there twice."""
    repeats = [-(-wanted // have) for wanted, have in zip(size, example.shape, strict=True)]
    enlarged = example.repeat(repeats)[tuple(slice(0, wanted) for wanted in size)]
    if not enlarged.is_floating_point():
        return enlarged
    return enlarged + 0.01 * example.std() * torch.randn(size, generator=generator)


def runtimes(
    network: Network, inputs: tuple[torch.Tensor, ...], folder: Path, threads: int, gpu: bool
) -> dict[str, Callable[[], Run]]:
    """Name -> what makes a call of the network in that runtime. Making one takes seconds to a minute."""
    last = copy.deepcopy(network)
    if any(x.ndim == 4 for x in inputs):
        last.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    arrays = [x.numpy() for x in inputs]

    @cache
    def exported() -> Path:
        return export_onnx(network, inputs, folder / "network.onnx")

    found: dict[str, Callable[[], Run]] = {
        "eager": lambda: _torch(last, inputs),
        "compiled": lambda: _torch(torch.compile(last, dynamic=False), inputs),
        "onnxruntime": lambda: partial(run_in_onnxruntime(exported(), threads), *arrays),
        "openvino": lambda: partial(run_in_openvino(exported(), threads), *arrays),
    }
    if gpu:
        found["gpu"] = lambda: _torch(copy.deepcopy(network).to("cuda"), tuple(x.cuda() for x in inputs))
    return found


def _torch(network: Callable[..., Any], inputs: tuple[torch.Tensor, ...]) -> Run:
    def run() -> tuple[NDArray[Any], ...]:
        with torch.inference_mode():
            return tuple(output.float().cpu().numpy() for output in network(*inputs))

    return run


def measure(name: str, threads: int, gpu: bool) -> list[object]:
    """One row: milliseconds of eager torch, the others as shares of it, and the fastest that agrees."""
    torch.manual_seed(0)
    network = build_network(name).eval()
    inputs = realistic_inputs(name, network)
    tolerance = find_architecture(name).tolerance
    runs: dict[str, Run] = {}
    remarks: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for runtime, make in runtimes(network, inputs, Path(folder), threads, gpu).items():
            try:
                runs[runtime] = make()
                off = max(map(disagreement, runs[runtime](), runs["eager"]()))
            except Exception as error:  # noqa: BLE001 (a runtime that cannot run it is a result)
                runs.pop(runtime, None)
                remarks[runtime] = f"fails: {type(error).__name__}"
            else:
                remarks[runtime] = "" if off < tolerance else f" (off by {off:.0e})"
        times = race(runs, repeats=7, patience=10.0)
    shares = {r: f"{ms / times['eager']:.2f}{remarks[r]}" for r, ms in times.items()}
    cells = {**remarks, **shares, "eager": f"{times['eager']:.0f}"}
    fastest = min((r for r in times if r != "gpu" and not remarks[r]), key=times.__getitem__)
    size = "x".join(map(str, inputs[0].shape))
    return [name, size, *(cells.get(r, "") for r in COLUMNS), fastest]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the column `fastest` is of those that agree."""
    parser = argparse.ArgumentParser(prog="benchmarks networks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="networks, as imp.dgnns_sift (default: one of each class)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="eager torch on a GPU as well")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    print(f"{describe_machine()}\n", flush=True)
    names = args.names or list(REPRESENTATIVES.values())
    header = (
        "network",
        "first input",
        "eager ms",
        "compiled",
        "ONNX Runtime",
        "OpenVINO",
        "GPU",
        "fastest that agrees",
    )
    print(markdown(header, []), flush=True)
    for name in track(names, "networks", console=Console(stderr=True)):
        row = measure(name, args.threads, args.gpu)
        print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
