"""Views with partners for contrastive learning."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scene_fixture import room_shards, write_room

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.data.contrastive_sets import SetOptions, contrastive_sets
from relpose_training.data.contrastive_tuples import ContrastiveTuples, Partners, TupleOptions
from relpose_training.data.scene_changes import AugmentationRange, Normalisation
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.seen_views import views_of_set
from relpose_training.data.similarity import SimilarityOptions, similarity_table
from relpose_training.data.stream import batches

OPTIONS = TupleOptions(1, 2, 1, 2, SetOptions(0.2, 0.4, 150.0, 0.3, 0.5))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return room_shards(
        write_room(tmp_path_factory.mktemp("room"), 8, 2, domains=("real", "simulated"), shards=2)
    )


@pytest.fixture(scope="module")
def table(shards):
    return similarity_table(list(views_of_set(shards, 100)), SimilarityOptions())


def views(shards, numbers=None, changes=None):
    grey = Normalisation()
    return SceneViews(shards, numbers, canvas=(32, 40), height=32, normalisation=grey, augmentation=changes)


def test_partners_are_the_images_that_the_table_says(shards, table):
    plain = views(shards)
    tuples = ContrastiveTuples(plain, table, OPTIONS, plain)
    images = {
        int(s["number"]): s["image"] for g in range(2) for i in range(8) for s in [plain.sample(g, i, None)]
    }
    sets = contrastive_sets(
        table.distance.astype(float), table.metres.astype(float), table.simulated, OPTIONS.sets
    )
    kinds = (
        "positive_same",
        "positive_other",
        "positive_other",
        "negative_same",
        "negative_other",
        "negative_other",
    )
    found = 0
    for item in range(8):
        sample = tuples.sample(0, item, np.random.default_rng(item))
        assert sample["partners"].shape == (6, 1, 32, 40) and sample["exist"].shape == (6,)
        for image, exists, kind in zip(sample["partners"], sample["exist"], kinds, strict=True):
            if exists:
                allowed = np.flatnonzero(getattr(sets, kind)[int(sample["number"])])
                assert any(np.array_equal(image, images[n]) for n in allowed)
                found += 1
    assert found > 30


def test_partners_come_from_every_shard_whatever_this_process_reads(shards, table):
    tuples = ContrastiveTuples(views(shards, [1]), table, OPTIONS, views(shards))
    assert tuples.group_sizes() == [8]
    assert int(tuples.sample(0, 3, np.random.default_rng(0))["number"]) == 7
    with pytest.raises(ConfigurationError, match="all 16"):
        ContrastiveTuples(views(shards, [1]), table, OPTIONS, views(shards, [1]))


def test_any_number_of_loading_processes_gives_the_same_tuples(shards, table):
    changes = AugmentationRange()
    tuples = ContrastiveTuples(views(shards, changes=changes), table, OPTIONS, views(shards, changes=changes))
    first, second = (
        next(iter(batches(tuples, 4, seed=5, workers=workers)))["partners"] for workers in (0, 1)
    )
    assert first.equal(second)
    assert not first.equal(next(iter(batches(tuples, 4, seed=6)))["partners"])


def test_a_view_without_partners_is_its_own_positive(shards, table):
    lonely = table.distance.copy()
    lonely[3], lonely[:, 3] = 100, 100
    lonely[3, 3] = 0
    changed = dataclasses.replace(table, distance=lonely)
    plain = views(shards)
    tuples = ContrastiveTuples(plain, changed, OPTIONS, views(shards, changes=AugmentationRange()))
    group, item = 1, 1
    sample = tuples.sample(group, item, np.random.default_rng(0))
    assert int(sample["number"]) == 3
    assert sample["exist"].tolist() == [True, False, False, True, True, True]
    assert not np.array_equal(sample["partners"][0], sample["image"]), "seen in another way"


def test_rare_partners_are_drawn_more_often():
    """View 0 is everybody's candidate, views 1 and 2 are view 3's alone."""
    options = TupleOptions(1, 0, 1, 0)
    partners = object.__new__(Partners)
    partners.options = options
    pool = np.array([0, 1, 2])
    partners.candidates = [[pool] * 4, [pool[:0]] * 4, [pool] * 4, [pool[:0]] * 4]
    partners.expected = [np.array([3.0, 0.5, 0.5, 0.0])] * 4
    drawn = [partners.draw(3, np.random.default_rng(k))[0][0] for k in range(600)]
    counts = np.bincount(drawn, minlength=3)
    assert counts[0] < 0.5 * counts[1] and abs(counts[1] - counts[2]) < 80


def test_tables_of_other_views_and_hopeless_ones_are_refused(shards, table):
    other = dataclasses.replace(table, names=tuple(reversed(table.names)))
    with pytest.raises(DatasetError, match="expected the same"):
        ContrastiveTuples(views(shards), other, OPTIONS, views(shards))
    flat = dataclasses.replace(table, distance=np.zeros_like(table.distance))
    with pytest.raises(DatasetError, match="none of 16 views"):
        Partners(flat, OPTIONS)
    for counts in ((0, 0, 1, 1), (1, 1, 0, 0), (-1, 2, 1, 1)):
        with pytest.raises(ConfigurationError):
            TupleOptions(*counts)
