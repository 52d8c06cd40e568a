"""Which queries are worth looking at, and small pictures of them."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.image_files import read_image
from relpose_ros.evaluation.retrieval_recall import MISSED
from relpose_training.recipes.retrieval.examination import Examined

LONGEST = 144
"""Pixels of the longer side of a small picture."""

QUALITY = 70


def worst_misses(examined: Examined, count: int) -> list[int]:
    """Queries whose first answer is wrong, the most confident mistake first."""
    wrong = np.flatnonzero(~examined.right[:, 0])
    return _by_score(examined, wrong)[:count]


def weakest_hits(examined: Examined, count: int) -> list[int]:
    """Queries whose first answer is right, the least confident first."""
    return _by_score(examined, np.flatnonzero(examined.right[:, 0]))[::-1][:count]


def found_later(examined: Examined, query: int) -> int | None:
    """Place, from 1, of the first right answer, if there is one among those looked at."""
    rank = int(examined.ranks[query])
    return None if rank == MISSED else rank + 1


def _by_score(examined: Examined, queries: NDArray[np.intp]) -> list[int]:
    scores = examined.ranking.scores[:, 0]
    return sorted((int(q) for q in queries), key=lambda q: (-float(scores[q]), q))


@lru_cache(maxsize=256)
def thumbnail(path: Path) -> str:
    """The image file as a small JPEG, a `data:` address. Raises ImageError if it cannot be read."""
    image = read_image(path)
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
