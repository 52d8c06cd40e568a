"""What a killed run goes on from: written atomically, the one before kept until the next is whole."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from relpose_ros.checkpoints.containers import read_torch
from relpose_ros.errors import CheckpointError

STATE = "state.pt"
PREVIOUS = "state.previous.pt"
CONTENT = {"config", "step", "module", "optimizer", "average", "best", "random"}


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, numbers, strings, in nested containers) to `folder`.

    At any moment, whenever the process is killed, one of the two files is whole.
    """
    part = folder / f".{STATE}.part"
    with part.open("wb") as file:
        torch.save(on_host(state), file)
        file.flush()
        os.fsync(file.fileno())
    if (folder / STATE).exists():
        os.replace(folder / STATE, folder / PREVIOUS)
    os.replace(part, folder / STATE)
    entry = os.open(folder, os.O_RDONLY)
    os.fsync(entry)  # the names, too, outlive a power cut
    os.close(entry)


def on_host(value: Any) -> Any:
    """The same nested containers, every tensor on the CPU (a TPU's cannot be saved)."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: on_host(part) for key, part in value.items()}
    return [on_host(part) for part in value] if isinstance(value, list | tuple) else value


def is_finite(value: Any) -> bool:
    """Whether every floating number in tensors of these nested containers is finite."""
    if isinstance(value, torch.Tensor):
        return not value.is_floating_point() or bool(torch.isfinite(value).all())
    parts = value.values() if isinstance(value, dict) else value
    return all(map(is_finite, parts)) if isinstance(value, dict | list | tuple) else True


def load_state(folder: Path) -> dict[str, Any] | None:
    """The newest whole state in `folder`; None if there is none.

    Raises CheckpointError if there are files and none of them can be read.
    """
    problems = []
    for path in (folder / STATE, folder / PREVIOUS):
        if path.is_file():
            try:
                return _whole(path, read_torch(path))
            except CheckpointError as error:
                problems.append(str(error))
    if problems:
        raise CheckpointError(f"{'; '.join(problems)}. Remove them to start anew")
    return None


def _whole(path: Path, state: Any) -> dict[str, Any]:
    if not isinstance(state, dict) or not state.keys() >= CONTENT:
        raise CheckpointError(f"{path}: expected the state of a run, found something else")
    return state


def random_state() -> dict[str, Any]:
    """The state of every generator that code might draw from without asking."""
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    version, internal, gauss_next = random.getstate()
    state = {
        "torch": torch.get_rng_state(),
        "numpy": [
            str(kind),
            torch.from_numpy(np.asarray(keys, np.int64)),
            int(position),
            int(has_gauss),
            float(gauss),
        ],
        "python": [version, list(internal), gauss_next],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Put the generators back."""
    torch.set_rng_state(state["torch"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def seed_everything(seed: int) -> None:
    """The same start for every generator."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
