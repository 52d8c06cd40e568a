"""Training throughput: our shards, loader and loop against a straightforward loop, in one run.

The straightforward one opens an HDF5 file for every sample (one group a field, one data set a sample, as
OANet publishes it), makes the batch, and only then computes; float32, nothing loaded ahead. Both see the same
pairs of 2000 correspondences and train the same network (PointCN) with the same optimizer. Rounds alternate,
so that both meet the same load of the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CORRESPONDENCES = 2000


def main(arguments: Sequence[str]) -> None:
    """Print samples per second of both, their ratio, and the share of time spent waiting for data."""
    parser = argparse.ArgumentParser(prog="benchmarks training_throughput", description=__doc__)
    parser.add_argument("--pairs", type=int, default=256, help="pairs of images in the data (default 256)")
    parser.add_argument("--steps", type=int, default=6, help="steps in a round (default 6)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default 3)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--blocks", type=int, default=4, help="residual blocks of the network (default 4)")
    parser.add_argument("--workers", type=int, default=0, help="loading processes of ours (0: a thread)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="relpose-throughput-") as folder:
        _write_data(Path(folder), options.pairs)
        ours, plain, waiting = _measure(Path(folder), options)
    print(f"{'':<28}samples/s  waiting for data")
    print(f"{'straightforward loop':<28}{plain[0]:>9.1f}  {plain[1]:>15.1%}")
    print(f"{'relpose train':<28}{ours:>9.1f}  {waiting:>15.1%}")
    print(f"ratio {ours / plain[0]:.2f} (median of {options.rounds} alternating rounds)")


def _write_data(folder: Path, pairs: int) -> None:
    """The same random pairs as shards of ours and in one file of single data sets."""
    import h5py
    import numpy as np

    from relpose_training.data.shard_writer import write_shards

    def samples() -> Iterator[dict[str, Any]]:
        generator = np.random.default_rng(0)
        for _ in range(pairs):
            xs = generator.uniform(-1, 1, (CORRESPONDENCES, 4)).astype(np.float32)
            yield {"xs": xs, "ys": (np.abs(xs[:, 0]) < 0.3).astype(np.float32)}

    write_shards(samples(), folder, "train", 4, varying=["xs", "ys"])
    with h5py.File(folder / "plain.h5", "w") as file:
        for number, sample in enumerate(samples()):
            for name, value in sample.items():
                file[f"{name}/{number}"] = value


def _measure(folder: Path, options: argparse.Namespace) -> tuple[float, tuple[float, float], float]:
    """Ours (samples/s), the straightforward one (samples/s, share of waiting), and our share of waiting."""
    ours = _Ours(folder, options)
    plain = _Plain(folder, options)
    rates: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
    for round_number in range(options.rounds + 1):
        measured = {"plain": plain.run(options.steps), "ours": ours.run(options.steps)}
        if round_number:  # the first one warms up
            for name, value in measured.items():
                rates[name].append(value)
    rate, wait = ({k: statistics.median(pair[i] for pair in v) for k, v in rates.items()} for i in range(2))
    return rate["ours"], (rate["plain"], wait["plain"]), wait["ours"]


class _Ours:
    """`relpose train` without its validations and files."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        from benchmarks.training_subject import make_recipe
        from relpose_training.engine.device import Place, TorchDevice
        from relpose_training.engine.loop import Trainer

        recipe = make_recipe(folder, options.batch_size, options.blocks, options.workers)
        self.trainer = Trainer(recipe, TorchDevice("cpu", Place()))
        self.data = self.trainer.training_batches()

    def run(self, steps: int) -> tuple[float, float]:
        from relpose_training.engine.loop import Meter

        for _ in range(3):  # what was loaded ahead while the other one ran
            self.trainer.train_step(self.data, Meter(0.0))
        meter = Meter(time.perf_counter())
        for _ in range(steps):
            self.trainer.train_step(self.data, meter)
        seconds = time.perf_counter() - meter.started
        return meter.samples / seconds, meter.waited / seconds


class _Plain:
    """What one writes first."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        import numpy as np
        import torch

        from benchmarks.training_subject import make_module

        self.file, self.size, self.pairs = folder / "plain.h5", options.batch_size, options.pairs
        self.module = make_module(options.blocks)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-3)
        self.generator = np.random.default_rng(0)

    def run(self, steps: int) -> tuple[float, float]:
        started, waited = time.perf_counter(), 0.0
        for _ in range(steps):
            asked = time.perf_counter()
            batch = self._batch()
            waited += time.perf_counter() - asked
            self.optimizer.zero_grad()
            self.module(batch, 0)["loss"].backward()
            self.optimizer.step()
        seconds = time.perf_counter() - started
        return steps * self.size / seconds, waited / seconds

    def _batch(self) -> dict[str, Any]:
        import h5py
        import torch

        samples = []
        for number in self.generator.integers(self.pairs, size=self.size).tolist():
            with h5py.File(self.file, "r") as file:
                samples.append({name: torch.from_numpy(file[f"{name}/{number}"][()]) for name in file})
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
