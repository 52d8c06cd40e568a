"""Putative correspondences of image pairs with the truth about them: what one-to-one networks learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import skew

Array = NDArray[np.float32]


@dataclass(frozen=True)
class PairCorrespondences:
    """The n nearest-neighbour matches of one image pair and their true geometry; float32.

    A point X in front of both cameras has z2 x2 = `rotation` z1 x1 + s `direction` with an unknown s > 0.
    """

    points: Array  # (n, 4): x1, y1, x2, y2 on the plane z = 1
    distances: Array  # (n,): squared symmetric epipolar distance to the true geometry
    ratios: Array  # (n,): distance of the nearest descriptor through that of the second nearest
    mutual: Array  # (n,): 1 if each is the other's nearest, else 0
    rotation: Array  # (3, 3): second_from_first
    direction: Array  # (3,): of the translation second_from_first, length 1

    def __len__(self) -> int:
        return len(self.points)

    def features(self, width: int) -> Array:
        """Network input (n, width): the points (4), or the points, ratio and mutual (6)."""
        if width == 4:
            return self.points
        if width == 6:
            return np.column_stack([self.points, self.ratios, self.mutual])
        raise DatasetError(f"a correspondence has width 4 (points) or 6 (points, ratio, mutual), not {width}")

    def essential(self) -> NDArray[np.float64]:
        """E (3, 3) with x2' E x1 = 0, not normalised."""
        return skew(self.direction.astype(np.float64)) @ self.rotation.astype(np.float64)


def pair_from_published(
    where: str,
    *,
    xs: ArrayLike,
    ys: ArrayLike,
    ratios: ArrayLike,
    mutuals: ArrayLike,
    Rs: ArrayLike,
    ts: ArrayLike,
) -> PairCorrespondences:
    """A pair from arrays as OANet stores them.

    xs (1, n, 4), ys (n, 1), ratios and mutuals (n,), Rs (3, 3), ts (3, 1). Raises DatasetError,
    which names `where` they come from, for other shapes.
    """
    count = np.shape(xs)[1] if np.ndim(xs) == 3 else -1
    named = {"xs": xs, "ys": ys, "ratios": ratios, "mutuals": mutuals, "Rs": Rs, "ts": ts}
    expected = ((1, count, 4), (count, 1), (count,), (count,), (3, 3), (3, 1))
    arrays = []
    for (name, value), shape in zip(named.items(), expected, strict=True):
        if np.shape(value) != shape or not np.issubdtype(np.asarray(value).dtype, np.number):
            raise DatasetError(
                f"{where}: {name} has shape {np.shape(value)}; expected numbers of shape {shape} "
                "as OANet's dump_match writes them; write the data set again"
            )
        arrays.append(np.asarray(value, np.float32))
    points, distances, ratio, mutual, rotation, direction = arrays
    return PairCorrespondences(points[0], distances[:, 0], ratio, mutual, rotation, direction[:, 0])
