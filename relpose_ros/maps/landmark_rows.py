"""Landmarks as rows of numbers in a file, and what opening a large map would derive from all of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.compression import dequantize, quantize
from relpose_ros.maps.bundle import Map

Array = NDArray[np.float64]


def landmark_arrays(map_: Map, origin: Array) -> dict[str, NDArray[Any]]:
    """Datasets of the landmarks; points are stored relative to `origin` (3,)."""
    return {
        "landmarks/point": (map_.landmarks.points - origin).astype(np.float32),
        "landmarks/covariance_factor": factors(map_.landmarks.covariances),
        "landmarks/descriptor": quantize(map_.landmarks.descriptors),
    }


def factors(covariances: Array) -> NDArray[np.float16]:
    """Lower Cholesky factors (L, 1 + 6): a binary exponent, and six entries of order one.

    Half precision keeps three digits of a standard deviation, which is all it means; the
    exponent keeps points at infinity and objects of a millimetre in its range.
    """
    scale = np.sqrt(np.trace(covariances, axis1=1, axis2=2) / 3)
    exponent = np.ceil(np.log2(np.maximum(scale, 1e-30)))[:, None]
    normed = covariances / np.exp2(2 * exponent)[:, :, None]
    factor = np.linalg.cholesky(normed + 1e-9 * np.eye(3))
    return np.concatenate([exponent, factor[:, *np.tril_indices(3)]], axis=1).astype(np.float16)


def covariances_of(stored: NDArray[np.float16]) -> Array:
    """(L, 7) -> (L, 3, 3)."""
    values = stored.astype(np.float64)
    factor = np.zeros((len(values), 3, 3))
    factor[:, *np.tril_indices(3)] = values[:, 1:] * np.exp2(values[:, :1])
    return np.asarray(factor @ factor.transpose(0, 2, 1))


def descriptors_of(stored: NDArray[np.int8]) -> NDArray[np.float32]:
    """(L, D), L2-normalised."""
    return dequantize(stored)


def derived_arrays(map_: Map) -> dict[str, NDArray[Any]]:
    """What a large map keeps so that opening it need not read every sighting."""
    return {"landmarks/seen_from": map_.seen_from.astype(np.float16)}


def derived_about(map_: Map) -> dict[str, str]:
    """Numbers that go with `derived_arrays`."""
    numbers = {name: getattr(map_, name) for name in DERIVED}
    return {"derived": json.dumps(numbers)}


DERIVED = ("depth", "reference_distance", "sightings")
"""Properties of a Map that are numbers and take all of it to compute."""
