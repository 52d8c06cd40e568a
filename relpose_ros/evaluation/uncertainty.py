"""Does a scene-coordinate network know where it errs? Pictures of its cells, and rank correlations."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.errors import CameraError, DatasetError, ImageError
from relpose_ros.evaluation.cell_errors import CellErrors, Cells, Unit, cell_errors, rank_correlation
from relpose_ros.evaluation.evaluate import spaced
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.evaluation.metrics import median
from relpose_ros.evaluation.provenance import command_line
from relpose_ros.geometry.cameras import Camera
from relpose_ros.progress import Progress, silent, tracked

UNITS: tuple[Unit, ...] = ("m", "px")


class PredictsCells(Protocol):
    """Whatever gives an image's scene coordinates: `checkpoints.scene.ScenePredictor` does."""

    def predict(self, image: NDArray[np.uint8], camera: Camera) -> Cells:
        """Scene coordinates of a uint8 image, grey (H, W) or BGR (H, W, 3)."""
        ...


@dataclass(frozen=True)
class Examined:
    """The errors of each image, its picture, and the images that could not be used, with the reason."""

    errors: list[CellErrors]
    pictures: list[Path]
    left_out: dict[str, str]


def show_uncertainty(
    predictor: PredictsCells,
    source: Source,
    out: Path,
    *,
    limit: int | None = None,
    about: dict[str, Any] | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write a picture of each posed image, index.html and summary.json to the folder `out`.

    The images are the queries with a pose or, if there is none, all images with a pose; `limit`: at most so
    many, evenly spaced. `about` goes into the summary, which is returned. Raises DatasetError if no image has
    a pose or none can be read.
    """
    from relpose_ros.evaluation.page.uncertainty import write_page

    chosen = spaced(posed_images(source), limit)
    found, left_out = _predict(predictor, chosen, progress)
    if not found:
        name, why = next(iter(left_out.items()))
        raise DatasetError(f"{source.name}: none of {len(chosen)} images can be used; {name}: {why}")
    examined = Examined([errors for _, errors in found], _draw(found, out, progress), left_out)
    summary = summarize(examined, {"source": source.name, **(about or {})})
    write_text(out / "summary.json", json.dumps(summary, indent=1, allow_nan=False) + "\n")
    write_page(examined, summary, out / "index.html")
    return summary


def posed_images(source: Source) -> list[PosedImage]:
    """The queries with a pose or, if there is none, all images with one. Raises DatasetError if none has."""
    posed = [i for i in source.images if i.map_from_camera is not None]
    if not posed:
        raise DatasetError(
            f"{source.name}: expected images with a pose, got none among {len(source.images)}; errors are "
            "seen against the true pose only"
        )
    return [i for i in posed if i.split == "query"] or posed


def summarize(examined: Examined, about: dict[str, Any]) -> dict[str, Any]:
    """The figures of every image and, for each unit of error, over all of its images."""
    rows = [
        {"image": e.name, "picture": p.name, **figures([e])}
        for e, p in zip(examined.errors, examined.pictures, strict=True)
    ]
    of_unit = {unit: [e for e in examined.errors if e.unit == unit] for unit in UNITS}
    summary = {
        **about,
        "command": command_line(),
        "images": len(rows),
        "left_out": examined.left_out,
        "all": {unit: figures(errors) for unit, errors in of_unit.items() if errors},
        "per_image": rows,
    }
    return dict(plain(summary))


def figures(errors: Sequence[CellErrors]) -> dict[str, Any]:
    """What is said of cells whose errors have one unit; None where it cannot be said.

    `coverage_95`: share of cells whose true coordinate lies in the region said to hold it 95 % of the time.
    """
    error = np.concatenate([e.error[~np.isnan(e.error)] for e in errors])
    deviation = np.concatenate([e.deviation[np.isfinite(e.deviation)] for e in errors])
    nees = np.concatenate([e.nees[~np.isnan(e.nees)] for e in errors])
    return {
        "unit": errors[0].unit,
        "cells": len(error),
        "spearman": rank_correlation(list(errors)),
        "median_error": median(error),
        "median_deviation_m": median(deviation),
        "coverage_95": float(np.mean(nees < stats.chi2.ppf(0.95, 3))) if len(nees) else None,
    }


def _predict(
    predictor: PredictsCells, images: Sequence[PosedImage], progress: Progress
) -> tuple[list[tuple[PosedImage, CellErrors]], dict[str, str]]:
    found: list[tuple[PosedImage, CellErrors]] = []
    left_out: dict[str, str] = {}
    for image in tracked(images, progress, "predicting"):
        try:
            found.append((image, cell_errors(image, predictor.predict(image.load(), image.camera))))
        except (ImageError, CameraError, DatasetError) as error:
            left_out[image.name] = str(error)
    return found, left_out


def _draw(found: list[tuple[PosedImage, CellErrors]], out: Path, progress: Progress) -> list[Path]:
    """One PNG an image, all in the same colours."""
    from relpose_ros.evaluation.plots.scene_cells import ColourScales, save_picture

    scales = ColourScales.of([errors for _, errors in found])
    paths = []
    for number, (image, errors) in enumerate(tracked(found, progress, "drawing")):
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", str(Path(image.name).with_suffix("")))[-60:]
        paths.append(save_picture(image.load(), errors, scales, out / f"{number:04d}_{name}.png"))
    return paths
