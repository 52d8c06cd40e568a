"""The recipe `retrieval`: an image in, a global descriptor out, by which its place is found."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, ClassVar

from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.datasets.place_recognition.splits import PlaceDataset, PlaceSplit
from relpose_ros.networks.retrieval.region import ComparesRegions
from relpose_training.data.hard_negatives import MiningOptions
from relpose_training.data.image_transforms import PLAIN, Augmentation, ColourJitter
from relpose_training.data.query_chunks import contiguous_share
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Device, Place
from relpose_training.engine.recipe import Recipe, Scores, TrainingModule
from relpose_training.engine.rounds import Rounds, Run
from relpose_training.engine.validation import score_all
from relpose_training.recipes.retrieval.config import RetrievalConfig
from relpose_training.recipes.retrieval.dataset import Chosen, PlaceImages
from relpose_training.recipes.retrieval.initial_weights import start
from relpose_training.recipes.retrieval.mined_rounds import MinedRounds
from relpose_training.recipes.retrieval.mining import ChunkMiner, ChunkMining
from relpose_training.recipes.retrieval.models import info_of, make_network, name_of, parameters_of
from relpose_training.recipes.retrieval.module import RetrievalModule
from relpose_training.recipes.retrieval.plan import QueryPlan
from relpose_training.recipes.retrieval.sfrs_module import SfrsModule
from relpose_training.recipes.retrieval.shared_descriptors import SharedDescriptors
from relpose_training.recipes.retrieval.validation import recall_of


class RetrievalRecipe(Recipe[RetrievalConfig]):
    """NetVLAD, SARE and SFRS."""

    name = "retrieval"
    config_class = RetrievalConfig
    best: ClassVar[tuple[str, str]] = ("recall@5", "max")

    def module(self) -> RetrievalModule:
        network = make_network(self.config)
        if self.config.loss != "sfrs":
            return RetrievalModule(network, self.config)
        assert isinstance(network, ComparesRegions)
        return SfrsModule(network, self.config)

    def start(self, module: TrainingModule) -> None:
        assert isinstance(module, RetrievalModule)
        start(module.network, self.config.start_from, self.config.centres)
        if isinstance(module, SfrsModule):
            module.begin()

    def stage(self, step: int) -> range:
        """A generation of SFRS is a stage; others have one."""
        starts = self.config.generation_starts
        number = bisect_right(starts, step)
        return range(starts[number - 1], (*starts, self.config.steps)[number])

    def begin_stage(self, module: TrainingModule, step: int) -> None:
        assert isinstance(module, SfrsModule)
        module.next_generation()

    def training_data(self, place: Place) -> Dataset:
        """All images, in every process: what each trains on is mined."""
        config = self.config
        strength = config.jitter
        jitter = ColourJitter(strength, strength, strength, config.jitter_hue)
        augment = Augmentation(jitter if strength or config.jitter_hue else None, config.crop)
        return self.images("train", augment)

    def validation_data(self, place: Place) -> Dataset:
        images = self.images("val")
        return Chosen(images, contiguous_share(range(sum(images.group_sizes())), place.rank, place.world))

    def images(self, split: str, augment: Augmentation = PLAIN) -> Dataset:
        """Queries and gallery of a split, two groups."""
        return PlaceImages.of_split(self.dataset, self.split(split), self._info, augment)

    def split(self, name: str) -> PlaceSplit:
        """One of train and val. Raises DatasetError if it has no queries, or images are missing."""
        return self._train if name == "train" else self._val

    @cached_property
    def _train(self) -> PlaceSplit:
        return self._checked("train")

    @cached_property
    def _val(self) -> PlaceSplit:
        return self._checked("val")

    def _checked(self, name: str) -> PlaceSplit:
        self.dataset.check_images(name)
        return self.dataset.split(name)

    def rounds(self, run: Run) -> Rounds:
        split, config = self.split("train"), self.config
        plan = QueryPlan(
            len(split.queries),
            config.refresh,
            run.batch_size * run.accumulate * run.device.place.world,
            config.generation_starts,
            config.seed,
        )
        describe = partial(self.describe, run.module, self.images("train"), run.device)
        return MinedRounds(run, plan, self._miner(split), describe, self._say, config.share_negatives)

    def _say(self, step: int, text: str) -> None:
        self.progress(step, self.config.steps, text)

    def _miner(self, split: PlaceSplit) -> ChunkMiner:
        config = self.config
        options = MiningOptions(
            config.negatives, config.pool, config.tuple_positives, config.positive_pool, config.seed
        )
        return ChunkMiner(split, ChunkMining(options, config.mined_gallery))

    def describe(
        self, module: TrainingModule, images: Dataset, device: Device, numbers: Sequence[int]
    ) -> SharedDescriptors:
        """Descriptors of images by their numbers (through queries and gallery), each process its share."""
        share = Chosen(images, contiguous_share(numbers, device.place.rank, device.place.world))
        size = self.config.describe_batch * device.batch_factor
        found = score_all(self.config, module, share, size, device)["descriptor"]
        return SharedDescriptors(found, len(numbers), device)

    def validate(self, module: TrainingModule, device: Device) -> dict[str, float]:
        describe = partial(self.describe, module, self.images("val"), device)
        return recall_of(self.split("val"), describe)

    def summarise(self, scores: Scores) -> dict[str, float]:
        raise NotImplementedError("recall is of all images together: see validate")

    def checkpoint(self) -> dict[str, Any]:
        return {
            "network": name_of(self.config),
            "parameters": parameters_of(self.config),
            "licence": self.config.licence,
            "data": self.dataset.name,
            "retrieval": self._info.to_dict(),
        }

    @cached_property
    def dataset(self) -> PlaceDataset:
        """The set, opened once."""
        return open_place_recognition(self.config.dataset, self.config.data)

    @cached_property
    def _info(self) -> Any:
        import torch

        with torch.device("meta"):  # its sizes, not its weights; nothing random is drawn
            return info_of(self.config, make_network(self.config))
