"""The optimizer of a configuration."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from relpose_training.engine.configuration import EngineConfig


def make_optimizer(config: EngineConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD over the parameters that are trained; the loop sets its rate at every step."""
    trained = [p for p in parameters if p.requires_grad]
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=rate, momentum=config.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(trained, lr=rate, weight_decay=decay, betas=(config.momentum, 0.999))
