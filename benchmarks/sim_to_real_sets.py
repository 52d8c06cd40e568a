"""The sets of `sim_to_real`: one simulated office, photographed and rendered, and real images to test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.simulate.folder import LICENCE
from relpose_ros.datasets.simulate.office import STORE
from relpose_ros.evaluation.evaluate import spaced

WIDTH, HEIGHT = 320, 240
"""Of the images, px."""

TABLE = "similarity.h5"


@dataclass(frozen=True)
class World:
    """World `number` of the office: `views` of each domain to train on, of the real ones `few`, and the
    `queries` of another drive to test on, real as well."""

    number: int = 0
    views: int = 80
    few: int = 10
    queries: int = 40

    @property
    def name(self) -> str:
        """Of its folder: every number that makes it another one."""
        return f"office{self.number}_{self.views}_{self.few}_{self.queries}"


def prepare_sets(world: World, folder: Path) -> dict[str, int]:
    """Write the sets `simulated`, `mixed` and `real` in `folder`; returns how many images each trains on.

    `val` of each holds the same test images: recipes look at it, here once, after the last step. Sets that
    are there are kept.
    """
    from relpose_training.data.scene_set import SceneFacts, prepare_scene
    from relpose_training.data.shards import ShardSet

    missing = [name for name in ("simulated", "mixed", "real") if not (folder / name / "val.json").is_file()]
    if missing:
        trained, tested = scene_images(world)
        facts = SceneFacts(f"simulate:office:{world.number}", LICENCE)
        for name in missing:
            prepare_scene({"train": trained[name], "val": tested}, folder / name, facts=facts)
    write_similarity(folder / "mixed")
    splits = [("simulated", "train"), ("mixed", "train"), ("real", "train"), ("real", "val")]
    counts = {(n, split): sum(ShardSet(folder / n, split).sizes) for n, split in splits}
    return {("test" if split == "val" else name): count for (name, split), count in counts.items()}


def scene_images(world: World) -> tuple[dict[str, list[PosedImage]], list[PosedImage]]:
    """The images to train on by set, and those to test on. Each is rendered once.

    The query drive ends in a room that no image to train on shows; what was taken there is left out.
    """
    from relpose_training.data.simulated_scene import SimulatedScene

    scene = SimulatedScene(
        world.number, "office", world.views, world.queries, ("real", "simulated"), WIDTH, HEIGHT
    )
    images = {domain: [_kept(image) for image in found] for domain, found in scene.images().items()}
    real = [image for image in images["real"] if image.split == "map"]
    tested = [image for image in images["real"] if image.split == "query" and not _in_store(image)]
    simulated = images["simulated"]
    return {
        "simulated": simulated,
        "mixed": [*simulated, *spaced(real, world.few)],
        "real": real,
    }, tested


def write_similarity(folder: Path) -> Path:
    """How alike the training views of a set are, which contrastive learning needs."""
    from relpose_training.data.seen_views import scene_shards, views_of_set
    from relpose_training.data.similarity import SimilarityOptions, similarity_table
    from relpose_training.data.similarity_table import write_table

    path = folder / TABLE
    if path.is_file():
        return path
    shards = scene_shards(folder, "train")
    assert shards is not None
    options = SimilarityOptions()
    return write_table(path, similarity_table(list(views_of_set(shards, options.points)), options))


def error_of_the_mean(folder: Path, height: int) -> float:
    """Median over the test images of the median distance of their cells to the mean of the scene, metres.

    That of a network that has learned nothing of its image.
    """
    from relpose_training.data.scene_views import SceneViews
    from relpose_training.data.shards import ShardSet

    views = SceneViews(ShardSet(folder, "val"), height=height)
    mean = np.asarray(ShardSet(folder, "train").index.meta["mean"], np.float64)
    generator, errors = np.random.default_rng(0), []
    for item in range(sum(views.group_sizes())):
        sample = views.sample(0, item, generator)
        seen = sample["coordinates"][:, sample["known"] & sample["inside"]]
        errors.append(float(np.median(np.linalg.norm(seen - mean[:, None], axis=0))))
    return float(np.median(errors))


def _kept(image: PosedImage) -> PosedImage:
    """The image, rendered when it is first loaded: a few hundred small ones fit in memory."""
    depth = image.load_depth
    return replace(image, load=cache(image.load), load_depth=None if depth is None else cache(depth))


def _in_store(image: PosedImage) -> bool:
    assert image.map_from_camera is not None
    position: Sequence[float] = image.map_from_camera.translation[:2].tolist()
    return all(low <= p <= high for low, p, high in zip(STORE.low, position, STORE.high, strict=True))
