"""The DSAC* data loader."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from relpose_training.data.published_scene_sample import published_scene_sample
from tools.parity.case import Deviation, deviation, golden, load

FILES = tuple(
    f"dataset_{name}.npz"
    for name in ("test_rgb", "mode1_dense", "mode1_sparse", "aug_rgb", "aug_dense", "aug_sparse")
)


@golden("dsacstar", "samples of its loader", *FILES)
def samples() -> Iterator[Deviation]:
    for file in FILES:
        stored = load("dsacstar", file)
        ours = published_scene_sample(
            stored["rgb"],
            stored["pose_in"],
            float(stored["focal_in"]),
            height=96,
            scale=float(stored.get("aug_scale", 1.0)),
            angle=math.radians(float(stored.get("aug_angle_deg", 0.0))),
            depth=stored["depth_mm"] / 1000 if "dense" in file else None,
            sparse=stored["init"] if "sparse" in file else None,
            augment="aug" in file,
        )
        yield deviation(f"{file} image", ours.image[None], stored["image"], 1e-5)
        yield deviation(f"{file} pose", ours.pose, stored["pose"], 1e-5)
        yield deviation(f"{file} focal length", ours.focal, stored["focal"], 1e-5)
        coordinates = np.zeros(0) if ours.coordinates is None else ours.coordinates
        yield deviation(f"{file} coordinates", coordinates, stored["coords"], 1e-5)
