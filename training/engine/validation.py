"""Scores of the whole validation split, over all processes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_training.data.ahead import loaded_ahead
from relpose_training.data.stream import Dataset, batches
from relpose_training.engine.configuration import EngineConfig
from relpose_training.engine.device import Batch, Device

if TYPE_CHECKING:
    from relpose_training.engine.recipe import Recipe, TrainingModule


def validate(recipe: Recipe[Any], module: TrainingModule, device: Device) -> dict[str, float]:
    """The recipe's metrics of its validation data; every process gets the same ones."""
    size = recipe.config.batch_size * device.batch_factor
    scores = score_all(recipe.config, module, recipe.validation_data(device.place), size, device)
    everyone = device.gather({name: values.tolist() for name, values in scores.items()})
    names = {name for part in everyone for name in part}
    return recipe.summarise(
        {name: np.asarray([v for part in everyone for v in part.get(name, [])]) for name in sorted(names)}
    )


def score_all(
    config: EngineConfig, module: TrainingModule, data: Dataset, size: int, device: Device
) -> dict[str, NDArray[Any]]:
    """What `module.score` gives (N, ...) for the samples of a dataset in this process, in their order.

    They go through it in batches of `size`. An incomplete last batch is filled with its own first samples, so
    that shapes stay what they were, and their scores are left out. The module is left as it was.
    """
    host = batches(data, size, seed=0, shuffle=False, workers=config.workers)
    scores: dict[str, list[NDArray[Any]]] = {}
    was_training = module.training
    module.eval()
    left = sum(data.group_sizes())
    with torch.no_grad(), device.autocast(config.precision):
        for batch in device.feed(loaded_ahead(_filled(host, size))):
            for name, value in device.fetch_samples(module.score(batch)).items():
                scores.setdefault(name, []).append(value[:left])
            left -= size
    module.train(was_training)
    return {name: np.concatenate(parts) for name, parts in scores.items()}


def _filled(host: Iterable[Batch], size: int) -> Iterator[Batch]:
    for batch in host:
        count = len(next(iter(batch.values())))
        if count < size:
            repeats = torch.arange(size) % count
            yield {name: value[repeats] for name, value in batch.items()}
        else:
            yield batch
