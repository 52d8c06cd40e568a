"""Weights by rule: the goldens store none, each folder says how a tensor follows from its name and shape."""

from __future__ import annotations

import importlib.util
import zlib
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from tools.parity.case import path_of


def rule_module(system: str, file: str) -> ModuleType:
    """The rule that a golden folder brings along (`fill_rule.py`, `param_rule.py`)."""
    spec = importlib.util.spec_from_file_location(f"golden_{system}_{file[:-3]}", path_of(system, file))
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path_of(system, file))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scene_coordinate_weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The rule of goldens/README_scr.md for one parameter (buffers have their own values)."""
    x = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.rsplit(".", 1)[-1] == "bias":
        x = 0.1 * x
    elif x.ndim >= 2:
        x = x * np.sqrt(2 / np.prod(shape[1:]))
    else:
        x = 1 + 0.1 * x
    return np.asarray(x, np.float32)
