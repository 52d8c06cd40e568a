"""Camera localization for robots: images in, trusted poses with honest uncertainty out.

Three lines from an image to a pose::

    from relpose_ros import Frame, Localizer, Map
    localizer = Localizer(Map.open("office.relmap"))
    localization = localizer.localize(Frame.read("image.jpg", camera))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relpose_ros.errors import RelposeError
    from relpose_ros.geometry.cameras import Camera
    from relpose_ros.geometry.rigid import Rigid
    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.maps.bundle import Map
    from relpose_ros.types import Frame, Hypothesis, Localization, RigFrame, State

__version__ = "0.1.0"

_HOMES = {
    "Camera": "relpose_ros.geometry.cameras",
    "Frame": "relpose_ros.types",
    "Hypothesis": "relpose_ros.types",
    "Localization": "relpose_ros.types",
    "Localizer": "relpose_ros.localization.localizer",
    "Map": "relpose_ros.maps.bundle",
    "RelposeError": "relpose_ros.errors",
    "RigFrame": "relpose_ros.types",
    "Rigid": "relpose_ros.geometry.rigid",
    "State": "relpose_ros.types",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 (names resolved lazily below)


def __getattr__(name: str) -> object:
    """Import the public names on first use, so that `relpose --help` loads nothing heavy."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'relpose_ros' has no attribute {name!r}")
