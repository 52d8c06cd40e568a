"""Cells of a network whose errors are known: figures, pictures, page."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from relpose_ros.checkpoints.scene import CoordinateMap
from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.errors import DatasetError, ImageError
from relpose_ros.evaluation.cell_errors import cell_errors, rank_correlation
from relpose_ros.evaluation.plots.scene_cells import ColourScales, plot_calibration
from relpose_ros.evaluation.uncertainty import posed_images, show_uncertainty
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

CAMERA = Camera("plumb_bob", 120.0, 118.0, 81.0, 58.5, 160, 120, (-0.1, 0.02, 0.001, -0.001))
POSE = Rigid.from_rotation_vector([0.1, -0.4, 0.2], [3.0, -2.0, 1.0])
SHAPE = (15, 20)


def depth_of(height: int, width: int) -> np.ndarray:
    """A slanted wall, with a hole in it."""
    x = np.arange(width) / width
    depth = np.broadcast_to(2.0 + x, (height, width)).astype(np.float32).copy()
    depth[: height // 4, : width // 4] = 0
    return depth


def posed(name="a.png", split="query", **fields) -> PosedImage:
    pixels = np.random.default_rng(1).integers(0, 255, (120, 160), dtype=np.uint8)
    fields = {"load_depth": lambda: depth_of(120, 160), "map_from_camera": POSE, **fields}
    return PosedImage(name, CAMERA, split=split, load=lambda: pixels, **fields)


class Network:
    """The truth plus noise whose deviation it knows (`honest`), does not say (`silent`) or gets wrong way
    round (`wrong`)."""

    def __init__(self, kind="honest", size=0.1) -> None:
        self.kind, self.size, self.generator = kind, size, np.random.default_rng(3)

    def predict(self, image, camera):
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        pixels = 8.0 * np.stack([x.ravel(), y.ravel()], axis=1) + 4
        rays = camera.rays(pixels)
        depth = np.broadcast_to(2.0 + pixels[:, :1] / 160, (len(pixels), 1))
        true = POSE.apply(np.concatenate([rays, np.ones_like(depth)], axis=1) * depth)
        deviation = self.size * self.generator.uniform(0.05, 1.0, len(pixels))
        points = true + deviation[:, None] * self.generator.normal(size=true.shape)
        said = deviation if self.kind == "honest" else self.size * 1.05 - deviation
        covariances = None if self.kind == "silent" else said[:, None, None] ** 2 * np.eye(3)
        return CoordinateMap(points, covariances, rays, pixels, SHAPE, camera.focal)


def test_errors_are_those_of_the_known_depth():
    found = cell_errors(posed(), Network(size=0.0).predict(None, CAMERA))
    known = ~np.isnan(found.error)
    assert found.unit == "m" and 0.9 * 300 < known.sum() < 300  # the hole is unknown
    # The pixel of the cell and the one whose depth is read are the same here.
    assert np.nanmax(found.error) < 1e-6


def test_errors_are_distances_in_units_of_the_covariance():
    found = cell_errors(posed(), Network().predict(None, CAMERA))
    known = ~np.isnan(found.error)
    assert np.allclose(found.nees[known], (found.error / found.deviation)[known] ** 2)
    assert np.isnan(found.nees[~known]).all()


@pytest.mark.parametrize("scale", [1, 2])
def test_labels_of_any_size(scale):
    """Coordinates of half the image's size name the same places."""
    truth = Network(size=0.0).predict(None, CAMERA).points.reshape(*SHAPE, 3)
    labels = np.repeat(np.repeat(truth, scale, axis=0), scale, axis=1)
    image = posed(load_depth=None, load_coordinates=lambda: labels)
    found = cell_errors(image, Network(size=0.0).predict(None, CAMERA))
    assert found.unit == "m" and np.nanmax(found.error) < 1e-9 and not np.isnan(found.error).any()


def test_sparse_landmarks_are_not_taken_for_dense_labels():
    labels = np.full((*SHAPE, 3), np.nan)
    labels[3, 4] = 1.0
    found = cell_errors(
        posed(load_depth=None, load_coordinates=lambda: labels), Network().predict(None, CAMERA)
    )
    assert found.unit == "px"


def test_without_depth_the_reprojection_error_counts():
    cells = Network(size=0.0).predict(None, CAMERA)
    found = cell_errors(posed(load_depth=None), cells)
    assert found.unit == "px" and np.nanmax(found.error) < 1e-4
    sideways = replace(cells, points=cells.points + POSE.rotation[:, 0] * 0.1)
    error = cell_errors(posed(load_depth=None), sideways).error.reshape(SHAPE)
    assert np.allclose(error[7, 10], 120 * 0.1 / 2.525, rtol=0.05)  # a tenth of a metre at 2.5 m
    behind = replace(cells, points=np.broadcast_to(POSE.apply([[0, 0, -1.0]]), cells.points.shape))
    assert np.isinf(cell_errors(posed(load_depth=None), behind).error).all()


def test_an_image_without_a_pose_is_refused():
    with pytest.raises(DatasetError, match="expected an image with a pose"):
        cell_errors(posed(map_from_camera=None), Network().predict(None, CAMERA))


def test_rank_correlation_tells_who_knows():
    def correlation(kind):
        network = Network(kind)
        return rank_correlation([cell_errors(posed(), network.predict(None, CAMERA)) for _ in range(3)])

    assert correlation("honest") > 0.5
    assert correlation("wrong") < -0.5
    assert correlation("silent") is None


def test_files_and_figures(tmp_path):
    images = (posed("seq/a.png"), posed("seq/b.png", load_depth=None), posed("m.png", "map"))
    about = {"checkpoint": "x.safetensors"}
    summary = show_uncertainty(Network(), Source("wall", tmp_path, images), tmp_path / "out", about=about)
    assert json.loads((tmp_path / "out/summary.json").read_text()) == summary
    assert [row["image"] for row in summary["per_image"]] == ["seq/a.png", "seq/b.png"]  # the queries
    assert set(summary["all"]) == {"m", "px"}
    assert summary["all"]["m"]["spearman"] > 0.5
    assert 0.9 < summary["all"]["m"]["coverage_95"] <= 1.0
    assert summary["all"]["px"]["coverage_95"] is None
    for row in summary["per_image"]:
        picture = cv2.imread(str(tmp_path / "out" / row["picture"]))
        assert picture.shape[1] > 1000 and picture.std() > 10
    page = (tmp_path / "out/index.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and 'src="http' not in page
    assert "predicted deviation (m)" in page and "rank correlation" in page
    assert not list((tmp_path / "out").glob(".*"))


def test_a_network_that_says_nothing_of_its_errors(tmp_path):
    summary = show_uncertainty(Network("silent"), Source("wall", tmp_path, (posed(),)), tmp_path / "out")
    assert summary["all"]["m"]["spearman"] is None and summary["all"]["m"]["median_deviation_m"] is None
    assert "predicts no uncertainty" in (tmp_path / "out/index.html").read_text()


def test_a_network_that_says_nothing_finite(tmp_path):
    class Broken(Network):
        def predict(self, image, camera):
            cells = super().predict(image, camera)
            return replace(cells, points=np.full_like(cells.points, np.nan))

    summary = show_uncertainty(Broken(), Source("wall", tmp_path, (posed(),)), tmp_path / "out")
    assert summary["all"]["m"]["cells"] == 0 and summary["all"]["m"]["median_error"] is None
    assert len(list((tmp_path / "out").glob("*.png"))) == 1


def test_unreadable_images_are_left_out_with_the_reason(tmp_path):
    def broken():
        raise ImageError("b.png: not an image")

    images = (posed("a.png"), replace(posed("b.png"), load=broken))
    summary = show_uncertainty(Network(), Source("wall", tmp_path, images), tmp_path / "out")
    assert summary["left_out"] == {"b.png": "b.png: not an image"} and summary["images"] == 1
    with pytest.raises(DatasetError, match=r"none of 1 images.*not an image"):
        show_uncertainty(Network(), Source("wall", tmp_path, images[1:]), tmp_path / "out")


def test_images_are_those_with_a_pose():
    lost = posed("lost.png", map_from_camera=None)
    mapped = posed("m.png", "map")
    assert posed_images(Source("s", None, (lost, mapped))) == [mapped]
    with pytest.raises(DatasetError, match="expected images with a pose"):
        posed_images(Source("s", None, (lost,)))


def test_limit_spreads_over_the_images(tmp_path):
    images = tuple(posed(f"{n}.png") for n in range(9))
    summary = show_uncertainty(Network(), Source("wall", tmp_path, images), tmp_path / "out", limit=3)
    assert [row["image"] for row in summary["per_image"]] == ["0.png", "4.png", "8.png"]


def test_colours_are_the_same_in_all_pictures():
    errors = [cell_errors(posed(), Network(size=s).predict(None, CAMERA)) for s in (0.1, 0.2)]
    scales = ColourScales.of(errors)
    colours = scales.colours(np.array([scales.low, scales.high, [np.nan] * 3]), (1, 3))
    assert np.allclose(colours[0, 0], 0) and np.allclose(colours[0, 1], 1)
    assert 0.7 < colours[0, 2, 0] < 0.9  # grey
    low, high = scales.limits["m"]
    assert 0 < low < high / 9 and high < 1.0


def test_calibration_needs_cells_to_compare():
    errors = [cell_errors(posed(), Network("silent").predict(None, CAMERA))]
    assert plot_calibration(errors) is None
    (axes,) = plot_calibration([cell_errors(posed(), Network().predict(None, CAMERA))]).axes
    assert axes.get_xlabel() == "predicted deviation (m)" and axes.get_ylabel() == "error (m)"
