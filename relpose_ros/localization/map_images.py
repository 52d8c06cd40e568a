"""The images that a map was made of, found again in its sources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.errors import MapError
from relpose_ros.maps.bundle import Map

_NUMBERS = re.compile(r"(#\d+)+$")
"""What `maps.edit.renamed` puts behind a name that is taken."""

_SAME_POSE = (1e-3, 1e-3)
"""Share of the map's depth, and rad: further off an image is not the one that the map was made of."""


def images_of(map_: Map, sources: Sequence[Source]) -> list[PosedImage]:
    """The images of the map's references, in order. Raises MapError if one is missing or stands elsewhere.

    A name that the sources share is told apart by where its images stand; where they stand at one place, by
    the order of the sources, as `relpose map add` and `relpose map merge` number such names.
    """
    known: dict[str, list[PosedImage]] = {}
    for source in sources:
        for image in source.references:
            known.setdefault(image.name, []).append(image)
    given = ", ".join(str(source.path) for source in sources)
    named = [[*known.get(name, ()), *_unnumbered(known, name)] for name in map_.reference_names]
    _check_complete(map_, given, named)
    return _nearest_each(map_, given, named)


def _unnumbered(known: Mapping[str, list[PosedImage]], name: str) -> list[PosedImage]:
    """Images called as a reference was before it got a number, where it has one."""
    original = _NUMBERS.sub("", name)
    return known.get(original, []) if original != name else []


def _check_complete(map_: Map, given: str, named: Sequence[Sequence[PosedImage]]) -> None:
    pairs = zip(map_.reference_names, named, strict=True)
    missing = [name for name, images in pairs if not images]
    if missing:
        raise MapError(
            f"{given}: expected the images that the map {map_.path or map_.name} was made of, {len(missing)} "
            f"of {len(map_)} are missing ({', '.join(missing[:3])}...); give all sources that it was made "
            "of, or build the map with --relpose-gnn"
        )


def _nearest_each(map_: Map, given: str, named: Sequence[Sequence[PosedImage]]) -> list[PosedImage]:
    """For each reference that image of its name which stands nearest to it and is no other's."""
    out: list[PosedImage] = []
    used: set[int] = set()
    for index, images in enumerate(named):
        free = [image for image in images if id(image) not in used] or images
        away = [_away(map_, index, image) for image in free]
        best = min(range(len(free)), key=lambda k: away[k])
        distance, angle = away[best]
        if distance > _SAME_POSE[0] * max(map_.depth, 1e-9) or angle > _SAME_POSE[1]:
            raise MapError(
                f"{given}: {free[best].name} stands {distance:.3g} map units and {angle:.3g} rad from where "
                f"the map {map_.path or map_.name} has {map_.reference_names[index]}; give the sources that "
                "the map was made of"
            )
        used.add(id(free[best]))
        out.append(free[best])
    return out


def _away(map_: Map, index: int, image: PosedImage) -> tuple[float, float]:
    """How far an image stands from a reference: map units, rad."""
    assert image.map_from_camera is not None
    distance, angle = map_.reference_poses[index].distance_to(image.map_from_camera)
    return float(distance), float(angle)
