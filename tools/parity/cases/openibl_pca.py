"""OpenIBL: PCA of descriptors, its stored arrays, and the layer made of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.retrieval.pca import Pca
from tools.parity.case import Deviation, deviation, golden, load

Arrays = dict[str, NDArray[Any]]

FORWARD = 1e-4
GRAM = 2e-3
"""Tolerances of goldens/openibl/README.md. Axes may have either sign: ours get those of the stored ones."""


@golden("openibl", "PCA: primal, dual, all components", "pca.npz")
def principal_components() -> Iterator[Deviation]:
    ref = load("openibl", "pca.npz")
    for name, k in {"primal": 8, "dual": 8, "all_components": 12}.items():
        part = {key[len(name) + 1 :]: value for key, value in ref.items() if key.startswith(name)}
        fitted = Pca.fit(part["x"], k, compat=True)
        ours = fitted.to_published()
        signs = np.sign((ours["U"] * part["U"]).sum(axis=0))
        yield deviation(f"{name} U", ours["U"] * signs, part["U"], GRAM)
        yield deviation(f"{name} lams", ours["lams"], part["lams"], FORWARD, relative=True)
        yield deviation(f"{name} mu", ours["mu"], part["mu"], FORWARD, relative=True)
        yield deviation(f"{name} Utmu", ours["Utmu"] * signs[:, None], part["Utmu"], GRAM)
        yield from _applied(name, fitted, part, signs)
        right = Pca.fit(part["x"], k).apply(part["test"])
        yield deviation(f"{name} gram of the default", right @ right.T, part["white_gram"], GRAM)


def _applied(name: str, fitted: Pca, part: Arrays, signs: NDArray[Any]) -> Iterator[Deviation]:
    """Outputs and layers of a PCA; and of the published arrays as we read them, whose signs are theirs."""
    published = Pca.from_published(part)
    for kind, whiten in {"white": True, "nowhite": False}.items():
        out, (weight, bias) = fitted.apply(part["test"], whiten), fitted.layer(whiten)
        yield deviation(f"{name} {kind}_gram", out @ out.T, part[f"{kind}_gram"], GRAM)
        yield deviation(f"{name} {kind}_out", out * signs, part[f"{kind}_out"], GRAM)
        by_sign = weight * signs[:, None, None, None]
        yield deviation(f"{name} {kind}_weight", by_sign, part[f"{kind}_weight"], GRAM, relative=True)
        yield deviation(f"{name} {kind}_bias", bias * signs, part[f"{kind}_bias"], GRAM, relative=True)
        read = published.apply(part["test"], whiten)
        yield deviation(f"{name} {kind}_out, published", read, part[f"{kind}_out"], FORWARD)
