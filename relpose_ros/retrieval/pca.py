"""PCA with whitening of global descriptors, fitted with fewer vectors than dimensions if need be.

Jegou and Chum: Negative evidences and co-occurrences in image retrieval, ECCV 2012.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.whitening import whitening_layer
from relpose_ros.retrieval.principal_axes import principal_axes

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pca:
    """Principal axes of descriptors of dimension D.

    `axes` (D, k): orthonormal columns, that of the largest variance first; `variances` (k,) along them;
    `mean` (D,). All float32.
    """

    axes: Floats
    variances: Floats
    mean: Floats

    @property
    def dimension(self) -> int:
        """Size k of what `apply` gives."""
        return int(self.axes.shape[1])

    @classmethod
    def fit(cls, vectors: ArrayLike, dimension: int, compat: bool = False) -> Self:
        """The `dimension` axes of largest variance of vectors (N, D), N > `dimension`.

        `compat` keeps two habits of OpenIBL: the order is ascending if as many axes as possible are
        asked for, and axes along which the vectors have no spread are returned, which whitening blows
        up. Raises ConfigurationError if the vectors are not finite or spread along fewer axes.
        """
        x = _checked(vectors, dimension, compat)
        axes, variances, mean = principal_axes(x, dimension, refuse_flat=not compat)
        if compat and dimension == min(x.shape):
            axes, variances = axes[:, ::-1], variances[::-1]
        return cls(_floats(axes), _floats(variances), _floats(mean))

    def apply(self, vectors: ArrayLike, whiten: bool = True) -> Floats:
        """Vectors (N, D) -> (N, k), norm 1; with `whiten` every axis is divided by its deviation first."""
        values = np.asarray(vectors, np.float32)
        if values.ndim != 2 or values.shape[1] != len(self.mean):
            raise ConfigurationError(
                f"expected vectors (N, {len(self.mean)}), got {values.shape}; "
                "use the network that the PCA was fitted with"
            )
        weight, bias = self.layer(whiten)
        reduced = values @ weight[:, :, 0, 0].T + bias
        norms = np.linalg.norm(reduced, axis=1, keepdims=True)
        return _floats(reduced / np.maximum(norms, 1e-12))

    def layer(self, whiten: bool = True) -> tuple[Floats, Floats]:
        """Weight (k, D, 1, 1) and bias (k,) of the 1x1 convolution that does the same, for EmbedNetPca."""
        variances = self.variances if whiten else np.ones_like(self.variances)
        weight, bias = whitening_layer(self.axes, variances, self.mean)
        return _floats(weight), _floats(bias)

    def to_published(self) -> dict[str, Floats]:
        """The arrays of OpenIBL's pca_params_*.h5: U (D, k), lams (k,), mu (D, 1) and Utmu (k, 1)."""
        projected = _floats(self.mean @ self.axes)
        return {"U": self.axes, "lams": self.variances, "mu": self.mean[:, None], "Utmu": projected[:, None]}

    @classmethod
    def from_published(cls, arrays: Mapping[str, Any]) -> Self:
        """From such arrays; Utmu is not needed. Raises ConfigurationError if they do not fit together."""
        missing = [name for name in ("U", "lams", "mu") if name not in arrays]
        if missing:
            raise ConfigurationError(f"expected the arrays U, lams and mu, got no {', '.join(missing)}")
        axes, variances, mean = (np.asarray(arrays[name], np.float32) for name in ("U", "lams", "mu"))
        if axes.ndim != 2 or axes.shape != (mean.size, variances.size) or not np.all(variances > 0):
            raise ConfigurationError(
                f"expected U (D, k), lams (k) above 0 and mu (D), got {axes.shape}, {variances.shape} and "
                f"{mean.shape}; is this the PCA file of OpenIBL?"
            )
        return cls(axes, variances.ravel(), mean.ravel())


def _checked(vectors: ArrayLike, dimension: int, compat: bool) -> Floats:
    x = np.asarray(vectors, np.float32)
    if x.ndim != 2 or not np.all(np.isfinite(x)):
        raise ConfigurationError(
            f"expected finite vectors (N, D), got shape {x.shape}; look for broken images"
        )
    # Less their mean, N vectors spread along N - 1 axes at most.
    needed = max(dimension if compat else dimension + 1, 2)
    if not 1 <= dimension <= x.shape[1] or len(x) < needed:
        raise ConfigurationError(
            f"expected {needed} vectors of {dimension} values, or more, for {dimension} axes, got {x.shape}; "
            "give more images, or ask for fewer dimensions"
        )
    return x


def _floats(values: ArrayLike) -> Floats:
    return np.ascontiguousarray(values, np.float32)
