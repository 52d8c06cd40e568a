"""A network as an ONNX file, for runtimes that are faster than torch on a robot's CPU."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from relpose_ros.networks.base import Network

OPSET = 18


def export_onnx(
    network: Network, inputs: tuple[torch.Tensor, ...], path: str | Path, any_length: tuple[int, ...] = ()
) -> Path:
    """Write `network` in eval mode as ONNX for inputs of exactly these shapes; returns the path.

    Along the axes `any_length` of all inputs they may have any length; in `inputs` these are of 2 or more,
    and differ unless they shall always be the same. The file is written beside its target and renamed. The
    network keeps its mode.
    """
    path = Path(path)
    was_training = network.training
    network.eval()
    try:
        with (
            _quiet(),
            tempfile.TemporaryDirectory(prefix=".export.", dir=path.parent) as folder,
            torch.no_grad(),
        ):
            part = Path(folder) / path.name
            torch.onnx.export(
                network,
                inputs,
                str(part),
                dynamo=True,
                optimize=False,  # the runtimes optimise themselves, in a tenth of the time
                external_data=False,
                opset_version=OPSET,
                dynamic_shapes=_dynamic(len(inputs), any_length),
                input_names=list(network.input_names),
                output_names=list(network.output_names),
                verbose=False,
            )
            os.replace(part, path)
    finally:
        network.train(was_training)
    return path


def _dynamic(inputs: int, axes: tuple[int, ...]) -> tuple[dict[int, Any], ...] | None:
    """What the exporter wants to hear; None: all shapes are fixed."""
    return tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for _ in range(inputs)) if axes else None


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of torchvision and of its own future: nothing that a caller could act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
