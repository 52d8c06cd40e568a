"""Where in its first answer a query is found: similarities of regions, as SFRS trains with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.retrieval.embed import EmbedNet
from relpose_ros.networks.retrieval.region import REGIONS, ComparesRegions, EmbedRegionNet
from relpose_training.recipes.retrieval.evaluation import image_inputs
from relpose_training.recipes.retrieval.subjects import NetworkSubject, Subject


@dataclass(frozen=True)
class RegionMatch:
    """`similarities` (9,) of the whole query with the regions of the answer, in the order of REGIONS."""

    similarities: NDArray[np.float32]

    @property
    def best(self) -> str:
        """The region that is most like the query."""
        return REGIONS[int(self.similarities.argmax())]

    @property
    def quarters(self) -> NDArray[np.float32]:
        """Similarities (4,) of the quarters: top left, top right, bottom left, bottom right."""
        return self.similarities[5:]


class RegionComparer:
    """Compares two images by a network. Raises ConfigurationError if its images have no halves."""

    def __init__(self, network: ComparesRegions, info: RetrievalInfo) -> None:
        self._network, self._info = network.eval(), info
        self._device = next(network.parameters()).device
        self._known: dict[tuple[Path, Path], RegionMatch] = {}
        self._similarities(np.zeros((2, 3, info.height, info.width), np.float32))

    def match(self, query: Path, answer: Path) -> RegionMatch:
        """Of two image files. Raises ImageError for one that cannot be read."""
        if (query, answer) not in self._known:
            pair = np.stack(list(image_inputs((query, answer), self._info)))
            self._known[query, answer] = RegionMatch(self._similarities(pair))
        return self._known[query, answer]

    @torch.inference_mode()
    def _similarities(self, pair: NDArray[np.float32]) -> NDArray[np.float32]:
        found = self._network.compare_regions(torch.from_numpy(pair).to(self._device))
        return np.asarray(found.scores[0, 0, 0].float().cpu().numpy(), np.float32)


def region_comparers(subjects: Sequence[Subject]) -> dict[str, RegionComparer]:
    """By name, for those that can. Raises ConfigurationError if none can, or images are of a wrong size."""
    found = {}
    for subject in subjects:
        network = comparing(subject.network) if isinstance(subject, NetworkSubject) else None
        if network is not None and isinstance(subject, NetworkSubject):
            found[subject.name] = RegionComparer(network, subject.retrieval)
    if not found:
        raise ConfigurationError(
            "expected, with --regions, a checkpoint whose network compares regions (netvlad_vgg16 without a "
            "PCA, or mobile), got none"
        )
    return found


def comparing(network: Network) -> ComparesRegions | None:
    """The network as one that compares regions, with the same weights; None if it cannot."""
    if isinstance(network, ComparesRegions):
        return network
    if not isinstance(network, EmbedNet):
        return None
    clusters = len(network.net_vlad.centroids)
    with torch.device("meta"):  # every tensor is taken over
        made = EmbedRegionNet(network.base_model.channels, clusters)
    made.load_state_dict(network.state_dict(), assign=True)
    return made


BOXES: Mapping[str, tuple[int, int, int, int]] = {
    region: (
        50 if "right" in region else 0,
        50 if "bottom" in region else 0,
        50 if "left" in region or "right" in region else 100,
        50 if "top" in region or "bottom" in region else 100,
    )
    for region in REGIONS
}
"""Region -> left, top, width and height in percent of the image."""
