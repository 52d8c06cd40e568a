"""A moving average of weights (EMA), which is what is validated and saved where it is asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MovingAverage:
    """Of every floating tensor of a state dict; others (counters) are copied.

    The decay starts low, min(decay, (1 + n) / (10 + n)) after n updates, so that the first weights are
    forgotten soon.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.values = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take in the weights as they are now."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value.detach(), 1 - decay)
            else:
                self.values[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor | int]:
        """For a saved state."""
        return {"updates": self.updates, **self.values}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """From a saved state."""
        self.updates = int(state["updates"])
        for name, value in self.values.items():
            value.copy_(torch.as_tensor(state[name]))
