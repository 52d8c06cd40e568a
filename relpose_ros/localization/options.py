"""How a localizer works: a profile, and every number that may be changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from relpose_ros.errors import ConfigurationError
from relpose_ros.features.base import Extractor
from relpose_ros.features.graph_matching import GraphMatcher
from relpose_ros.features.onnx_iterations import Backend
from relpose_ros.geometry.scene_samples import SamplingOptions
from relpose_ros.localization.arbiter import ArbiterOptions
from relpose_ros.localization.graph_road import GraphRoadOptions
from relpose_ros.localization.pairwise import RelativeOptions
from relpose_ros.localization.rig_agreement import RigOptions
from relpose_ros.localization.rivals import RivalOptions
from relpose_ros.localization.scene_road import SceneOptions
from relpose_ros.localization.structure import StructureOptions

Estimator = Literal["essential", "relpose_gnn"]
"""By what relative poses are found."""


@dataclass(frozen=True)
class LocalizerOptions:
    """Every number of a localizer; `options_for(profile)` gives those of a named profile.

    `max_keypoints` and `image_scale`: what the extractor looks at; `first_keypoints`: how many
    of them, strongest first, the structure road starts with; `neighbours`: references
    retrieved; `weak_below`: with fewer inliers than this the structure road is tried again with
    all keypoints, and then the relative road is taken too; `rerank`: k-reciprocal re-ranking of
    what was retrieved; `seed`. `pruner`: checkpoint of a correspondence network that judges the
    matches of `pruned_roads` before their solvers see them (features/pruning.py; None: none does): of
    the relative road always, of the structure road in one more try where it found less than
    `weak_below`; `pruner_threshold`: a match is kept whose weight (0..1) reaches it. `matcher`: checkpoint
    of a graph network that matches whole images (features/graph_matching.py; None: nearest neighbours alone):
    on the relative road always, on the structure road in one more try, the last; `matcher_iterations` (None:
    all that it has) and `matcher_keypoints` of an image are what it may cost, `matcher_backend` is by what it
    runs (`GraphMatcher`). `scene`: checkpoint
    of a network of scene coordinates whose pose the arbiter takes beside the others (None: there is none).
    `retrieval`: file of the learned descriptor that the map was built with (`open_describer`; None: VLAD).
    `relative_estimator`: by what relative poses are found, `essential` (matches, essential matrix) or
    `relpose_gnn`, the network of `relative_checkpoint` that was attached to the map: then the road of
    regression (graph_road.py) is taken beside the relative road.
    """

    max_keypoints: int = 1500
    first_keypoints: int = 1200
    image_scale: float = 1.0
    neighbours: int = 8
    weak_below: int = 30
    rerank: bool = False
    seed: int = 0
    pruner: str | Path | None = None
    pruner_threshold: float = 0.5
    pruned_roads: tuple[str, ...] = ("structure", "relative")
    matcher: str | Path | None = None
    matcher_iterations: int | None = None
    matcher_keypoints: int = 1024
    matcher_backend: Backend = "auto"
    scene: str | Path | None = None
    retrieval: str | Path | None = None
    relative_estimator: Estimator = "essential"
    relative_checkpoint: str | Path | None = None
    structure: StructureOptions = field(default_factory=StructureOptions)
    relative: RelativeOptions = field(default_factory=RelativeOptions)
    scene_road: SceneOptions = field(default_factory=SceneOptions)
    graph_road: GraphRoadOptions = field(default_factory=GraphRoadOptions)
    rig: RigOptions = field(default_factory=RigOptions)
    rivals: RivalOptions = field(default_factory=RivalOptions)
    arbiter: ArbiterOptions = field(default_factory=ArbiterOptions)


PROFILES = {
    "default": LocalizerOptions(),
    "fast": LocalizerOptions(
        max_keypoints=500,
        image_scale=0.5,
        neighbours=6,
        matcher_iterations=4,
        matcher_keypoints=512,
        structure=StructureOptions(max_error_px=8.0),
        scene_road=SceneOptions(sampling=SamplingOptions(count=0)),
    ),
    "accurate": LocalizerOptions(
        max_keypoints=3000, first_keypoints=3000, neighbours=20, matcher_keypoints=2048
    ),
}
"""`default`: full resolution; `fast`: a quarter of the pixels; `accurate`: more of everything."""


def options_for(profile: str, **changes: object) -> LocalizerOptions:
    """The options of a profile, with changes. Raises ConfigurationError for an unknown name."""
    if profile not in PROFILES:
        raise ConfigurationError(f"unknown profile {profile!r}; expected one of {', '.join(PROFILES)}")
    return replace(PROFILES[profile], **changes)  # type: ignore[arg-type]


def matcher_for(extractor: Extractor, options: LocalizerOptions) -> GraphMatcher | None:
    """The matcher that the options name. Raises CheckpointError where it is for other features."""
    if options.matcher is None:
        return None
    made = GraphMatcher(
        options.matcher,
        options.matcher_iterations,
        keypoints=options.matcher_keypoints,
        backend=options.matcher_backend,
    )
    made.check_fits(extractor.name, extractor.dimension)
    return made
