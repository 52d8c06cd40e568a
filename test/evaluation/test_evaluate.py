"""The whole run: a localizer over a source, and the four files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.errors import ImageError
from relpose_ros.evaluation.evaluate import MapFacts, evaluate, spaced
from relpose_ros.evaluation.trajectories import read_tum
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Frame, Localization, State

CAMERA = Camera("pinhole", 50, 50, 15.5, 11.5, 32, 24)


def image(index: int, split: str = "query", **changed) -> PosedImage:
    pose = Rigid(np.eye(3), np.array([float(index), 0, 0]))
    fields = {"load": lambda: np.full((24, 32), index, np.uint8), "stamp": float(index)}
    return PosedImage(f"{index}.png", CAMERA, pose, split, **{**fields, **changed})  # type: ignore[arg-type]


class OneCentimetreOff:
    """Knows the place from the grey value; says nothing for the darkest image."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def localize(self, frame: Frame) -> Localization:
        self.seen.append(frame.source)
        index = int(frame.image[0, 0])
        if index == 0:
            return Localization(State.UNLOCALIZED, "too dark", latency_ms={"total": 1.0})
        pose = Rigid(np.eye(3), np.array([index + 0.01, 0, 0]))
        covariance = np.eye(6) * 1e-4
        return Localization(State.LOCALIZED, "", pose, covariance, 0.9, latency_ms={"total": 2.0})


def source(*images: PosedImage) -> Source:
    return Source("grey", Path("."), images)


def test_a_run_writes_four_files_and_returns_what_it_wrote(tmp_path: Path):
    steps: list[tuple[int, int]] = []
    facts = MapFacts({"name": "m"}, Rigid.stack([Rigid.identity()]), np.zeros((3, 3)))
    scene = source(image(9, "map"), *(image(i) for i in range(4)))
    localizer = OneCentimetreOff()
    results = evaluate(
        localizer,
        scene,
        tmp_path / "out",
        map_facts=facts,
        progress=lambda done, total: steps.append((done, total)),
        command="relpose evaluate",
    )
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["estimate.tum", "ground_truth.tum", "report.html", "results.json"]
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results
    assert localizer.seen == ["0.png", "1.png", "2.png", "3.png"]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert results["availability"] == 0.75
    assert results["median_translation_m"] == pytest.approx(0.01)
    assert results["command"] == "relpose evaluate" and results["source"] == "grey"
    assert read_tum(tmp_path / "out" / "estimate.tum")[0].tolist() == [1, 2, 3]
    assert read_tum(tmp_path / "out" / "ground_truth.tum")[0].tolist() == [0, 1, 2, 3]


def test_an_unreadable_image_is_unlocalized_and_says_so():
    def torn() -> np.ndarray:
        raise ImageError("1.png: not an image")

    wrong_size = image(2, load=lambda: np.zeros((3, 3), np.uint8))
    results = evaluate(OneCentimetreOff(), source(image(1, load=torn), wrong_size, image(3)), None)
    reasons = [q["reason"] for q in results["per_query"]]
    assert "could not be used: 1.png: not an image" in reasons[0]
    assert "3x3" in reasons[1]
    assert results["states"] == {"localized": 1, "degraded": 0, "unlocalized": 2}


def test_a_programming_error_is_not_swallowed():
    class Broken:
        def localize(self, frame: Frame) -> Localization:
            raise KeyError("bug")

    with pytest.raises(KeyError):
        evaluate(Broken(), source(image(1)), None)


def test_outside_images_are_negatives():
    results = evaluate(OneCentimetreOff(), source(image(1)), None, outside=[image(0), image(2)])
    assert results["queries"] == 1
    assert results["outside_map"]["queries"] == 2
    assert results["outside_map"]["false_publications"] == results["false_poses"] == 1


def test_no_queries(tmp_path: Path):
    results = evaluate(OneCentimetreOff(), source(image(1, "map")), tmp_path)
    assert results["queries"] == 0 and results["availability"] is None
    assert (tmp_path / "report.html").is_file()


def test_limit_is_evenly_spaced():
    images = [image(i) for i in range(10)]
    assert [i.name for i in spaced(images, 4)] == ["0.png", "3.png", "6.png", "9.png"]
    assert len(spaced(images, None)) == len(spaced(images, 99)) == 10
    assert spaced(images, 0) == [] and spaced([], 3) == []


def test_a_source_without_metres_says_so():
    scene = Source("fox", Path("."), (image(1),), metric=False)
    assert evaluate(OneCentimetreOff(), scene, None)["unit"] == "map unit"
