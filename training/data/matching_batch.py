"""Of a stored pair of images, what a matcher is fed: a fixed number of keypoints, the same shapes always.

For N keypoints of each image:

    keypoints0, keypoints1      (N, 2) float32   as the network takes them (`normalise_keypoints`)
    scores0, scores1            (N,)   float32
    descriptors0, descriptors1  (N, D) float32   of length 1
    rays0, rays1                (N, 2) float32   on the plane z = 1
    partner0, partner1          (N,)   int64     index in the other image, NO_PARTNER, or NO_LABEL
    essential                   (3, 3) float32   [t]x R for a translation of length 1

An image with fewer than N keypoints gets fillers: noise where a detector might have fired, at a random place,
with a random descriptor and score 0. They have no label, so the loss says nothing about them, but a keypoint
that chose one would be wrong. A repeated keypoint instead would share its partner's mass with its twin, and
a mask would have to reach every normalisation of the network.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.epipolar import essential_matrix
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.imp.keypoint_normalisation import normalise_keypoints
from relpose_training.data.matching_fields import decode
from relpose_training.data.matching_sample import Choice, SampleOptions, choose_keypoints
from relpose_training.data.shards import Sample

NO_PARTNER = -1
NO_LABEL = -2

Index = NDArray[np.int64]


class SampleSettings(Protocol):
    """What `SampleOptions` and the configuration of the recipe have in common."""

    @property
    def keypoints(self) -> int: ...
    @property
    def random_inliers(self) -> bool: ...
    @property
    def min_inliers(self) -> int: ...
    @property
    def max_inliers(self) -> int: ...
    @property
    def compat(self) -> bool: ...


def matching_item(stored: Sample, settings: SampleSettings, generator: np.random.Generator) -> Sample:
    """A training sample of a stored pair (see the module); random in what `settings` leave open.

    Raises DatasetError for labels that name keypoints which are not there.
    """
    counts = [len(stored[f"keypoints{side}"]) for side in (0, 1)]
    _check_labels(stored, counts)
    choice = _choose(stored["matches"], counts, settings, generator)
    sample: Sample = {}
    for side, chosen in enumerate((choice.first, choice.second)):
        sample |= _image(stored, side, chosen, settings.compat, generator)
        partner = _labels(stored, side, chosen, settings.compat)
        own, other = choice.pairs[:, side], choice.pairs[:, 1 - side]
        partner[own] = other
        sample[f"partner{side}"] = partner
    sample["essential"] = _essential(stored["R"], stored["t"])
    return sample


def _check_labels(stored: Sample, counts: list[int]) -> None:
    named = [(stored["matches"][:, side], stored[f"unmatched{side}"]) for side in (0, 1)]
    for labels, count in zip(named, counts, strict=True):
        if any(len(ids) and (ids.min() < 0 or ids.max() >= count) for ids in labels):
            raise DatasetError(
                f"labels name keypoints that are not there (there are {counts}); prepare the pairs again"
            )


def _choose(
    matches: NDArray[np.integer], counts: list[int], settings: SampleSettings, generator: np.random.Generator
) -> Choice:
    """The published choice; from `counts` on, indices are of fillers."""
    wanted = settings.keypoints
    options = SampleOptions(wanted, settings.random_inliers, settings.min_inliers, settings.max_inliers)
    filled = max(counts[0], wanted), max(counts[1], wanted)
    random = np.random.RandomState(int(generator.integers(2**32)))
    return choose_keypoints(matches.astype(np.int64), filled, options, random)


def _image(stored: Sample, side: int, chosen: Index, compat: bool, generator: np.random.Generator) -> Sample:
    """The chosen keypoints of one image; those that are not there become fillers.

    `compat`: rays are half a pixel off, as published (see `SampleOptions`).
    """
    width, height = stored[f"size{side}"].tolist()
    K = stored[f"K{side}"]
    real = chosen < len(stored[f"keypoints{side}"])
    there, missing = chosen[real], int((~real).sum())
    pixels = np.zeros((len(chosen), 2), np.float32)
    rays, scores = np.zeros_like(pixels), np.zeros(len(chosen), np.float32)
    descriptors = np.zeros((len(chosen), stored[f"descriptors{side}"].shape[1]), np.float32)
    pixels[real], rays[real] = stored[f"keypoints{side}"][there], stored[f"rays{side}"][there]
    scores[real], descriptors[real] = (
        stored[f"scores{side}"][there],
        decode(stored[f"descriptors{side}"][there]),
    )
    if missing:
        pixels[~real] = generator.uniform([-0.5, -0.5], [width - 0.5, height - 0.5], (missing, 2))
        rays[~real] = (pixels[~real] - K[:2, 2]) / K[[0, 1], [0, 1]]
        noise = generator.normal(size=(missing, descriptors.shape[1]))
        descriptors[~real] = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    if compat:
        rays -= 0.5 / K[[0, 1], [0, 1]]
    normalised = normalise_keypoints(torch.from_numpy(pixels), (width, height), training=compat)
    return {
        f"keypoints{side}": normalised.numpy(),
        f"scores{side}": scores,
        f"descriptors{side}": descriptors,
        f"rays{side}": rays,
    }


def _labels(stored: Sample, side: int, chosen: Index, compat: bool) -> Index:
    """Labels (N,) before the pairs are put in. `compat`: whoever is not matched has no partner."""
    count = len(stored[f"keypoints{side}"])
    labels = np.full(max(count, int(chosen.max()) + 1), NO_LABEL, np.int64)
    labels[: count if compat else 0] = NO_PARTNER
    labels[stored[f"unmatched{side}"]] = NO_PARTNER
    return labels[chosen]


def _essential(rotation: NDArray[np.floating], translation: NDArray[np.floating]) -> NDArray[np.float32]:
    """Zeros where the camera only turned: no direction, nothing to be consistent with."""
    length = float(np.linalg.norm(translation))
    unit = Rigid(rotation.astype(float), translation.astype(float) / max(length, 1e-12))
    return essential_matrix(unit).astype(np.float32)
