"""The networks that this recipe trains, and how each wants its image. Adding one is an entry here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from relpose_ros.errors import ConfigurationError
from relpose_training.data.label_statistics import IMAGE_STATISTICS, ImageStatistics

NetworkName = Literal["dsacstar", "dsacstar_tiny", "coord", "coord_tiny", "scoordnet"]
Uncertainty = Literal["none", "isotropic", "anisotropic"]


@dataclass(frozen=True)
class SceneNetwork:
    """Name in the registry; what images in 0..1 are normalised by (one channel: luma, three: RGB);
    arguments of the constructor; which uncertainties it can have; whether it has no normalisation, so that
    the spread of its first weights matters.

    Its outputs, one after the other along the channels, are coordinates and their deviation; it has
    `set_mean(mean)`, and takes `uncertainty` where there is a choice.
    """

    registered: str
    images: ImageStatistics
    parameters: Mapping[str, Any] = field(default_factory=dict)
    uncertainties: tuple[Uncertainty, ...] = ("none", "isotropic", "anisotropic")
    unnormalised: bool = False

    @property
    def channels(self) -> int:
        """Of the image."""
        return len(self.images.mean)


GREY, COLOUR = IMAGE_STATISTICS["dsacstar"], IMAGE_STATISTICS["crossloc"]
PLAIN = ImageStatistics((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
"""RGB as 0..255: KFNet normalises by itself."""

NETWORKS: dict[str, SceneNetwork] = {
    "dsacstar": SceneNetwork("scene_coordinates.dsacstar", GREY, unnormalised=True),
    "dsacstar_tiny": SceneNetwork("scene_coordinates.dsacstar_tiny", GREY, unnormalised=True),
    "coord": SceneNetwork("scene_coordinates.coord", COLOUR),
    "coord_tiny": SceneNetwork("scene_coordinates.coord_tiny", COLOUR),
    "scoordnet": SceneNetwork(
        "scene_coordinates.scoordnet", PLAIN, uncertainties=("isotropic",), unnormalised=True
    ),
}
"""Name in a configuration -> network."""


def network_of(name: str, uncertainty: Uncertainty) -> tuple[str, dict[str, Any]]:
    """Registry name, and constructor arguments beyond those registered.

    Raises ConfigurationError if the network cannot have that uncertainty.
    """
    network = NETWORKS[name]
    if uncertainty not in network.uncertainties:
        raise ConfigurationError(
            f"network={name} expects uncertainty={' or '.join(network.uncertainties)}, got {uncertainty}"
        )
    chosen = {"uncertainty": uncertainty} if len(network.uncertainties) > 1 else {}
    return network.registered, {**network.parameters, **chosen}
