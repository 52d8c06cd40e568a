"""Everything that knows about XLA (TPUs): a core a process, or all of them as one device by SPMD."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from relpose_ros.errors import DependencyError
from relpose_training.engine.device import Batch, Device, Place, gather_from_group, leave_group
from relpose_training.engine.signals import terminated_together

LEAST_MESSAGE = 1024
"""Bytes; messages between processes have sizes of powers of two, or every new size would be compiled."""

ALONE = threading.Lock()
"""A TPU of version 2 or 3 has two cores a process, each with a thread of its own."""


class _StatusError(Exception):
    """A worker's exit status other than 0: torch_xla.launch hands back exceptions and no results."""


def run_on_xla(spmd: bool, worker: Callable[[Device], int]) -> int:
    """Call `worker` in a process a core, or once with all cores as one device; returns its exit status.

    Raises DependencyError if torch_xla is not installed.
    """
    try:
        import torch_xla
        import torch_xla.runtime
    except ImportError as error:
        raise DependencyError(
            f"device=xla: {error}; on a TPU VM: relpose tpu prepare (torch and torch_xla of the same version)"
        ) from None
    try:
        if spmd:
            torch_xla.runtime.use_spmd()
            return worker(SpmdDevice())
        with terminated_together():
            torch_xla.launch(_in_process, args=(worker,))
    except _StatusError as status:
        return int(status.args[0])
    return 0


def _in_process(_index: int, worker: Callable[[Device], int]) -> None:
    status = worker(XlaDevice())
    if status:
        raise _StatusError(status)


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

    def reduce(self, optimizer: torch.optim.Optimizer) -> None:
        import torch_xla.core.xla_model as xm

        if self.place.world > 1:
            xm.reduce_gradients(optimizer)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        import torch_xla

        optimizer.step()
        torch_xla.sync()

    def autocast(self, precision: str) -> AbstractContextManager[Any]:
        return torch.autocast("xla", torch.bfloat16, enabled=precision == "bfloat16")

    def alone(self) -> AbstractContextManager[Any]:
        return ALONE

    def seed(self, seed: int) -> None:
        import torch_xla.core.xla_model as xm

        super().seed(seed)
        xm.set_rng_state(seed)

    def random_state(self) -> dict[str, Any]:
        import torch_xla.core.xla_model as xm

        return {**super().random_state(), "xla": xm.get_rng_state()}

    def restore_random_state(self, state: dict[str, Any]) -> None:
        import torch_xla.core.xla_model as xm

        super().restore_random_state(state)
        if "xla" in state:
            xm.set_rng_state(state["xla"])

    def gather(self, value: Any) -> list[Any]:
        import torch_xla.core.xla_model as xm

        if self.place.world == 1:
            return [value]
        return [unpack(message) for message in xm.rendezvous("gather", pack(value))]

    def close(self) -> None:
        """Nothing to leave."""


class SpmdDevice(XlaDevice):
    """All cores as one: the compiler divides every batch along its first axis.

    On a pod there is one process a host; each loads the batches of its own cores.
    """

    def __init__(self) -> None:
        import numpy as np
        import torch_xla
        import torch_xla.runtime as runtime
        from torch_xla.distributed.spmd import Mesh

        self.torch_device = torch_xla.device()
        self.place = Place(runtime.process_index(), runtime.process_count())
        self.batch_factor = runtime.addressable_runtime_device_count()
        devices = runtime.global_runtime_device_count()
        self.mesh = Mesh(np.arange(devices), (devices,), ("data",))
        if self.place.world > 1:
            import torch_xla.distributed.xla_backend  # it knows the address xla://

            torch.distributed.init_process_group("gloo", init_method="xla://")

    def wrap(self, module: nn.Module) -> nn.Module:
        return module.to(self.torch_device)

    def feed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        from torch_xla.distributed.parallel_loader import MpDeviceLoader

        iterator = iter(batches)
        first = next(iterator, None)
        if first is None:
            return
        sharding = {name: self._sharding(value.ndim) for name, value in first.items()}
        yield from MpDeviceLoader(_Chained(first, iterator), self.torch_device, input_sharding=sharding)

    def _sharding(self, axes: int) -> Any:
        from torch_xla.distributed.spmd import ShardingSpec

        divided = ("data", *[None] * (axes - 1))
        return ShardingSpec(self.mesh, divided, minibatch=self.place.world > 1)

    def reduce(self, optimizer: torch.optim.Optimizer) -> None:
        """The compiler has done it."""

    def fetch_samples(self, values: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
        import torch_xla
        from torch_xla.distributed.spmd import mark_sharding

        # Fetching a divided value compiles a program that gathers it, every time: have it gathered here.
        whole = {name: value.float() for name, value in values.items()}
        for value in whole.values():
            mark_sharding(value, self.mesh, (None,) * value.ndim)
        torch_xla.sync()
        return super().fetch_samples(whole)

    def gather(self, value: Any) -> list[Any]:
        return gather_from_group(self.place, value)

    def close(self) -> None:
        leave_group(self.place)


class _Chained:
    """An iterator with its first item put back (MpDeviceLoader wants something iterable)."""

    def __init__(self, first: Batch, rest: Iterator[Batch]) -> None:
        self.first, self.rest = first, rest

    def __iter__(self) -> Iterator[Batch]:
        yield self.first
        yield from self.rest


def pack(value: Any) -> bytes:
    """Plain values and tensors as bytes whose number is a power of two."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    content = buffer.getvalue()
    message = len(content).to_bytes(8, "little") + content
    return message.ljust(max(LEAST_MESSAGE, 1 << (len(message) - 1).bit_length()), b"\0")


def unpack(message: bytes) -> Any:
    """What `pack` made bytes of."""
    content = message[8 : 8 + int.from_bytes(message[:8], "little")]
    return torch.load(io.BytesIO(content), weights_only=True)


def compilations() -> int:
    """How many programs XLA has compiled in this process: constant after the first steps."""
    from torch_xla.debug import metrics

    data = metrics.metric_data("CompileTime")
    return int(data[0]) if data else 0
