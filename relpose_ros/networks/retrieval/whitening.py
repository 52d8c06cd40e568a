"""A PCA of descriptors as the layer that ends EmbedNetPca."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Values = TypeVar("Values", "Tensor", "NDArray[np.float32]")


def whitening_layer(axes: Values, variances: Values, mean: Values) -> tuple[Values, Values]:
    """Weight (k, D, 1, 1) and bias (k,) of the 1x1 convolution that whitens, as tensors or NumPy arrays.

    It subtracts the `mean` (D,) or (D, 1), projects on the `axes` (D, k) and divides by the root of the
    `variances` (k,) along them. Variances of 1 leave the division out.
    """
    matrix = axes / variances.reshape(-1) ** 0.5
    return matrix.T[:, :, None, None], -(mean.reshape(-1) @ matrix)
