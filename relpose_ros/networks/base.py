"""What every registered network promises: one test, one exporter and one checkpoint format fit all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A network whose constructor takes keyword arguments that JSON can hold (they go into checkpoints).

    `forward` takes tensors alone, one for each of `input_names`, and returns a tuple of tensors, one for
    each of `output_names`; the first axis of every one is the batch. It must be exportable to ONNX in eval
    mode. Training may use other methods or return more in train mode.
    """

    input_names: ClassVar[tuple[str, ...]]
    output_names: ClassVar[tuple[str, ...]]

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        """Constructor arguments of a variant that runs in a moment, for tests; by default nothing changes."""
        return {}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Constructor arguments that the shapes of a state dict tell; by default none.

        A KeyError, IndexError or ValueError means that the state dict is not of this class.
        """
        return {}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Inputs of `forward` that look like real ones: float32, first axis `batch`, drawn by `generator`."""
        raise NotImplementedError
