"""IMP and EIMP against attention that is computed anew in every iteration: time and memory by keypoints.

    python -m benchmarks matching_networks [--keypoints 512 1024 2048 4096] [--size 128] [--device cuda]
    python -m benchmarks matching_networks --checkpoint run/best.safetensors      trained weights

gm computes the attention of all iterations, imp shares it between two, eimp also takes keypoints out. Half of
the keypoints of each image have a partner. All iterations are done: what stopping early saves comes on top.
Each figure is of a process of its own, so that memory is the peak of that network alone; the networks take
turns. On a CPU time is that of the processor: others that wait for it do not count.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.report import describe_machine, markdown, number
from relpose_ros.errors import RelposeError

if TYPE_CHECKING:
    from torch import Tensor

    from relpose_ros.networks.imp.matcher import Matcher

MODELS = {"gm": "imp.gm", "imp": "imp.dgnns", "eimp": "imp.adagmn"}

HEADER = ("keypoints", *(f"{name} ms" for name in MODELS), "imp x", "eimp x",
          *(f"{name} MB" for name in MODELS), "eimp keeps")  # fmt: skip


class Figure(NamedTuple):
    """Least seconds of a pair, megabytes that it needed on top of the network, keypoints left at the end."""

    seconds: float
    megabytes: float
    kept: int


def measure(name: str, keypoints: int, args: argparse.Namespace) -> Figure:
    """One network and one number of keypoints, in this process."""
    import torch

    torch.set_num_threads(args.threads)
    network = make_network(name, args).to(args.device).eval()
    given = [values.to(args.device) for values in inputs(keypoints, network.descriptor_size)]
    before = _peak(args.device)
    clock = time.perf_counter if args.device == "cuda" else time.process_time
    times, kept = [], keypoints
    with torch.inference_mode():
        for _ in range(args.repeats + 1):
            began = clock()
            kept = run_all(network, given)
            if args.device == "cuda":
                torch.cuda.synchronize()
            times.append(clock() - began)
    return Figure(min(times[1:]), _peak(args.device) - before, kept)


def make_network(name: str, args: argparse.Namespace) -> Matcher:
    """With trained weights if there are any (all three share them as far as they have them), else as a search
    for nearest neighbours."""
    from relpose_ros.checkpoints.format import load_network
    from relpose_ros.networks.imp.matcher import Matcher
    from relpose_ros.networks.registry import build_network
    from relpose_training.recipes.matcher.start import start_as_nearest_neighbours

    parameters: dict[str, Any] = {"iterations": args.iterations, "descriptor_size": args.size}
    weights = None
    if args.checkpoint is not None:
        trained, info = load_network(args.checkpoint)
        if not isinstance(trained, Matcher):
            raise RelposeError(f"{args.checkpoint}: expected a matcher (imp.*), got {info.network}")
        parameters = {"iterations": trained.iterations, "descriptor_size": trained.descriptor_size}
        weights = trained.state_dict()
    made = build_network(MODELS[name], **parameters)
    assert isinstance(made, Matcher)
    start_as_nearest_neighbours(made)
    if weights is not None:
        made.load_state_dict(weights, strict=name != "gm")
    return made


def inputs(keypoints: int, size: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Two images whose first halves are the same points, a little moved and described a little otherwise."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def image(shared: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        own = torch.randn(keypoints - len(shared), size, generator=generator)
        noise = 0.2 * torch.randn(shared.shape, generator=generator)
        descriptors = torch.nn.functional.normalize(torch.cat([shared + noise, own]), dim=1)
        places = torch.cat([at, torch.rand(len(own), 2, generator=generator) * 1.4 - 0.7])
        return places[None], torch.rand(1, keypoints, generator=generator), descriptors[None]

    shared = torch.randn(keypoints // 2, size, generator=generator)
    at = torch.rand(len(shared), 2, generator=generator) * 1.4 - 0.7
    (k0, s0, d0), (k1, s1, d1) = image(shared, at), image(shared, at * 0.95 + 0.02)
    return k0, k1, s0, s1, d0, d1


def run_all(network: Matcher, given: Sequence[Tensor]) -> int:
    """All iterations and the last assignment; keypoints of the first image that are left."""
    from relpose_ros.networks.imp.adagmn import AdaGMN

    state = network.encode(*given)
    for iteration in range(network.iterations):
        state = network.step(state)
        if isinstance(network, AdaGMN) and network.pools_after(iteration):
            state = network.pool(state, network.scores(state))
    network.match(network.scores(state))
    return int(state.descriptors0.shape[2])


def _peak(device: str) -> float:
    """Megabytes that this process has had at most: of the GPU, or of the host."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measured_apart(name: str, keypoints: int, words: Sequence[str]) -> Figure:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks", "matching_networks", *words, "--one", name, str(keypoints)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RelposeError(f"{name} with {keypoints} keypoints failed: {done.stderr.strip()[-400:]}")
    return Figure(*json.loads(done.stdout.splitlines()[-1]))


def row(keypoints: int, figures: dict[str, Figure]) -> list[str]:
    """A line of the table; `x`: how many times faster than gm."""
    gm = figures["gm"].seconds
    return [
        str(keypoints),
        *(number(1e3 * f.seconds, 0) for f in figures.values()),
        *(number(gm / figures[name].seconds, 2) for name in ("imp", "eimp")),
        *(number(f.megabytes, 0) for f in figures.values()),
        str(figures["eimp"].kept),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks matching_networks", description=__doc__)
    parser.add_argument("--keypoints", type=int, nargs="+", default=[512, 1024, 2048, 4096], metavar="N")
    parser.add_argument("--size", type=int, default=128, help="of the descriptors (default 128, SIFT)")
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="trained weights")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="pairs of a process; the fastest counts")
    parser.add_argument("--rounds", type=int, default=1, help="processes of each network, in turns")
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "N"), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.one:
        print(json.dumps(measure(args.one[0], int(args.one[1]), args)))
        return
    words = list(sys.argv[2:] if arguments is None else arguments)
    print(f"{describe_machine()}\n", flush=True)
    rows = []
    for keypoints in args.keypoints:
        rounds = [
            {name: measured_apart(name, keypoints, words) for name in MODELS} for _ in range(args.rounds)
        ]
        best = {name: min((turn[name] for turn in rounds), key=lambda f: f.seconds) for name in MODELS}
        rows.append(row(keypoints, best))
        print("  ".join(rows[-1]), flush=True)
    print(f"\n{markdown(HEADER, rows)}")
    print(
        f"\n{args.iterations} iterations, descriptors of {args.size}, {args.device}, {args.threads} thread(s)"
    )


if __name__ == "__main__":
    main()
