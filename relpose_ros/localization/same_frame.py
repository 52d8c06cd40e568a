"""Are a map and other posed images in one frame? What the map recognizes must be where it is said to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relpose_ros.errors import MapError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.evenly import evenly
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import options_for
from relpose_ros.localization.query import Neighbour
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.landmarks import Reference
from relpose_ros.progress import Progress, silent, tracked
from relpose_ros.retrieval.describer import Elsewhere

TRIED = 30
"""Images that are looked for, evenly spread."""

LEAST = 3
"""Images that have to agree on another frame before anything is refused: one or two may be look-alikes."""

NEAR_DEPTHS, NEAR_DEG = 0.1, 5.0
"""Two poses agree within this share of how far things are, and this angle. Drift between two drives is less;
frames that began elsewhere are further apart."""


@dataclass(frozen=True)
class FrameCheck:
    """Of `tried` images the map recognizes `found`, and `agree` of these where they are said to be.

    `elsewhere` of them agree on `map_from_other`, which moves them to where the map sees them.
    """

    tried: int
    found: int
    agree: int
    elsewhere: int = 0
    map_from_other: Rigid | None = None

    @property
    def contradicts(self) -> bool:
        """Whether the images are in another frame."""
        return (
            self.elsewhere >= LEAST and self.elsewhere > 2 * self.agree and 2 * self.elsewhere >= self.found
        )


def check_frame(map_: Map, references: Sequence[Reference], progress: Progress = silent) -> FrameCheck:
    """Localize some of the `references`, whose poses are in question, in a map."""
    chosen = evenly(len(references), TRIED).tolist()
    describer = Elsewhere(map_.described_by) if map_.vlad is None else None
    localizer = Localizer(map_, options_for("default"), describer=describer)
    said: list[Rigid] = []
    seen: list[Rigid] = []
    for index in tracked(chosen, progress, "comparing frames"):
        found = _found(localizer, references[index])
        if found is not None:
            said.append(references[index].map_from_camera)
            seen.append(found)
    if not said:
        return FrameCheck(len(chosen), 0, 0)
    near = NEAR_DEPTHS * map_.depth
    return _compared(len(chosen), Rigid.stack(said), Rigid.stack(seen), near, near if map_.metric else np.inf)


def require_same_frame(map_: Map, name: str, references: Sequence[Reference], progress: Progress) -> str:
    """A note where nothing shows that both are in one frame, or "".

    `name`: of what the `references` are from. Raises MapError where they are in another one.
    """
    check = check_frame(map_, references, progress)
    if not check.contradicts or check.map_from_other is None:
        if check.agree:
            return ""
        found = f"{check.found}, none of them where they are said to be" if check.found else "none"
        return (
            f"of {check.tried} images of {name}, {map_.path} recognizes {found}: nothing shows that both are "
            "in one frame"
        )
    raise MapError(
        f"{name} is not in the frame of {map_.path}: of {check.tried} images it recognizes {check.found}, "
        f"{check.agree} where they are said to be and {check.elsewhere} elsewhere, "
        f"{_moved(check.map_from_other, map_.metric)}, or, if places here look alike and the poses are "
        "right, use --trust-poses"
    )


def _moved(map_from_other: Rigid, metric: bool) -> str:
    """How the frames lie to each other, and what to do. Without metres only the rotation is known."""
    degrees = f"{np.rad2deg(float(map_from_other.angle)):.3g} deg"
    if not metric:
        return (
            f"in a frame that is turned by {degrees} and may have another origin and scale. Reconstruct the "
            "images of both together"
        )
    numbers = " ".join(f"{v:.4g}" for v in (*map_from_other.translation, *map_from_other.rotation_xyzw))
    metres = float(np.linalg.norm(map_from_other.translation))
    return (
        f"all moved alike, by {metres:.3g} m and {degrees}. Put its poses into the map's frame first ("
        f"map_from_other: x y z qx qy qz qw = {numbers})"
    )


def _found(localizer: Localizer, reference: Reference) -> Rigid | None:
    """Where the map sees an image."""
    map_ = localizer.map
    described = localizer.describe(reference.features) if map_.vlad is not None else reference.descriptor
    if described is None:
        raise ValueError(f"{reference.name}: a map with learned descriptors needs this image's")
    neighbours: list[Neighbour] = localizer.retrieve(described)
    return localizer.localize_with(reference.features, reference.camera, neighbours).map_from_camera


def _compared(tried: int, said: Rigid, seen: Rigid, near: float, near_moved: float) -> FrameCheck:
    """`said`, `seen` (N,): each image's pose by its source, and in the map.

    `near_moved`: how near they have to be in another frame; infinite where its scale may be another one too.
    """
    moves = seen @ said.inverse()
    agree = [_agreeing(moves[i], said, seen, near_moved) for i in range(len(moves))]
    best = int(np.argmax(agree))
    same = _agreeing(Rigid.identity(), said, seen, near)
    return FrameCheck(tried, len(moves), same, agree[best], moves[best])


def _agreeing(map_from_other: Rigid, said: Rigid, seen: Rigid, near: float) -> int:
    distance, angle = (map_from_other @ said).distance_to(seen)
    return int(((distance < near) & (angle < np.deg2rad(NEAR_DEG))).sum())
