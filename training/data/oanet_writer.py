"""Writes the correspondence files of OANet, for comparison with software that reads those."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from relpose_ros.errors import DatasetError
from relpose_training.data.oanet_hdf5 import CAMERA_GROUPS, PAIR_GROUPS
from relpose_training.data.shards import Sample

AXES = (("x", 2), ("y", 3))
"""Of the principal point: letter, and place in a camera's fx, fy, cx, cy."""


def write_oanet(samples: Iterable[Sample], path: Path) -> int:
    """Write pairs (see `correspondences.pair_sample`) to an HDF5 file; returns how many.

    The file appears when it is complete. Raises DatasetError without a pair.
    """
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with h5py.File(part, "w") as file:
            groups = {name: file.create_group(name) for name in (*PAIR_GROUPS, *CAMERA_GROUPS)}
            for sample in samples:
                for name, value in as_published(sample).items():
                    groups[name][str(count)] = value
                count += 1
        if not count:
            raise DatasetError(f"{path}: there is no pair to write")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def as_published(sample: Sample) -> Sample:
    """The arrays of one pair as OANet stores them, by the name of their group."""
    first, second = sample["cameras"]
    return {
        "xs": sample["xs"][None],
        "ys": sample["ys"][:, None],
        "ratios": sample["ratios"],
        "mutuals": sample["mutuals"],
        "Rs": sample["R"],
        "ts": sample["t"][:, None],
        **{
            f"c{axis}{k}s": np.asarray(c[i : i + 1]) for k, c in ((1, first), (2, second)) for axis, i in AXES
        },
        "f1s": first[None, :2],
        "f2s": second[None, :2],
    }
