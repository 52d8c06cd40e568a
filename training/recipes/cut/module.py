"""A generator and its opponent, trained in one backward pass.

The engine has one optimizer and minimises one number. The loss of the discriminator sees images without
their history, so only its own parameters get a gradient of it; the loss of the generator sees the
discriminator with parameters that are constants (`functional_call`), so they get none. Both are taken at the
same weights: the steps are simultaneous, where the published ones alternate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call

from relpose_ros.networks.translation.discriminator import PatchDiscriminator
from relpose_ros.networks.translation.generator import CutGenerator
from relpose_ros.networks.translation.projections import PatchProjections, draw_places
from relpose_training.engine.recipe import TrainingModule
from relpose_training.losses.adversarial import discriminator_loss, generator_loss
from relpose_training.losses.patch_nce import patch_nce
from relpose_training.recipes.cut.config import CutConfig
from relpose_training.recipes.cut.statistics import looks_distance, outline_agreement, patch_directions


class CutModule(TrainingModule):
    """Logged are `loss`, `nce`, `nce_identity` (0 without), `gan` and `discriminator`.

    The checkpoint has the generator alone; discriminator and projections are in the run's state.
    """

    network: CutGenerator
    directions: Tensor

    def __init__(self, network: CutGenerator, config: CutConfig) -> None:
        super().__init__()
        self.network, self.config = network, config
        channels = config.discriminator_channels or network.channels
        self.discriminator = PatchDiscriminator(channels)
        self.projections = PatchProjections(network.feature_channels)
        self.register_buffer("directions", patch_directions(), persistent=False)

    def forward(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        source, target, config = batch["source"], batch["target"], self.config
        given = torch.cat([source, target]) if config.identity else source
        translated, before = self.network.translate(given)
        contrast = self.contrast(before, translated, draw_places(before, config.patches))
        nce, identity = contrast[: len(source)].mean(), contrast[len(source) :].sum() / len(source)
        kept = (nce + identity) / 2 if config.identity else nce
        made = translated[: len(source)]
        opponent = discriminator_loss(self.discriminator(target), self.discriminator(made.detach()))
        gan = generator_loss(self._constant_discriminator(made))
        loss = config.gan_weight * gan + config.nce_weight * kept + opponent
        return {
            "loss": loss, "nce": nce, "nce_identity": identity, "gan": gan, "discriminator": opponent
        }  # fmt: skip

    def contrast(self, before: Sequence[Tensor], translated: Tensor, places: Sequence[Tensor]) -> Tensor:
        """PatchNCE (B,) between `translated` images and the maps of what they were made of, the mean over
        maps."""
        with torch.no_grad():
            keys = self.projections(before, places)
        queries = self.projections(self.network.encode(translated), places)
        losses = [patch_nce(q, k, self.config.temperature) for q, k in zip(queries, keys, strict=True)]
        return torch.stack(losses).mean(dim=0)

    def score(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """For each image: the contrast at fixed places, how far its looks are from an image of the target
        after and before, and whether outlines were kept."""
        source, target = batch["source"], batch["target"]
        translated, before = self.network.translate(source)
        places = draw_places(before, self.config.patches, torch.Generator().manual_seed(0))
        return {
            "nce": self.contrast(before, translated, places),
            "looks": looks_distance(translated, target, self.directions),
            "looks_before": looks_distance(source, target, self.directions),
            "outlines": outline_agreement(source, translated),
        }

    def _constant_discriminator(self, images: Tensor) -> Tensor:
        constants = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        said: Tensor = functional_call(self.discriminator, constants, (images,))
        return said
