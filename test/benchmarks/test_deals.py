"""Every image with a pose is dealt to one side, in order."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from benchmarks.deals import deal_argument, dealt
from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid


@pytest.fixture
def source() -> Source:
    """Ten images, references first; the last has no pose."""
    camera = Camera("pinhole", 100.0, 100.0, 31.5, 23.5, 64, 48)

    def image(n: int) -> PosedImage:
        pose = None if n == 9 else Rigid.identity()
        split = "query" if n % 3 == 2 else "map"
        return PosedImage(f"{n}.jpg", camera, pose, split, lambda: np.zeros((48, 64), np.uint8))

    images = sorted((image(n) for n in range(10)), key=lambda i: i.split)
    return Source("scene", Path("scene"), tuple(images))


def names(images) -> str:
    return "".join(image.name[0] for image in images)


@pytest.mark.parametrize(
    ("deal", "references", "queries"),
    [
        ("swapped", "258", "013467"),
        ("every:4", "048", "123567"),
        ("blocks:1", "012678", "345"),
        ("blocks:2", "01458", "2367"),
    ],
)
def test_each_image_with_a_pose_has_one_side(source, deal, references, queries):
    found = dealt(source, deal)
    assert (names(found.references), names(found.queries)) == (references, queries)
    assert found.name == f"scene_{deal.replace(':', '')}"


def test_the_given_split_stays(source):
    assert dealt(source, "given") is source


@pytest.mark.parametrize("word", ["given", "swapped", "every:2", "blocks:1"])
def test_a_deal(word):
    assert deal_argument(word) == word


@pytest.mark.parametrize("word", ["", "every", "every:1", "every:-4", "blocks:0", "blocks:x", "given:2"])
def test_no_deal(word):
    with pytest.raises(argparse.ArgumentTypeError, match="expected one of given"):
        deal_argument(word)
