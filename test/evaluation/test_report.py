"""The HTML report: whole, self-contained, safe, and there for every shape of input."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError, ImageError
from relpose_ros.evaluation.page.gallery import unlocalized_queries, worst_queries
from relpose_ros.evaluation.page.headline import coverage_grade, verdict
from relpose_ros.evaluation.plots.data import ReportData
from relpose_ros.evaluation.plots.matches import data_uri
from relpose_ros.evaluation.plots.view import magnification, widest_axes
from relpose_ros.evaluation.report import write_report
from relpose_ros.evaluation.results import summarize
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Matches, State

VOID = {"meta", "br", "img"}
PLOTS = 8


class Page(HTMLParser):
    """Collects what a page would fetch, its ids and its text, and checks that tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k.split(":")[-1] in ("src", "href", "action", "srcset")]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(path: Path) -> tuple[Page, str]:
    text = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link.startswith(("data:image/", "#")), link
        assert not link.startswith("#") or link[1:] in page.ids
    for fetched in re.findall(r"url\(([^)]*)\)", text):
        assert fetched.startswith("#") and fetched[1:] in page.ids
    assert "@import" not in text and "script" not in page.tags and "link" not in page.tags
    assert "http://" not in text and "https://" not in text
    return page, text


def report(records, out: Path, **known):
    results = summarize(records, reference_poses=known.get("reference_poses"))
    return parse(write_report(records, results, out / "report.html", **known))


def test_full_report(drive, tmp_path: Path):
    records = drive(60)
    references = Rigid.stack([r.ground_truth for r in records[::3]])
    points = np.random.default_rng(0).uniform(-3, 3, (20000, 3))
    page, text = report(records, tmp_path, reference_poses=references, map_points=points)
    assert page.tags.count("svg") == PLOTS
    assert page.tags.count("img") == 12
    assert "reason A" in text and "only … inliers" in text and "only 3 inliers, 12 needed" in text
    assert "Nothing to draw" not in text
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_hundreds_of_queries_stay_small(drive, tmp_path: Path):
    records = drive(700)
    report(records, tmp_path, reference_poses=Rigid.stack([r.ground_truth for r in records]))
    assert (tmp_path / "report.html").stat().st_size < 5e6


def edge_cases(record):
    lost = record("a", state=State.UNLOCALIZED, reason="dark", latency_ms={})
    nowhere = Rigid(np.full((3, 3), np.nan), np.zeros(3))
    return {
        "none": [],
        "one": [record()],
        "one lost": [lost],
        "all lost": [lost, lost, lost],
        "no truth": [record(known=False), record(known=False)],
        "no truth, lost": [record(known=False, state=State.UNLOCALIZED)],
        "outside only": [record(known=False, outside_map=True)],
        "exact": [record(stamp=1.0), record(stamp=2.0)],
        "not finite": [record(map_from_camera=nowhere, confidence=np.nan, stamp=np.nan), record()],
        "bad covariance": [record(covariance=np.full((6, 6), np.nan)), record(covariance=-np.eye(6))],
        "huge": [record(error=[1e9, 0, 0, 0, 0, 3.0]), record()],
    }


@pytest.mark.parametrize("case", edge_cases(lambda *_, **__: None))
def test_every_shape_of_input_gives_a_page(case, record, tmp_path: Path):
    _, text = report(edge_cases(record)[case], tmp_path)
    assert "The numbers, in plain words" in text and "nan" not in re.sub(
        r"<svg.*?</svg>", "", text, flags=re.S
    )


def test_one_reference_and_no_points(record, tmp_path: Path):
    report([record()], tmp_path, reference_poses=Rigid.stack([Rigid.identity()]), map_points=np.zeros((0, 3)))


def test_names_and_reasons_cannot_inject(record, tmp_path: Path):
    evil = '"><script>alert(1)</script><img src=x onerror=$\\bad$'
    records = [
        record(evil, references=(evil,), latency_ms={evil: 3.0, "total": 4.0}),
        record("\udc80.jpg", state=State.UNLOCALIZED, reason=evil),
    ]
    results = summarize(records, {"name": evil}, source=evil, command=evil)
    page, _ = parse(write_report(records, results, tmp_path / "r.html"))
    assert "img" not in page.tags and "script" not in page.tags


def test_results_of_other_records_are_refused(record, tmp_path: Path):
    with pytest.raises(ConfigurationError, match="call summarize"):
        write_report([record("a")], summarize([record("b")]), tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_large_image_is_made_small_and_matches_are_drawn(record, camera):
    import base64

    import cv2

    matches = Matches(np.array([[800.0, 400], [1600, 1200]]), np.zeros((2, 3)), np.array([True, False]))
    grey = record(image=lambda: np.full((1500, 2000), 128, np.uint8), matches=matches)
    uri = data_uri(grey)
    assert uri is not None
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape == (420, 560, 3)
    green, red = picture[105:120, 217:231].astype(int), picture[328:343, 441:455].astype(int)
    assert (green[..., 1] - green[..., 2]).max() > 30
    assert (red[..., 2] - red[..., 1]).max() > 30


def test_an_image_that_is_gone_is_left_out(record):
    def gone() -> np.ndarray:
        raise ImageError("gone")

    assert data_uri(record(image=gone)) is None
    assert data_uri(record()) is None
    assert data_uri(record(image=lambda: np.zeros((4, 4), np.float32))) is None


def data_of(records, **known) -> ReportData:
    return ReportData(records, summarize(records), **known)


def test_worst_first_and_outside_before_all(record):
    records = [
        record("fine"),
        record("far", error=[3, 0, 0, 0, 0, 0]),
        record("turned", error=[0, 0, 0, 0.2, 0, 0]),
        record("lost", state=State.UNLOCALIZED),
        record("other place", outside_map=True, known=False),
        record("unknown", known=False),
    ]
    names = [records[i].name for i in worst_queries(data_of(records))]
    assert names == ["other place", "far", "turned", "fine", "unknown"]


def test_each_reason_is_shown_before_any_twice(record):
    reasons = ["dark 1", "dark 2", "dark 3", "twins", "blurred"]
    records = [record(r, state=State.UNLOCALIZED, reason=r) for r in reasons]
    assert [records[i].name for i in unlocalized_queries(data_of(records), 4)] == [
        "dark 1",
        "twins",
        "blurred",
        "dark 2",
    ]


def test_widest_axes_are_those_of_largest_spread():
    points = np.random.default_rng(0).normal(size=(500, 3)) * [5, 0.1, 2]
    assert widest_axes(points) == [0, 2]


def test_magnification_makes_small_errors_visible(record):
    records = [record(error=[0.001, 0, 0, 0, 0, 0], covariance=np.eye(6) * 1e-6)]
    assert magnification(data_of(records), [0, 1], 11.0) == 100
    assert magnification(data_of([record(error=[1, 0, 0, 0, 0, 0], covariance=np.eye(6))]), [0, 1], 10.0) == 1


def test_verdict_in_words(record):
    assert "nothing was measured" in verdict(summarize([]))
    assert "errors are unknown" in verdict(summarize([record(known=False)]))
    text = verdict(summarize([record(error=[0.02, 0, 0, 0, 0, 0]), record(state=State.UNLOCALIZED)]))
    assert "1 of 2 queries got a pose. Half of them are within 2.0 cm and 0.00°. No pose was false." in text
    assert "1 pose was false" in verdict(summarize([record(error=[9, 0, 0, 0, 0, 0])]))


@pytest.mark.parametrize(
    ("hits", "interval", "grade"),
    [
        (0.94, [0.9, 0.97], "good"),
        (0.8, [0.75, 0.85], "bad"),
        (0.999, [0.99, 1.0], "warn"),
        (None, [None] * 2, ""),
    ],
)
def test_grade_of_coverage(hits, interval, grade):
    assert coverage_grade({"coverage_95": hits, "coverage_95_interval": interval}) == grade
