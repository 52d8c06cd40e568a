"""Essential matrices by the weighted eight-point method, differentiable in the weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from relpose_ros.networks.one_to_one.epipolar import homogeneous

Method = Literal["eigh", "squaring"]

WEIGHT_FLOOR = 1e-9
"""A `floor` far below the noise of inliers (some 1e-6 each), and enough to make E unique without them."""

SQUARINGS = 48
"""2^48 powers separate eigenvalues that differ by 1e-13 of the trace: about as fine as float64 can."""

DAMPING = 1e-10
"""Added to eigenvalue gaps (shares of the trace) in the gradient, so that it stays finite at equal ones."""


def inlier_weights(logits: Tensor) -> Tensor:
    """relu(tanh(logit)) (B, N): 0 for what is called an outlier (Yi et al., CVPR 2018, eq. 3)."""
    return torch.relu(torch.tanh(logits))


def weighted_eight_point(
    correspondences: Tensor, weights: Tensor, method: Method | None = None, floor: float = 0.0
) -> Tensor:
    """E (B, 3, 3), Frobenius norm 1, sign arbitrary, minimising sum_i w_i (x2_i' E x1_i)^2.

    `correspondences` (B, N, 4 or more): x1, y1, x2, y2 on the plane z = 1; `weights` (B, N), not negative.
    As published (Yi et al., CVPR 2018, sec. 3.3): the points are not normalised and the rank is not made 2.
    `floor` is added to every weight: with 0, and fewer than eight positive weights, E is arbitrary.
    `method`: see `smallest_eigenvector`. Computed in float64 (float32 costs the
    gradient three digits), returned as `correspondences.dtype`.
    """
    with torch.autocast(correspondences.device.type, enabled=False):
        pairs = correspondences[..., :4].double().unflatten(-1, (2, 2))
        first, second = homogeneous(pairs).unbind(dim=-2)
        rows = (second.unsqueeze(-1) * first.unsqueeze(-2)).flatten(-2)  # (B, N, 9), E row by row
        matrix = rows.mT @ (rows * (weights.double() + floor).unsqueeze(-1))
        essential: Tensor = smallest_eigenvector(matrix, method).unflatten(-1, (3, 3))
        return essential.to(correspondences.dtype)


def smallest_eigenvector(matrix: Tensor, method: Method | None = None) -> Tensor:
    """Unit eigenvectors (B, n) of the smallest eigenvalues of positive semi-definite `matrix` (B, n, n).

    `method`: "eigh", or "squaring": a fixed number of matrix products, for ONNX and XLA, which have no
    eigh; None takes the one that fits. The gradient is v0' = -(A - l0)^+ A' v0 (Magnus 1985, theorem 1)
    with damped gaps: finite also where eigenvalues meet. It can be taken once, not twice.
    """
    method = method or _fitting_method(matrix)
    trace = _trace(matrix.detach())
    matrix = matrix / torch.where(trace > 0, trace, torch.ones_like(trace))
    differentiate = torch.is_grad_enabled() and matrix.requires_grad
    with torch.no_grad():
        solve = _by_eigh if method == "eigh" else _by_squaring
        vector, inverse = solve(matrix, differentiate)
    if inverse is None:
        return vector
    # The product is zero; its derivative is that of the eigenvector.
    step = (inverse @ (matrix @ vector.unsqueeze(-1))).squeeze(-1)
    return vector - (step - step.detach())


def _trace(matrix: Tensor) -> Tensor:
    """(B, 1, 1)."""
    return matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]


def _fitting_method(matrix: Tensor) -> Method:
    exporting = torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting()
    return "squaring" if exporting or matrix.device.type == "xla" else "eigh"


def _by_eigh(matrix: Tensor, with_inverse: bool) -> tuple[Tensor, Tensor | None]:
    """v0 (B, n) and the damped pseudo-inverse (B, n, n) of A - l0."""
    values, vectors = torch.linalg.eigh(matrix)
    if not with_inverse:
        return vectors[..., 0], None
    others = vectors[..., 1:]
    gaps = values[..., 1:] - values[..., :1] + DAMPING
    return vectors[..., 0], (others / gaps.unsqueeze(-2)) @ others.mT


def _by_squaring(matrix: Tensor, with_inverse: bool) -> tuple[Tensor, Tensor | None]:
    """As `_by_eigh`, by matrix products alone. `matrix` has trace 1 (or is zero).

    (1 - A)^(2^k) / trace tends to v0 v0'; with T = (1 - A) / (1 - l0) - v0 v0', damped, the Neumann series
    (1 - T)^-1 = (1 + T)(1 + T^2)(1 + T^4)... gives (1 - l0) (A - l0)^+ + v0 v0'.
    """
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    power = identity - matrix
    for _ in range(SQUARINGS):
        power = power @ power
        power = power / _trace(power)
    longest = power.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    column = power.gather(-1, longest[..., None, None].expand(*power.shape[:-1], 1))
    vector = column / torch.linalg.vector_norm(column, dim=-2, keepdim=True)
    if not with_inverse:
        return vector.squeeze(-1), None
    projection = vector @ vector.mT
    largest = 1 - vector.mT @ matrix @ vector
    factor = (1 - DAMPING) * ((identity - matrix) / largest - projection)
    series = identity + factor
    for _ in range(SQUARINGS):
        factor = factor @ factor
        series = series + series @ factor
    return vector.squeeze(-1), (series - projection) / largest
