"""Feature types by the name that a map records. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable

from relpose_ros.errors import ConfigurationError
from relpose_ros.features.base import Extractor


def _root_sift(max_keypoints: int, scale: float) -> Extractor:
    from relpose_ros.features.sift import RootSift

    return RootSift(max_keypoints, scale)


def _plain_root_sift(max_keypoints: int, scale: float) -> Extractor:
    from relpose_ros.features.sift import PlainRootSift

    return PlainRootSift(max_keypoints, scale)


EXTRACTORS: dict[str, Callable[[int, float], Extractor]] = {
    "rootsift64": _root_sift,
    "rootsift128": _plain_root_sift,
}


def make_extractor(name: str, max_keypoints: int, scale: float = 1.0) -> Extractor:
    """The extractor of that name. Raises ConfigurationError for one this software lacks."""
    if name not in EXTRACTORS:
        raise ConfigurationError(
            f"feature type {name!r} is unknown here; this software has {', '.join(EXTRACTORS)}. "
            "Rebuild the map with one of these, or update the software"
        )
    return EXTRACTORS[name](max_keypoints, scale)
