"""Where in its first answer a query is found."""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.embed import EmbedNet, EmbedNetPca
from relpose_ros.networks.retrieval.region import REGIONS
from relpose_training.recipes.retrieval.command import add_arguments, run
from relpose_training.recipes.retrieval.regions import BOXES, RegionComparer, comparing

INFO = RetrievalInfo.vgg16(1, height=64, width=64)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return EmbedNet(**EmbedNet.small_parameters())


@pytest.mark.parametrize("region", ["top left", "bottom right"])
def test_the_quarter_that_shows_the_query_is_found(network, region, tmp_path):
    """The answer is noise but for one quarter, which is the query (as large as the image)."""
    rng = np.random.default_rng(0)
    seen = cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (64, 64), interpolation=cv2.INTER_CUBIC)
    left, top, width, height = BOXES[region]
    answer = np.full((128, 128, 3), 128, np.uint8)
    row, column = top * 128 // 100, left * 128 // 100
    answer[row : row + 64, column : column + 64] = seen
    for name, image in (("query.png", seen), ("answer.png", answer)):
        cv2.imwrite(str(tmp_path / name), image)
    info = RetrievalInfo.vgg16(1, height=128, width=128)
    match = RegionComparer(comparing(network), info).match(tmp_path / "query.png", tmp_path / "answer.png")
    assert (width, height) == (50, 50) and match.similarities.shape == (9,)
    assert REGIONS[5 + int(match.quarters.argmax())] == region


def test_an_image_is_most_like_its_whole_self(network, tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    match = RegionComparer(comparing(network), INFO).match(tmp_path / "a.png", tmp_path / "a.png")
    assert match.best == "global" and match.similarities[0] == pytest.approx(1, abs=1e-5)


def test_boxes_are_where_their_names_say():
    assert BOXES["global"] == (0, 0, 100, 100) and BOXES["bottom"] == (0, 50, 100, 50)
    assert BOXES["right"] == (50, 0, 50, 100) and BOXES["bottom left"] == (0, 50, 50, 50)


def test_networks_that_cannot_and_images_without_halves(network):
    assert comparing(EmbedNetPca(**EmbedNetPca.small_parameters())) is None
    assert comparing(network).state_dict().keys() == network.state_dict().keys()
    with pytest.raises(ConfigurationError, match="multiples of 32"):
        RegionComparer(comparing(network), RetrievalInfo.vgg16(1, height=48, width=64))


def test_the_page_marks_them(labelled_set, write_network, tmp_path):
    def tested(*words):
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        options = ("--report", tmp_path, "--regions", "--size", "64x64")
        return run(parser.parse_args([str(word) for word in (*words, labelled_set, *options)]))

    tested(write_network())
    text = (tmp_path / "index.html").read_text()
    assert text.count('class="box"') == 9 and text.count("most like the query: ") == 18
    with pytest.raises(ConfigurationError, match="got none"):
        tested("vlad")
