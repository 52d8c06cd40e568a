"""Everything that knows about XLA (TPUs): a core a process, or all of them as one device by SPMD."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from relpose_ros.errors import DependencyError
from relpose_training.engine.device import Batch, Device, Place


def run_on_xla(spmd: bool, worker: Callable[[Device], None]) -> None:
    """Call `worker` in a process a core, or once with all cores as one device.

    Raises DependencyError if torch_xla is not installed.
    """
    try:
        import torch_xla
        import torch_xla.runtime
    except ImportError as error:
        raise DependencyError(
            f"device=xla: {error}; on a TPU VM: relpose tpu prepare (torch and torch_xla of the same version)"
        ) from None
    if spmd:
        torch_xla.runtime.use_spmd()
        worker(SpmdDevice())
    else:
        torch_xla.launch(_in_process, args=(worker,))


def _in_process(_index: int, worker: Callable[[Device], None]) -> None:
    worker(XlaDevice())


class XlaDevice(Device):
    """One core; the other cores and hosts are other processes."""

    def __init__(self) -> None:
        import torch_xla
        import torch_xla.runtime as runtime

        self.torch_device = torch_xla.device()
        self.place = Place(runtime.global_ordinal(), runtime.world_size(), runtime.local_ordinal())

    def wrap(self, module: nn.Module) -> nn.Module:
        import torch_xla.core.xla_model as xm

        module = module.to(self.torch_device)
        if self.place.world > 1:
            xm.broadcast_master_param(module)
        return module

    def feed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        from torch_xla.distributed.parallel_loader import MpDeviceLoader

        yield from MpDeviceLoader(batches, self.torch_device)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        import torch_xla
        import torch_xla.core.xla_model as xm

        if self.place.world > 1:
            xm.reduce_gradients(optimizer)
        optimizer.step()
        torch_xla.sync()

    def autocast(self, precision: str) -> AbstractContextManager[Any]:
        return torch.autocast("xla", torch.bfloat16, enabled=precision == "bfloat16")

    def gather(self, value: Any) -> list[Any]:
        import torch_xla.core.xla_model as xm

        if self.place.world == 1:
            return [value]
        everyone = xm.rendezvous("gather", pickle.dumps(value))
        return [pickle.loads(other) for other in everyone]  # noqa: S301 (our own processes)

    def close(self) -> None:
        """Nothing to leave."""


class SpmdDevice(XlaDevice):
    """All cores as one: the compiler divides every batch along its first axis."""

    def __init__(self) -> None:
        import numpy as np
        import torch_xla
        import torch_xla.runtime as runtime
        from torch_xla.distributed.spmd import Mesh

        self.torch_device = torch_xla.device()
        self.place = Place()
        self.batch_factor = runtime.global_runtime_device_count()
        self.mesh = Mesh(np.arange(self.batch_factor), (self.batch_factor,), ("data",))

    def feed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        from torch_xla.distributed.spmd import mark_sharding

        for batch in super().feed(batches):
            for value in batch.values():
                mark_sharding(value, self.mesh, ("data", *[None] * (value.ndim - 1)))
            yield batch


def compilations() -> int:
    """How many programs XLA has compiled in this process: constant after the first steps."""
    from torch_xla.debug import metrics

    data = metrics.metric_data("CompileTime")
    return int(data[0]) if data else 0
