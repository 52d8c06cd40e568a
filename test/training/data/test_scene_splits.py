"""Who is learnt from: runs of images, shares kept, queries apart."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_training.data.scene_splits import CHUNK, in_chunks, scene_splits

sys.path.insert(0, str(Path(__file__).parent))
from scene_fixture import room_images


@pytest.mark.parametrize("count", [10, 97, 1000])
@pytest.mark.parametrize("shares", [{"train": 0.9, "val": 0.1}, {"train": 0.5, "val": 0.25, "test": 0.25}])
def test_shares_are_kept_in_runs(count, shares):
    split = in_chunks(count, shares)
    assert sorted(k for numbers in split.values() for k in numbers) == list(range(count))
    for name, share in shares.items():
        assert abs(len(split[name]) - share * count) <= CHUNK
        assert split[name] == sorted(split[name]) and split[name]
    runs = 1 + sum(int((np.diff(numbers) > 1).sum()) for numbers in split.values())
    if count == 1000:
        # A random draw would cut a thousand images into hundreds of runs.
        assert runs < count / CHUNK * 1.5
        assert (np.diff(split["val"]) > 1).sum() >= 3  # and val is not in one place


def groups():
    images = room_images(20)
    queries = [replace(image, split="query") for image in room_images(5, 1)]
    lost = [replace(image, map_from_camera=None) for image in room_images(3, 2)]
    return [[*images, *queries, *lost], room_images(10, 3)]


def test_queries_go_where_they_are_told_and_the_lost_nowhere():
    shares = {"train": 0.8, "val": 0.2}
    sizes = {
        queries: {name: len(images) for name, images in scene_splits(groups(), shares, queries).items()}
        for queries in ("test", "mixed", "none")
    }
    assert sizes["test"] == {"train": 24, "val": 6, "test": 5}
    assert sizes["mixed"] == {"train": 28, "val": 7}
    assert sizes["none"] == {"train": 24, "val": 6}
    named = scene_splits(groups(), {"val": 1.0}, "none")
    assert {name: len(images) for name, images in named.items()} == {"val": 30}


def test_every_source_is_in_every_split():
    split = scene_splits(groups(), {"train": 0.8, "val": 0.2})
    assert {image.name[0] for image in split["val"]} == {"0", "3"}


def test_a_small_scene_still_has_every_split():
    split = scene_splits([room_images(3)], {"train": 0.9, "val": 0.1})
    assert {name: len(images) for name, images in split.items()} == {"train": 2, "val": 1}


def test_a_split_without_an_image_is_refused():
    with pytest.raises(ConfigurationError, match="val gets no image"):
        scene_splits([room_images(1)], {"train": 0.9, "val": 0.1})
    with pytest.raises(ConfigurationError, match="expected queries"):
        scene_splits(groups(), {"train": 1.0}, "elsewhere")
