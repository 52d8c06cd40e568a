"""Scores of the whole validation split, over all processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from relpose_training.data.ahead import loaded_ahead
from relpose_training.data.stream import batches
from relpose_training.engine.device import Batch, Device

if TYPE_CHECKING:
    from relpose_training.engine.recipe import Recipe, TrainingModule


def validate(recipe: Recipe[Any], module: TrainingModule, device: Device) -> dict[str, float]:
    """The recipe's metrics of its validation data; every process gets the same ones.

    An incomplete last batch is filled with its own first samples, so that shapes stay what they were, and
    their scores are left out.
    """
    config = recipe.config
    size = config.batch_size * device.batch_factor
    data = recipe.validation_data(device.place)
    host = batches(data, size, seed=0, shuffle=False, workers=config.workers)
    scores: dict[str, list[np.ndarray[Any, Any]]] = {}
    module.eval()
    left = sum(data.group_sizes())
    with torch.no_grad(), device.autocast(config.precision):
        for batch in device.feed(loaded_ahead(_filled(host, size))):
            for name, value in device.fetch_samples(module.score(batch)).items():
                scores.setdefault(name, []).append(value[:left])
            left -= size
    mine = {name: np.concatenate(parts).tolist() for name, parts in scores.items()}
    everyone = device.gather(mine)
    names = {name for part in everyone for name in part}
    return recipe.summarise(
        {name: np.asarray([v for part in everyone for v in part.get(name, [])]) for name in sorted(names)}
    )


def _filled(host: Iterable[Batch], size: int) -> Iterator[Batch]:
    for batch in host:
        count = len(next(iter(batch.values())))
        if count < size:
            repeats = torch.arange(size) % count
            yield {name: value[repeats] for name, value in batch.items()}
        else:
            yield batch
