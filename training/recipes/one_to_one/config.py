"""What can be set when a correspondence classifier is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import STRICT, Count, EngineConfig, Positive, Rate
from relpose_training.losses.correspondence_classification import POSITIVE_BELOW
from relpose_training.losses.essential_matrix import MARGIN
from relpose_training.recipes.one_to_one.dataset import Layout
from relpose_training.recipes.one_to_one.models import KNOBS, MODELS, ModelName, network_of


@dataclass(frozen=True, kw_only=True, config=STRICT)
class OneToOneConfig(EngineConfig):
    """A network, its correspondences and its losses. Raises ConfigurationError where they do not fit."""

    data: str
    """Folder or bucket with the shards of train and val (`relpose prepare correspondences`)."""
    model: ModelName = "oanet_iter"
    """Model type. cnn_given to cnn_disparity are model_CNN_cont_0 to 3, by the order of the context."""
    correspondences: Positive = 2048
    """How many of each pair: repeated if there are fewer, drawn if there are more."""
    side_information: bool | None = None
    """Descriptor ratio and mutuality beside the coordinates; unset: where the model takes them."""
    blocks: Positive | None = None
    """Of LTFGC and the OANet family: residual blocks in a stage (or its half); unset: as published."""
    clusters: Positive | None = None
    """Of the OANet family: unset: 500, as published."""
    experiment: Count | None = None
    """Of EOT (unset: 21, narrow; 31: wide) and of CNN (0 or 100): the published number."""
    channels: tuple[Positive, ...] | None = None
    """Of EOT and CNN: own channels before and after each halving, in place of the experiment's."""
    candidates: Annotated[int, Field(gt=1)] | None = None
    """Of EOT and CNN: judged at once, and normalised together; unset: all of a pair. Fewer need less memory
    and more time: each is computed twice."""
    pose_gradient: Literal["exact", "feedback"] = "exact"
    """Of EOT and CNN with `candidates`: feedback is the original's replacement for the pose loss."""
    regression: Literal["geometric", "essential", "none"] = "geometric"
    """What the pose is held to: epipolar distances of virtual points, or the entries of the matrix."""
    regression_weight: Rate | None = None
    """Unset: 0.5 geometric, 0.1 essential, as published."""
    regression_start: Count = 4000
    """First step in which the pose counts; until then the network learns to classify alone."""
    margin: Rate = MARGIN
    """Largest epipolar distance of a virtual point in the geometric loss."""
    label_threshold: Rate = POSITIVE_BELOW
    """Squared symmetric epipolar distance, on the plane z = 1, below which a match is right."""
    compat: bool = False
    """Defects of the original as they are, where docs/networks/one_to_one.md lists a switch."""
    start_from: Path | None = None
    """A checkpoint whose weights are the first ones."""
    licence: str = "not stated"
    """Of the weights: what the licence of the data allows."""

    def __post_init__(self) -> None:
        model = MODELS[self.model]
        if self.side_information and not model.takes_side_information:
            raise ConfigurationError(
                f"model={self.model} takes x1, y1, x2, y2 alone (width 4): expected side_information=false"
            )
        if self.correspondences < model.smallest:
            raise ConfigurationError(
                f"model={self.model} needs {model.smallest} correspondences or more, "
                f"got {self.correspondences}"
            )
        self._check_knobs()
        network_of(self)

    def _check_knobs(self) -> None:
        takes = MODELS[self.model].knobs
        for name, unset in KNOBS.items():
            if name not in takes and name != "compat" and getattr(self, name) != unset:
                users = ", ".join(other for other, model in MODELS.items() if name in model.knobs)
                raise ConfigurationError(f"{name} is no setting of model={self.model}, but of: {users}")
        if self.candidates is not None and self.correspondences % self.candidates:
            raise ConfigurationError(
                f"candidates={self.candidates} does not divide correspondences={self.correspondences}"
            )
        if self.pose_gradient == "feedback" and (self.candidates is None or self.regression != "geometric"):
            raise ConfigurationError("pose_gradient=feedback expects candidates=... and regression=geometric")

    @property
    def layout(self) -> Layout:
        """How the network sees a pair: all correspondences at once, or one by one among all."""
        return MODELS[self.model].layout

    @property
    def width(self) -> int:
        """Numbers of a correspondence: 4, or 6 with side information."""
        takes = MODELS[self.model].takes_side_information
        wanted = takes if self.side_information is None else self.side_information
        return 6 if wanted else 4
