"""Run a localizer over the queries of a source and write everything there is to know about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.errors import CameraError, DatasetError, ImageError
from relpose_ros.evaluation.provenance import command_line
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.evaluation.results import summarize, write_results
from relpose_ros.evaluation.trajectories import write_trajectories
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Frame, Localization, State

Progress = Callable[[int, int], None]
"""Called with (done, total) after every query."""


class Localizes(Protocol):
    """Whatever answers a frame."""

    def localize(self, frame: Frame) -> Localization:
        """The pose of the camera, or why there is none."""
        ...


@dataclass(frozen=True)
class MapFacts:
    """What the report wants to know of the map; each may be missing.

    `info` is `Map.info()`; `reference_poses` are batched map_from_camera; `points` (L, 3);
    `conditions`: reference -> its condition.
    """

    info: Mapping[str, Any] | None = None
    reference_poses: Rigid | None = None
    points: NDArray[np.float64] | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)


def evaluate(
    localizer: Localizes,
    source: Source,
    out: Path | None,
    *,
    map_facts: MapFacts | None = None,
    outside: Sequence[PosedImage] = (),
    progress: Progress | None = None,
    limit: int | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Localize the queries of `source` and score them. Returns the results (docs/results.md).

    `outside` are further queries that the map does not contain. `limit` takes that many queries,
    evenly spaced. With `out`, writes results.json, estimate.tum, ground_truth.tum and report.html
    there. An image that cannot be read counts as unlocalized and says so.
    """
    records = answers(localizer, source, outside=outside, progress=progress, limit=limit)
    facts = map_facts or MapFacts()
    command = command_line() if command is None else command
    return write_evaluation(records, out, facts, source=source, command=command)


def answers(
    localizer: Localizes,
    source: Source,
    *,
    outside: Sequence[PosedImage] = (),
    progress: Progress | None = None,
    limit: int | None = None,
) -> list[QueryRecord]:
    """The record of each query of `source` and of each of `outside`; arguments as of `evaluate`."""
    queries = [(image, False) for image in spaced(source.queries, limit)]
    queries += [(image, True) for image in outside]
    records = []
    for done, (image, is_outside) in enumerate(queries, 1):
        records.append(answer(localizer, image, is_outside))
        if progress:
            progress(done, len(queries))
    return records


def write_evaluation(
    records: Sequence[QueryRecord], out: Path | None, facts: MapFacts, *, source: Source, command: str
) -> dict[str, Any]:
    """Score records and, with `out`, write results.json, both trajectories and report.html."""
    results = summarize(
        records,
        facts.info,
        metric=source.metric,
        reference_poses=facts.reference_poses,
        source=source.name,
        command=command,
        conditions=facts.conditions,
    )
    if out is not None:
        from relpose_ros.evaluation.report import write_report

        folder = Path(out)
        write_results(results, folder / "results.json")
        write_trajectories(records, folder)
        write_report(
            records,
            results,
            folder / "report.html",
            map_points=facts.points,
            reference_poses=facts.reference_poses,
        )
    return results


def answer(localizer: Localizes, image: PosedImage, outside: bool = False) -> QueryRecord:
    """One query's record. An unreadable image is an unlocalized query with that reason."""
    try:
        localization = localizer.localize(image.frame())
    except (ImageError, CameraError, DatasetError) as error:
        reason = f"the image could not be used: {error}"
        localization = Localization(State.UNLOCALIZED, reason, source=image.name, stamp=image.stamp)
    return QueryRecord(
        name=image.name,
        stamp=image.stamp,
        ground_truth=None if outside else image.map_from_camera,
        localization=localization,
        image=image.load,
        camera=image.camera,
        outside_map=outside,
        condition=image.condition,
    )


def spaced(images: Sequence[PosedImage], limit: int | None) -> list[PosedImage]:
    """At most `limit` images, evenly spaced over the sequence."""
    if limit is None or limit >= len(images):
        return list(images)
    if limit <= 0:
        return []
    return [images[i] for i in np.linspace(0, len(images) - 1, limit).round().astype(int)]
