"""A place recognition set of a few places, each a texture of its own under stains that say nothing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

SIDE = 64


def _pattern(rng: np.random.Generator, cells: int, side: int) -> np.ndarray:
    noise = rng.uniform(0, 1, (cells, cells, 3)).astype(np.float32)
    return cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)


def _view(place: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop of a place's wall, darker or lighter, half of it behind stains."""
    at = rng.integers(0, place.shape[0] - SIDE, 2)
    crop = place[at[0] : at[0] + SIDE, at[1] : at[1] + SIDE]
    stains = _pattern(rng, 5, SIDE).mean(axis=2, keepdims=True)
    mixed = 0.55 * crop + 0.45 * np.broadcast_to(stains, crop.shape)
    return (np.clip(mixed * rng.uniform(0.6, 1.2), 0, 1) * 255).astype(np.uint8)


def write_places(folder: Path, train: int = 12, val: int = 8, views: int = 2, seed: int = 0) -> Path:
    """A set in the format `custom`: of each place `views` queries and as many gallery images, 3 m away."""
    rng = np.random.default_rng(seed)
    identities, utm, splits = [], [], {f"{s}_{x}": [] for s in ("q", "db") for x in ("train", "val", "test")}
    for number in range(train + 2 * val):
        name = "train" if number < train else "val" if number < train + val else "test"
        wall = _pattern(rng, 8 + number % 5, SIDE + 8)
        for side in ("q", "db"):
            files = [f"{name}/{number:02d}_{side}{k}.png" for k in range(views)]
            for file in files:
                path = folder / "raw" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), _view(wall, rng))
            splits[f"{side}_{name}"].append(len(identities))
            identities.append(files)
            utm.append([200.0 * number + (3.0 if side == "db" else 0.0), 0.0])
    (folder / "meta.json").write_text(json.dumps({"name": "toy", "identities": identities, "utm": utm}))
    (folder / "splits.json").write_text(json.dumps(splits))
    return folder


SETTINGS = {
    "device": "cpu", "channels": (6, 6, 8, 8, 12), "clusters": 4, "height": 32, "width": 32,
    "train_from": "full", "jitter": 0.1, "jitter_hue": 0.0, "negatives": 4, "pool": 10,
    "refresh": 8, "describe_batch": 16, "batch_size": 2, "optimizer": "adam",
    "learning_rate": 1e-3, "weight_decay": 0.0, "steps": 12, "save_every": 1, "log_every": 1,
    "validate_every": 12, "licence": "CC0-1.0",
}  # fmt: skip
"""Of a run that takes a moment."""
