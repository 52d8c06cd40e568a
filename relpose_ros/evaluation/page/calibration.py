"""One HTML file and one picture of what a calibration changed: no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from relpose_ros.evaluation.consistency import coverage
from relpose_ros.evaluation.files import write_bytes, write_text
from relpose_ros.evaluation.page.css import CSS
from relpose_ros.evaluation.page.figures import card, section
from relpose_ros.evaluation.plots.before_after import BeforeAfter, plot_confidence, plot_coverage
from relpose_ros.evaluation.plots.style import house_style, to_png
from relpose_ros.images import decode_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COVERAGE = (
    "On the diagonal, regions hold the truth as often as they say; below it the covariance is too small. "
    "Bands: what so few images leave open. After: each fifth of the images by the fit to the others."
)
CONFIDENCE = (
    "On the diagonal, poses are right as often as their confidence says; below it they are overrated. "
    "Groups of equal size. After: each fifth of the poses by the fit to the others."
)


def write_calibration_page(
    data: BeforeAfter, facts: Mapping[str, str], notes: Sequence[str], out: Path, title: str
) -> tuple[Path, Path]:
    """Write the page to `out` and the curves beside it as PNG; returns both paths.

    `facts` are listed as they are, `notes` above all else. Raises RelposeError when one cannot be written.
    """
    out = Path(out)
    with house_style(on_paper=True):
        drawn = _side_by_side(plot_coverage(data), plot_confidence(data))
    picture = write_bytes(out.with_suffix(".png"), drawn)
    with house_style():
        cards = [
            card("Covariance", COVERAGE, plot_coverage(data), "coverage", ""),
            card("Confidence", CONFIDENCE, plot_confidence(data), "confidence", ""),
        ]
    rows = "".join(f"<tr><td>{escape(n)}</td><td>{escape(v)}</td></tr>" for n, v in facts.items())
    told = "".join(
        f'<p class="verdict"><span class="tag degraded">note</span> {escape(n)}</p>' for n in notes
    )
    page = write_text(
        out,
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body><main><h1>{escape(title)}</h1>"
        f'<p class="verdict">{escape(verdict(data))}</p>{told}{section("Before and after", cards)}'
        f'<h2>The numbers</h2><div class="card"><table class="stack">{rows}</table></div>'
        "</main></body></html>\n",
    )
    return page, picture


def verdict(data: BeforeAfter) -> str:
    """What the region that should hold 95 % of the errors does hold."""
    before, after = coverage(data.nees_before), coverage(data.nees_after)
    low, high = after.interval
    return (
        f"The region said to hold the truth 95 % of the time held it {before.value:.1%} of the time before, "
        f"{after.value:.1%} after ({after.count} images leave {low:.0%} to {high:.0%} open)."
    )


def _side_by_side(first: Figure, second: Figure) -> bytes:
    """Both drawings as one PNG."""
    import cv2
    import numpy as np

    images = [decode_image(to_png(f), "the drawing") for f in (first, second)]
    good, data = cv2.imencode(".png", np.hstack(images))
    assert good
    return bytes(data.tobytes())
