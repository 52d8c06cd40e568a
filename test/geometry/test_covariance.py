"""Pose covariance: published formulas to the digit, and what it promises by Monte Carlo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import (
    block_sandwich,
    checked_covariance,
    clustered_covariance,
    ellipse_axes,
    image_blocks,
    nees,
    normal_matrix,
    residual_covariance,
    residual_variance,
    rotate_covariance,
    safe_inverse,
    transform_pose_covariance,
)
from relpose_ros.geometry.refinement import (
    Correspondences,
    Linearization,
    linearize,
    project,
    refine_pose,
    reprojection_jacobian,
)
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
CHI2_6_95 = 12.592


class Golden:
    """goldens/derived/pose_covariance in our terms.

    There the pose is camera_from_map, moved on the left by exp(omega) and v in camera axes, order
    [omega, v]. With ours (centre moved by d, turned by theta about the map's axes) to first
    order: omega = -R theta, v = -R d.
    """

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "derived" / "pose_covariance.npz") as data:
            self.data = dict(data)
        self.focal = float(self.data["focal"])
        self.points = self.data["scene_coords"]
        self.rays = (self.data["pixels"] - [self.data["cx"], self.data["cy"]]) / self.focal
        self.pose = Rigid(self.data["R_ls"], self.data["t_ls"]).inverse()
        by_twist, self.by_point = reprojection_jacobian(self.pose, self.points, self.focal)
        residual = (project(self.pose, self.points)[0] - self.rays) * self.focal
        self.line = Linearization(by_twist, residual)

    def change(self, rotation: str = "R_ls") -> Array:
        """Our twist -> theirs (6, 6)."""
        matrix = np.zeros((6, 6))
        matrix[:3, 3:] = matrix[3:, :3] = -self.data[rotation]
        return matrix

    def seen(self, scale: float) -> Correspondences:
        covariances = scale * self.data["sigma_point"][:, None, None] ** 2 * np.eye(3)
        return Correspondences(self.rays, self.points, covariances, self.focal)


@pytest.fixture(scope="module")
def golden(goldens: Path) -> Golden:
    return Golden(goldens)


def assert_close(got: Array, expected: Array, relative: float) -> None:
    np.testing.assert_allclose(got, expected, atol=relative * np.abs(expected).max(), rtol=0)


def test_jacobians_match_the_golden(golden: Golden) -> None:
    back = np.linalg.inv(golden.change())
    assert_close(golden.line.jacobian @ back, golden.data["jacobian"], 1e-12)
    assert_close(golden.by_point, golden.data["jac_point"], 1e-12)


def test_normal_matrix_and_noise_match_the_golden(golden: Golden) -> None:
    back = np.linalg.inv(golden.change())
    assert_close(back.T @ normal_matrix(golden.line) @ back, golden.data["JtJ"], 1e-12)
    assert residual_variance(golden.line) == pytest.approx(float(golden.data["sigma2_hat"]), rel=1e-9)


def test_residual_covariance_matches_the_golden(golden: Golden) -> None:
    change, ours = golden.change(), residual_covariance(golden.line)
    assert_close(change @ ours @ change.T, golden.data["cov_pixel"], 1e-9)
    assert_close(ours[:3, :3], golden.data["center_cov_pixel"], 1e-9)


def test_sandwich_of_known_noise_matches_the_golden(golden: Golden) -> None:
    """There is no function for it in the house: its parts (bread, point Jacobian) are ours."""
    noise = golden.data["sigma_point"][:, None, None] ** 2 * (
        golden.by_point @ np.swapaxes(golden.by_point, 1, 2)
    )
    jacobian = golden.line.jacobian
    meat = np.einsum("nri,nrs,nsj->ij", jacobian, noise, jacobian)
    bread, change = safe_inverse(normal_matrix(golden.line)), golden.change()
    assert_close(change @ bread @ meat @ bread @ change.T, golden.data["cov_sandwich_known_sigma"], 1e-9)


def test_block_sandwich_matches_the_golden(golden: Golden) -> None:
    height, width = golden.data["hw"]
    row, column = np.divmod(np.arange(height * width), width)
    blocks = row // 4 * (width // 4) + column // 4  # 4 x 4 cells a block
    change, ours = golden.change(), block_sandwich(golden.line, blocks)
    assert_close(change @ ours @ change.T, golden.data["cov_sandwich_block4"], 1e-9)


def test_generalised_least_squares_matches_the_golden(golden: Golden) -> None:
    """Our noise is points plus one pixel; points a billion times noisier leave the pixel no say."""
    scale = 1e9
    expected = Rigid(golden.data["R_gls"], golden.data["t_gls"]).inverse()
    pose, line, weight = refine_pose(golden.pose, golden.seen(scale), robust=1e12, iterations=30)
    assert np.abs(expected.error_to(pose)).max() < 1e-7
    np.testing.assert_allclose(weight, 1)
    change = golden.change("R_gls")
    ours = np.linalg.inv(normal_matrix(line)) / scale
    assert_close(change @ ours @ change.T, golden.data["cov_gls"], 1e-5)


def test_least_squares_stays_at_the_golden_optimum(golden: Golden) -> None:
    pose, _, _ = refine_pose(golden.pose, golden.seen(0.0), robust=1e12, iterations=10)
    assert np.abs(golden.pose.error_to(pose)).max() < 1e-9


def test_jacobians_agree_with_finite_differences(golden: Golden) -> None:
    by_twist, by_point = reprojection_jacobian(golden.pose, golden.points, golden.focal)
    step = 1e-6
    for i, move in enumerate(step * np.eye(6)):
        there, back = (project(golden.pose.perturbed(s * move), golden.points)[0] for s in (1, -1))
        assert_close((there - back) * golden.focal / (2 * step), by_twist[:, :, i], 1e-6)
    for i, move in enumerate(step * np.eye(3)):
        there, back = (project(golden.pose, golden.points + s * move)[0] for s in (1, -1))
        assert_close((there - back) * golden.focal / (2 * step), by_point[:, :, i], 1e-6)


class View:
    """A camera in front of points 3 to 8 m away, seen with noise of our choosing."""

    def __init__(self, count: int, seed: int, focal: float = 500.0) -> None:
        self.generator = np.random.default_rng(seed)
        self.focal = focal
        self.truth = Rigid.from_rotation_vector(self.generator.normal(size=3), self.generator.normal(size=3))
        rays = self.generator.uniform([-0.6, -0.45], [0.6, 0.45], (count, 2))
        depth = self.generator.uniform(3, 8, (count, 1))
        self.points = self.truth.apply(np.concatenate([rays, np.ones((count, 1))], axis=1) * depth)
        self.rays = rays
        self.blocks = image_blocks(rays)

    def solve(self, noise_px: Array) -> tuple[Array, Linearization]:
        """Error twist of the estimate (truth minus estimate), and the linearization there."""
        count = len(self.points)
        rays = self.rays + noise_px / self.focal
        seen = Correspondences(rays, self.points, np.zeros((count, 3, 3)), self.focal)
        pose, line, _ = refine_pose(self.truth, seen, robust=1e9, iterations=10)
        return pose.error_to(self.truth), line


def test_white_noise_gives_honest_nees() -> None:
    values = []
    for trial in range(250):
        view = View(80, trial)
        error, line = view.solve(view.generator.normal(0, 1.5, (80, 2)))
        values.append(nees(error, residual_covariance(line)))
    assert 5.2 < np.mean(values) < 7.2  # 6 degrees of freedom; 154 of residual: F, mean 6.08
    assert 0.91 < np.mean(np.array(values) < CHI2_6_95) < 0.985


def test_clustered_noise_breaks_the_textbook_and_not_the_clustered_covariance() -> None:
    """Errors shared within each cell of the image (a depth edge, a moving object, a bad landmark cluster)."""
    textbook, clustered = [], []
    for trial in range(250):
        view = View(160, trial)
        shared = view.generator.normal(0, 1.5, (16, 2))[view.blocks]
        error, line = view.solve(shared + view.generator.normal(0, 0.3, (160, 2)))
        textbook.append(nees(error, residual_covariance(line)))
        clustered.append(nees(error, clustered_covariance(line, view.blocks)))
    assert np.mean(textbook) > 30  # over-confident several times in every direction
    assert np.mean(np.array(textbook) < CHI2_6_95) < 0.2
    assert np.mean(clustered) < 12  # 8.1 when this was written; 17 for the bare block sandwich
    assert np.mean(np.array(clustered) < CHI2_6_95) > 0.75


def test_clustered_covariance_hardly_punishes_white_noise() -> None:
    ratios = []
    for trial in range(100):
        view = View(160, trial)
        _, line = view.solve(view.generator.normal(0, 1.5, (160, 2)))
        plain = residual_covariance(line)
        ratios.append(np.trace(clustered_covariance(line, view.blocks)) / np.trace(plain))
    assert np.min(ratios) >= 1.0 and np.median(ratios) < 1.6


def test_every_point_its_own_block_is_the_white_estimate() -> None:
    """White (1980): with independent errors the sandwich agrees with the textbook for many points."""
    view = View(4000, 3)
    _, line = view.solve(view.generator.normal(0, 1.5, (4000, 2)))
    ratio = np.linalg.solve(residual_covariance(line), block_sandwich(line, np.arange(4000)))
    np.testing.assert_allclose(np.linalg.eigvals(ratio).real, 1, atol=0.2)


def test_weights_count_like_repeated_observations() -> None:
    view = View(40, 5)
    _, line = view.solve(view.generator.normal(0, 1, (40, 2)))
    twice = Linearization(np.repeat(line.jacobian, 2, axis=0), np.repeat(line.residual, 2, axis=0))
    np.testing.assert_allclose(normal_matrix(line, np.full(40, 2.0)), normal_matrix(twice))
    assert residual_variance(line, np.full(40, 2.0)) == pytest.approx(residual_variance(twice))
    blocks = np.arange(40) // 5
    np.testing.assert_allclose(
        block_sandwich(line, blocks, np.full(40, 2.0)), block_sandwich(twice, np.repeat(blocks, 2))
    )


def test_few_blocks_fall_back_to_the_residual_covariance() -> None:
    view = View(40, 6)
    _, line = view.solve(view.generator.normal(0, 1, (40, 2)))
    np.testing.assert_array_equal(
        clustered_covariance(line, np.zeros(40, np.int64)), residual_covariance(line)
    )


def test_uncertain_points_widen_the_covariance_as_they_should() -> None:
    """Noise in the map points, known and whitened with: NEES of the Mahalanobis solution stays honest."""
    values = []
    for trial in range(200):
        view = View(100, trial)
        sigma = view.generator.uniform(0.002, 0.03, 100)
        moved = view.points + sigma[:, None] * view.generator.normal(size=(100, 3))
        rays = view.rays + view.generator.normal(0, 1.0, (100, 2)) / view.focal
        seen = Correspondences(rays, moved, sigma[:, None, None] ** 2 * np.eye(3), view.focal)
        pose, line, _ = refine_pose(view.truth, seen, robust=1e9, iterations=10)
        assert residual_variance(line) == pytest.approx(1, abs=0.4)
        values.append(nees(pose.error_to(view.truth), safe_inverse(normal_matrix(line))))
    assert 5.0 < np.mean(values) < 7.5


def random_covariance(seed: int, scale: float) -> Array:
    root = np.random.default_rng(seed).normal(size=(6, 6))
    return scale**2 * root @ root.T


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_camera_to_base_by_monte_carlo(seed: int) -> None:
    """The camera's covariance moved through the adjoint is that of the base poses it implies."""
    generator = np.random.default_rng(seed)
    map_from_camera = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
    camera_from_base = Rigid.from_rotation_vector(generator.normal(size=3), [0.4, -1.1, -2.0])
    covariance = random_covariance(seed, 1e-3)
    twists = generator.multivariate_normal(np.zeros(6), covariance, 40_000)
    bases = map_from_camera.perturbed(twists) @ camera_from_base
    sampled = np.cov((map_from_camera @ camera_from_base).error_to(bases).T)
    moved = transform_pose_covariance(covariance, map_from_camera, camera_from_base)
    scale = np.sqrt(np.outer(np.diag(moved), np.diag(moved)))
    np.testing.assert_allclose(sampled / scale, moved / scale, atol=0.03)
    assert np.abs(covariance / scale - moved / scale).max() > 0.2, "the lever arm must have mattered"


def test_camera_to_base_and_back_changes_nothing() -> None:
    generator = np.random.default_rng(4)
    map_from_camera = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
    mount = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
    covariance = random_covariance(1, 0.1)
    there = transform_pose_covariance(covariance, map_from_camera, mount)
    back = transform_pose_covariance(there, map_from_camera @ mount, mount.inverse())
    np.testing.assert_allclose(back, covariance, atol=1e-12)
    assert np.linalg.det(there) == pytest.approx(np.linalg.det(covariance))


def test_another_map_frame_turns_the_covariance() -> None:
    generator = np.random.default_rng(2)
    world_from_map = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
    pose = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
    covariance = random_covariance(3, 1e-3)
    twists = generator.multivariate_normal(np.zeros(6), covariance, 40_000)
    sampled = np.cov((world_from_map @ pose).error_to(world_from_map @ pose.perturbed(twists)).T)
    turned = rotate_covariance(covariance, world_from_map)
    scale = np.sqrt(np.outer(np.diag(turned), np.diag(turned)))
    np.testing.assert_allclose(sampled / scale, turned / scale, atol=0.03)


def test_nees_is_the_mahalanobis_distance() -> None:
    covariance, error = random_covariance(0, 0.3), np.arange(6.0)
    assert nees(error, covariance) == pytest.approx(error @ np.linalg.solve(covariance, error))
    assert nees(error, np.zeros((6, 6))) == np.inf
    assert nees(error, -np.eye(6)) == np.inf


def test_safe_inverse_is_the_inverse_and_finite_when_there_is_none() -> None:
    normal = random_covariance(5, 30.0)
    np.testing.assert_allclose(safe_inverse(normal) @ normal, np.eye(6), atol=1e-8)
    for rank in range(6):
        rows = np.random.default_rng(rank).normal(size=(rank, 6))
        inverse = safe_inverse(rows.T @ rows)
        assert np.isfinite(inverse).all()
        assert np.linalg.eigvalsh(inverse).max() > 1e6, "an unobserved direction must be very uncertain"


def test_image_blocks_cover_the_grid_and_survive_one_point() -> None:
    x, y = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40))
    blocks = image_blocks(np.stack([x.ravel(), y.ravel()], axis=1))
    assert sorted(set(blocks.tolist())) == list(range(16))
    assert image_blocks(np.zeros((1, 2))).tolist() == [0]
    assert set(image_blocks(np.zeros((5, 2))).tolist()) == {0}


def test_linearize_whitens_to_unit_noise() -> None:
    generator = np.random.default_rng(0)
    view = View(1, 1)
    covariance = np.diag([0.01, 0.02, 0.03]) ** 2
    points = view.points + generator.multivariate_normal(np.zeros(3), covariance, 20_000)
    rays = view.rays + generator.normal(0, 1, (20_000, 2)) / view.focal
    seen = Correspondences(rays, points, np.tile(covariance, (20_000, 1, 1)), view.focal)
    np.testing.assert_allclose(np.cov(linearize(view.truth, seen).residual.T), np.eye(2), atol=0.04)


def test_the_ellipse_holds_what_it_says_by_monte_carlo():
    covariance = np.array([[0.04, 0.03], [0.03, 0.09]])
    points = np.random.default_rng(3).multivariate_normal(np.zeros(2), covariance, 100_000)
    directions = np.linalg.eigh(covariance)[1][:, ::-1]
    for probability in (0.5, 0.95):
        longer, shorter = ellipse_axes(covariance, probability)
        assert longer > shorter > 0
        inside = np.sum((points @ directions / [longer, shorter]) ** 2, axis=1) <= 1
        assert abs(inside.mean() - probability) < 0.005
    assert np.allclose(ellipse_axes(np.diag([1.0, 4.0])), [4.8955, 2.4477], atol=1e-3)


def test_a_covariance_is_made_symmetric_whatever_its_units():
    scale = np.diag(np.repeat([1e3, 1e-6], 3))
    covariance = scale @ (0.5 * np.eye(6) + 0.5) @ scale
    covariance[0, 1] *= 1 + 1e-9
    made = checked_covariance(covariance)
    assert np.array_equal(made, made.T) and np.allclose(made, covariance, rtol=1e-8, atol=0)


@pytest.mark.parametrize(
    "wrong",
    [
        np.eye(5),
        np.full((6, 6), np.nan),
        np.diag([1, 1, 1, 1, 1, 0.0]),
        2 - np.eye(6),
        np.triu(np.ones((6, 6))),
    ],
)
def test_what_is_no_covariance_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        checked_covariance(wrong)
