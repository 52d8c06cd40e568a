"""Collectives between the two threads of a process, by the host.

XLA's CPU device runs two threads with a device each, but not their collectives: every device compiles its own
program, and the programs do not find each other. On a TPU these are XLA's.
"""

from __future__ import annotations

import threading

import torch

from relpose_training.engine.xla import XlaDevice

THREADS = 2
barrier = threading.Barrier(THREADS, timeout=60)
given = [None] * THREADS


def exchange(device, value):
    given[device.place.rank] = value
    barrier.wait()
    everyone = list(given)
    barrier.wait()
    return everyone


def wrap(self, module):
    first = exchange(self, {name: value.cpu() for name, value in module.state_dict().items()})[0]
    module.load_state_dict(first)
    return module.to(self.torch_device)


def reduce(self, optimizer):
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    everyone = exchange(self, [p.grad.cpu() for p in parameters])
    for parameter, *gradients in zip(parameters, *everyone, strict=True):
        parameter.grad.copy_(torch.stack(gradients).mean(0))


def use_the_host():
    """Give XlaDevice these instead of its own."""
    XlaDevice.gather = exchange  # type: ignore[method-assign]
    XlaDevice.reduce = reduce  # type: ignore[method-assign]
    XlaDevice.wrap = wrap  # type: ignore[method-assign]
