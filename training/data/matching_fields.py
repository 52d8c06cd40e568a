"""What shards of matching pairs hold: fields, types, and descriptors in one byte a number.

keypoints0    (N0, 2) float32   pixels of the image, centres at integers, strongest first
scores0       (N0,)   float32   0..1; by rank (`features.base.rank_scores`) unless meta says otherwise
descriptors0  (N0, D) uint8     less 128 and scaled to length 1; or float16, scaled to length 1
rays0         (N0, 2) float32   the keypoints on the plane z = 1, lens distortion removed
keypoints1, ... (N1, ...)       the same of the second image
matches       (M, 2)  int32     keypoints that show the same point
unmatched0    (U0,)   int32     keypoints that certainly have no partner; unmatched1 (U1,)
K0, K1        (3, 3)  float32   intrinsics
size0, size1  (2,)    int32     width, height
R (3, 3), t (3,)      float32   second_from_first, in the unit of the source
overlap       ()      float32   share of what either sees that both see
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.compression import dequantize, quantize
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.shards import Sample

VARYING = (
    *(f"{name}{side}" for side in (0, 1) for name in ("keypoints", "scores", "descriptors", "rays")),
    *("matches", "unmatched0", "unmatched1"),
)
"""Fields whose length differs from pair to pair."""
FIELDS = (*VARYING, "K0", "K1", "size0", "size1", "R", "t", "overlap")

Storage = Literal["uint8", "float16"]
Codes = NDArray[Any]
"""Descriptors (N, D) as they are stored: uint8 or float16."""

DECODING = {
    "uint8": "less 128, then scaled to length 1",
    "float16": "scaled to length 1",
}
"""How stored descriptors become what a network is fed."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """One image of a pair: `keypoints`, `rays` (N, 2), `scores` (N,), encoded `descriptors` (N, D),
    intrinsics `matrix` (3, 3), `size` (width, height)."""

    keypoints: NDArray[np.float32]
    scores: NDArray[np.float32]
    descriptors: Codes
    rays: NDArray[np.floating]
    matrix: NDArray[np.float64]
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class TrueMatches:
    """`pairs` (M, 2) of keypoints that show the same point, and which of each image certainly have no
    partner: `alone0` (U0,), `alone1` (U1,)."""

    pairs: NDArray[np.integer]
    alone0: NDArray[np.integer]
    alone1: NDArray[np.integer]


def encode(descriptors: NDArray[np.floating], storage: Storage = "uint8") -> Codes:
    """Descriptors (N, D) of length 1 as they are stored."""
    if storage == "float16":
        return np.asarray(descriptors, np.float16)
    codes = quantize(np.asarray(descriptors, np.float32)).view(np.uint8)
    return np.asarray(codes ^ 0x80, np.uint8)


def decode(stored: Codes) -> NDArray[np.float32]:
    """Stored descriptors (N, D) of either kind, float32 of length 1."""
    if stored.dtype == np.uint8:
        return dequantize((stored ^ np.uint8(0x80)).view(np.int8))
    values = stored.astype(np.float32)
    norm = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(norm, np.float32(1e-9)))


def matching_fields(
    first: StoredImage, second: StoredImage, truth: TrueMatches, second_from_first: Rigid, overlap: float
) -> Sample:
    """One pair as shards hold it."""
    sample: Sample = {}
    for side, image in enumerate((first, second)):
        sample[f"keypoints{side}"] = np.asarray(image.keypoints, np.float32)
        sample[f"scores{side}"] = np.asarray(image.scores, np.float32)
        sample[f"descriptors{side}"] = image.descriptors
        sample[f"rays{side}"] = np.asarray(image.rays, np.float32)
        sample[f"K{side}"] = np.asarray(image.matrix, np.float32)
        sample[f"size{side}"] = np.array(image.size, np.int32)
    return sample | {
        "matches": np.asarray(truth.pairs, np.int32).reshape(-1, 2),
        "unmatched0": np.asarray(truth.alone0, np.int32),
        "unmatched1": np.asarray(truth.alone1, np.int32),
        "R": np.asarray(second_from_first.rotation, np.float32),
        "t": np.asarray(second_from_first.translation, np.float32),
        "overlap": np.array(overlap, np.float32),
    }
