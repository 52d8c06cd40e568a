"""Where a process computes and how it talks to the others: the same calls on a CPU, GPUs, nodes and TPUs."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.states import random_state, restore_random_state, seed_everything

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Place:
    """This process among all: `rank` of `world`, and its number on this machine."""

    rank: int = 0
    world: int = 1
    local_rank: int = 0


class Device(ABC):
    """What the loop needs. One object a process."""

    place: Place
    torch_device: torch.device
    batch_factor: int = 1
    """How many devices one process feeds: its batches are so many times larger."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and talks."""
        return self.place.rank == 0

    @abstractmethod
    def wrap(self, module: nn.Module) -> nn.Module:
        """The module on the device, its gradients averaged over all processes."""

    @abstractmethod
    def feed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches on the device."""

    def reduce(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: B027 (most need nothing)
        """Average the gradients over all processes, where `backward` has not done so."""

    @abstractmethod
    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """One step of the optimizer with the gradients as they are."""

    @abstractmethod
    def gather(self, value: Any) -> list[Any]:
        """This value of every process, by rank: numbers, strings and arrays in nested containers."""

    @abstractmethod
    def close(self) -> None:
        """Leave the group."""

    def autocast(self, precision: str) -> AbstractContextManager[Any]:
        """Mixed precision."""
        if precision == "float32":
            return nullcontext()
        return torch.autocast(self.torch_device.type, torch.bfloat16)

    def without_sync(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Gradients stay in this process: for all but the last of accumulated batches."""
        return nullcontext()

    def fetch(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Numbers of the device on the host. On a TPU this waits: do it seldom."""
        return {name: float(value) for name, value in values.items()}

    def fetch_samples(self, values: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
        """Values (B,) of the samples of a batch on the host."""
        return {name: value.float().cpu().numpy() for name, value in values.items()}

    def alone(self) -> AbstractContextManager[Any]:
        """One thread at a time, where threads of a process train: they share its generators."""
        return nullcontext()

    def seed(self, seed: int) -> None:
        """The same start for every generator of this process, that of the device too."""
        seed_everything(seed)

    def random_state(self) -> dict[str, Any]:
        """The state of every generator of this process, that of the device too."""
        return random_state()

    def restore_random_state(self, state: dict[str, Any]) -> None:
        """Put them back."""
        restore_random_state(state)

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of every number over all processes."""
        everyone = self.gather(values)
        return {name: sum(v[name] for v in everyone) / len(everyone) for name in values}

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        return any(self.gather(flag)) if self.place.world > 1 else flag

    def barrier(self) -> None:
        """Wait for all."""
        self.gather(None)


class TorchDevice(Device):
    """A CPU or a GPU, alone or one of many under torchrun or Slurm."""

    def __init__(self, kind: str, place: Place) -> None:
        self.place = place
        self.torch_device = torch.device(kind, place.local_rank) if kind == "cuda" else torch.device(kind)
        if kind == "cuda":
            torch.cuda.set_device(self.torch_device)
        if place.world > 1:
            torch.distributed.init_process_group(
                "nccl" if kind == "cuda" else "gloo", rank=place.rank, world_size=place.world
            )

    def wrap(self, module: nn.Module) -> nn.Module:
        module = module.to(self.torch_device)
        if self.place.world == 1:
            return module
        idle = bool(getattr(module, "has_idle_parameters", False))
        return nn.parallel.DistributedDataParallel(module, find_unused_parameters=idle)

    def feed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            yield {name: value.to(self.torch_device, non_blocking=True) for name, value in batch.items()}

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        optimizer.step()

    def without_sync(self, module: nn.Module) -> AbstractContextManager[Any]:
        if isinstance(module, nn.parallel.DistributedDataParallel):
            return module.no_sync()
        return nullcontext()

    def gather(self, value: Any) -> list[Any]:
        return gather_from_group(self.place, value)

    def close(self) -> None:
        leave_group(self.place)


def gather_from_group(place: Place, value: Any) -> list[Any]:
    """This value of every process of torch.distributed's group, by rank."""
    if place.world == 1:
        return [value]
    everyone: list[Any] = [None] * place.world
    torch.distributed.all_gather_object(everyone, value)
    return everyone


def leave_group(place: Place) -> None:
    """Leave torch.distributed's group, where there is one."""
    if place.world > 1:
        torch.distributed.destroy_process_group()


def find_place(environment: dict[str, str] | None = None) -> Place:
    """Rank and world from torchrun or from Slurm; alone if there is neither.

    Under Slurm, MASTER_ADDR and MASTER_PORT are set from the job, if they are not. Raises ConfigurationError
    for numbers that make no sense.
    """
    env = dict(os.environ) if environment is None else environment
    try:
        if "RANK" in env:
            return Place(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env.get("LOCAL_RANK", 0)))
        # srun sets this one; a batch script has SLURM_NTASKS too, and is one process all the same.
        tasks = int(env.get("SLURM_STEP_NUM_TASKS", 1))
        if tasks > 1:
            _name_slurm_master(env)
            return Place(int(env["SLURM_PROCID"]), tasks, int(env.get("SLURM_LOCALID", 0)))
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"the launcher's environment is incomplete: {error}; start with torchrun"
        ) from None
    return Place()


def _name_slurm_master(env: dict[str, str]) -> None:
    if "MASTER_ADDR" not in env:
        hosts = ["scontrol", "show", "hostnames", env["SLURM_NODELIST"]]
        try:
            first = subprocess.run(hosts, capture_output=True, text=True, check=True).stdout.split()[0]
        except (OSError, subprocess.CalledProcessError, IndexError) as error:
            raise ConfigurationError(f"cannot tell the first Slurm node: {error}; set MASTER_ADDR") from None
        os.environ["MASTER_ADDR"] = first
    os.environ.setdefault("MASTER_PORT", str(20000 + int(env.get("SLURM_JOB_ID", 0)) % 20000))


def run_on_device(kind: str, worker: Callable[[Device], int]) -> int:
    """Call `worker` with its device, in every process that this one starts (a TPU has one a core).

    `kind` is auto, cpu, cuda, xla or xla-spmd. `worker` must be picklable for xla; the result is its own,
    the first that is not 0. Raises ConfigurationError if there is no such device here.
    """
    if kind.startswith("xla"):
        from relpose_training.engine.xla import run_on_xla

        return run_on_xla(spmd=kind == "xla-spmd", worker=worker)
    has_gpu = torch.cuda.is_available()
    if kind == "cuda" and not has_gpu:
        raise ConfigurationError(
            "device=cuda: torch sees no GPU here; install a CUDA build of torch, or device=cpu"
        )
    device = TorchDevice("cuda" if has_gpu and kind != "cpu" else "cpu", find_place())
    try:
        return worker(device)
    finally:
        device.close()


def find_device(name: str) -> torch.device:
    """A torch device; auto takes a GPU where there is one. Raises ConfigurationError."""
    has_gpu = torch.cuda.is_available()
    if name == "cuda" and not has_gpu:
        raise ConfigurationError("torch sees no GPU here; expected --device cpu")
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")
