"""Perspective three-point problem, for many minimal sets at once, in plain NumPy.

The distances of the three points from the camera are an intersection of two conics; a degenerate member of
their pencil is a pair of lines (Persson and Nordberg, "Lambda Twist", ECCV 2018; Ding et al., "Revisiting
the P3P Problem", CVPR 2023). Every step is a few array operations, so a thousand sets cost little more than
one. Degenerate sets end as NaN on the way, and NaN is not a solution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def solve_p3p(rays: Array, points: Array) -> tuple[Rigid, Indices]:
    """All poses that see three points along three rays.

    `rays` (N, 3, 2) on z = 1, `points` (N, 3, 3) in the scene frame. Returns the solutions of all sets in one
    row, `camera_from_scene` batched (M), and the set that each belongs to (M,), ascending: up to four a set,
    with all three points in front of the camera. Collinear or repeated points have none.
    """
    x, y = rays.transpose(2, 1, 0)
    centre = points.mean(axis=1)
    offsets = np.ascontiguousarray((points - centre[:, None]).transpose(2, 1, 0))
    with np.errstate(all="ignore"):
        bearings = np.stack([x, y, np.ones_like(x)]) / np.sqrt(x * x + y * y + 1)
        sides = offsets[:, (0, 0, 1)] - offsets[:, (1, 2, 2)]
        cosines = _inner(bearings[:, (0, 0, 1)], bearings[:, (1, 2, 2)])
        distances, which = _distances(cosines, _inner(sides, sides))
        local = distances * bearings[:, :, which]
        rotation = _turn(_triad(local), _triad(offsets)[:, :, which])
        middle = local.mean(axis=1)
    sane = np.isfinite(rotation).all(axis=(0, 1)) & np.isfinite(middle).all(axis=0)
    turn, which = rotation[:, :, sane].transpose(2, 0, 1), which[sane]
    shift = np.einsum("nij,nj->ni", turn, centre[which])
    return Rigid(turn, middle[:, sane].T - shift), which


def _inner(a: Array, b: Array) -> Array:
    """Inner products of vectors (3, ...) along the first axis."""
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _distances(cosines: Array, squares: Array) -> tuple[Array, Indices]:
    """Distances (3, M) of the points from the camera, all positive, and the set of each solution (M,).

    `cosines` (3, N) of the angles between the rays and `squares` (3, N) of the triangle's sides, for the
    pairs 12, 13 and 23. With x = d1 / d3 and y = d2 / d3 the cosine law for two pairs, each divided by that
    of pair 23, gives two conics in (x, y, 1).
    """
    size = squares.sum(axis=0)
    (c12, c13, c23), (s12, s13, s23) = cosines, squares / size
    zero = np.zeros_like(c12)
    first = _symmetric(s23, -s23 * c12, zero, s23 - s12, s12 * c23, -s12)
    second = _symmetric(s23, zero, -s23 * c13, -s13, s13 * c23, s23 - s13)
    lines, conic = _line_pair(first, second)
    x, y = _intersections(lines, conic)
    which, root = np.nonzero(((x > 0) & (y > 0)).T)
    x, y = x[root, which], y[root, which]
    d3 = np.sqrt(s23[which] / (y * (y - 2 * c23[which]) + 1))
    start = np.stack([x * d3, y * d3, d3])
    distances = _polish(start, cosines[:, which], squares[:, which] / size[which])
    positive = (distances > 0).all(axis=0)
    return distances[:, positive] * np.sqrt(size[which][positive]), which[positive]


def _symmetric(xx: Array, xy: Array, xz: Array, yy: Array, yz: Array, zz: Array) -> Array:
    """Symmetric matrices (3, 3, N) from their six entries (N,)."""
    return np.stack([np.stack([xx, xy, xz]), np.stack([xy, yy, yz]), np.stack([xz, yz, zz])])


def _line_pair(first: Array, second: Array) -> tuple[Array, Array]:
    """Two lines (3, 2, N) through all intersections of two conics (3, 3, N), and a conic to cut them with.

    A member P + g Q of the pencil with determinant zero is a pair of lines; P and Q are the conics in the
    order that keeps g small.
    """
    a, b = _adjugate(first), _adjugate(second)
    cubic = np.stack([_dot(first, a) / 3, _dot(second, a), _dot(first, b), _dot(second, b) / 3])
    swap = np.abs(cubic[3]) < np.abs(cubic[0])
    cubic = np.where(swap, cubic[::-1], cubic)
    p, q = np.where(swap, second, first), np.where(swap, first, second)
    root = _cubic_root(cubic[2] / cubic[3], cubic[1] / cubic[3], cubic[0] / cubic[3])
    pair = _split_lines(p + root * q)
    return pair, np.where(np.abs(root) < 1, q, p)


def _adjugate(m: Array) -> Array:
    """Adjugates (3, 3, N) of symmetric matrices (3, 3, N)."""
    return _symmetric(
        m[1, 1] * m[2, 2] - m[1, 2] ** 2,
        m[0, 2] * m[1, 2] - m[0, 1] * m[2, 2],
        m[0, 1] * m[1, 2] - m[0, 2] * m[1, 1],
        m[0, 0] * m[2, 2] - m[0, 2] ** 2,
        m[0, 1] * m[0, 2] - m[0, 0] * m[1, 2],
        m[0, 0] * m[1, 1] - m[0, 1] ** 2,
    )


def _dot(a: Array, b: Array) -> Array:
    """Sum of products of the entries of symmetric matrices (3, 3, N), (N,)."""
    diagonal = a[0, 0] * b[0, 0] + a[1, 1] * b[1, 1] + a[2, 2] * b[2, 2]
    across = a[0, 1] * b[0, 1] + a[0, 2] * b[0, 2] + a[1, 2] * b[1, 2]
    return np.asarray(diagonal + 2 * across)


def _cubic_root(a: Array, b: Array, c: Array) -> Array:
    """The real root (N,) of t^3 + a t^2 + b t + c that is furthest from the others, polished by Newton."""
    q, r = (a * a - 3 * b) / 9, (a * (2 * a * a - 9 * b) + 27 * c) / 54
    excess = r * r - q**3
    lone = np.cbrt(np.abs(r) + np.sqrt(np.maximum(excess, 0)))
    one_real = lone + q / lone
    ratio = np.minimum(np.abs(r) / np.sqrt(np.maximum(q, 0)) ** 3, 1)
    three_real = 2 * np.sqrt(np.maximum(q, 0)) * np.cos(np.arccos(ratio) / 3)
    t = -np.copysign(np.where(excess > 0, one_real, three_real), r) - a / 3
    for _ in range(2):
        step = (((t + a) * t + b) * t + c) / ((3 * t + 2 * a) * t + b)
        t = np.where(np.isfinite(step), t - step, t)
    return np.asarray(t)


def _split_lines(pair: Array) -> Array:
    """The two lines (3, 2, N) of degenerate conics (3, 3, N); NaN where they are complex.

    With D = g h^T + h g^T and p = g x h: adj(D) = -p p^T, and D + [p]x = 2 h g^T (Richter-Gebert,
    Perspectives on Projective Geometry, 11.1).
    """
    adjugate = _adjugate(pair)
    columns = np.arange(pair.shape[2])
    widest = np.argmin(adjugate[(0, 1, 2), (0, 1, 2)], axis=0)
    p = adjugate[:, widest, columns] / np.sqrt(-adjugate[widest, widest, columns])
    product = pair.copy()
    product[0, 1] -= p[2]
    product[1, 0] += p[2]
    product[0, 2] += p[1]
    product[2, 0] -= p[1]
    product[1, 2] -= p[0]
    product[2, 1] += p[0]
    largest = np.argmax(np.abs(product.reshape(9, -1)), axis=0)
    row, column = largest // 3, largest % 3
    return np.stack([product[row, :, columns].T, product[:, column, columns]], axis=1)


def _intersections(lines: Array, conic: Array) -> tuple[Array, Array]:
    """Where lines (3, 2, N) meet conics (3, 3, N): x and y, (4, N); NaN where they do not."""
    a, b, c = lines
    norm = a * a + b * b
    zero = np.zeros_like(a)
    along, foot = np.stack([b, -a, zero]), np.stack([-a * c, -b * c, norm])
    image = conic[:, 0, None] * along[0] + conic[:, 1, None] * along[1]
    quadratic, linear = _inner(along, image), _inner(foot, image)
    constant = _inner(foot, _inner(foot[:, None], conic[:, :, None]))
    # The larger root by addition, the other by their product: no cancellation.
    larger = -(linear + np.copysign(np.sqrt(linear**2 - quadratic * constant), linear))
    steps = np.stack([larger / quadratic, constant / larger])
    x, y = (foot[:2, None] + steps * along[:2, None]) / norm
    return x.reshape(4, -1), y.reshape(4, -1)


def _polish(distances: Array, cosines: Array, squares: Array) -> Array:
    """Newton steps on the cosine law of the three pairs: distances (3, M) to full precision."""
    c12, c13, c23 = cosines
    for _ in range(2):
        d1, d2, d3 = distances
        r12 = d1 * (d1 - 2 * c12 * d2) + d2 * d2 - squares[0]
        r13 = d1 * (d1 - 2 * c13 * d3) + d3 * d3 - squares[1]
        r23 = d2 * (d2 - 2 * c23 * d3) + d3 * d3 - squares[2]
        j12, j21 = d1 - c12 * d2, d2 - c12 * d1
        j13, j31 = d1 - c13 * d3, d3 - c13 * d1
        j23, j32 = d2 - c23 * d3, d3 - c23 * d2
        scale = -0.5 / (j12 * j23 * j31 + j21 * j13 * j32)
        step = np.stack(
            [
                j23 * j31 * r12 + j21 * j32 * r13 - j21 * j31 * r23,
                j13 * j32 * r12 - j12 * j32 * r13 + j12 * j31 * r23,
                -j13 * j23 * r12 + j12 * j23 * r13 + j21 * j13 * r23,
            ]
        )
        moved = distances + scale * step
        distances = np.where(np.isfinite(moved), moved, distances)
    return distances


def _triad(points: Array) -> Array:
    """Right-handed frames (axis, component, M) that move with three points (component, 3, M)."""
    along = points[:, 1] - points[:, 0]
    normal = _cross(along, points[:, 2] - points[:, 0])
    along = along / np.sqrt(_inner(along, along))
    normal = normal / np.sqrt(_inner(normal, normal))
    return np.stack([along, _cross(normal, along), normal])


def _turn(target: Array, source: Array) -> Array:
    """Rotations (3, 3, M) that take one frame (axis, component, M) to another."""
    return _inner(target[:, :, None], source[:, None])


def _cross(a: Array, b: Array) -> Array:
    """Cross products of vectors (3, M)."""
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
