"""Regions: how they are made of quarters, and how images are compared by them."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.netvlad import normalised
from relpose_ros.networks.retrieval.region import QUARTERS_OF_REGION, REGIONS, EmbedRegionNet

ROWS = {"top": (0, 2), "bottom": (2, 4), "left": (0, 4), "right": (0, 4), "global": (0, 4)}
COLUMNS = {"left": (0, 3), "right": (3, 6), "top": (0, 6), "bottom": (0, 6), "global": (0, 6)}


@pytest.fixture(scope="module")
def network() -> EmbedRegionNet:
    torch.manual_seed(4)
    return EmbedRegionNet(**EmbedRegionNet.small_parameters()).double()


def images(count: int, height: int = 64, width: int = 96) -> torch.Tensor:
    noise = torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(5))
    return 50 * noise.double()


def test_there_are_nine_regions():
    assert len(REGIONS) == len(QUARTERS_OF_REGION) == 9


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_is_the_vlad_of_its_part_of_the_map(network, region):
    """Cut out of the map of the whole image, whose 4 x 6 pixels each region takes some of."""
    vertical, horizontal = region.split()[0], region.split()[-1]
    rows, columns = slice(*ROWS[vertical]), slice(*COLUMNS[horizontal])
    with torch.no_grad():
        part = network.base_model(images(2))[:, :, rows, columns]
        expected = normalised(network.net_vlad(part))
        found = network.region_descriptors(images(2))[:, REGIONS.index(region)]
    assert torch.allclose(found, expected, atol=1e-12)


def test_the_global_region_is_the_descriptor_of_the_image(network):
    with torch.no_grad():
        assert torch.allclose(network.region_descriptors(images(2))[:, 0], network(images(2))[1], atol=1e-12)


def test_tuples_do_not_see_each_other(network):
    """Several tuples at once, which the original could not do."""
    with torch.no_grad():
        together = network.compare_regions(images(6), tuples=2)
        alone = [network.compare_regions(part) for part in images(6).chunk(2)]
    assert together.scores.shape == (2, 2, 9, 9)
    assert together.anchors.shape == (2, 1, 9, 128) and together.others.shape == (2, 2, 9, 128)
    for name in together._fields:
        parts = torch.cat([getattr(single, name) for single in alone])
        assert torch.allclose(getattr(together, name), parts, atol=1e-12)


def test_rows_are_the_anchors_regions_and_columns_the_others(network):
    with torch.no_grad():
        scores, anchors, others = network.compare_regions(images(3))
    assert torch.allclose(scores[0, 1, 2, 7], anchors[0, 0, 2] @ others[0, 1, 7])


def test_an_image_compared_with_itself_has_ones_on_the_diagonal(network):
    with torch.no_grad():
        scores = network.compare_regions(images(1).repeat(2, 1, 1, 1)).scores[0, 0]
    assert torch.allclose(scores.diagonal(), torch.ones(9).double())
    assert torch.allclose(scores, scores.T) and scores.max() < 1 + 1e-9


def test_mode_changes_nothing(network):
    with torch.no_grad():
        trained, tested = network.train()(images(2)), network.eval()(images(2))
    assert all(torch.equal(a, b) for a, b in zip(trained, tested, strict=True))


def test_scores_stay_in_float32_under_autocast():
    torch.manual_seed(4)
    network = EmbedRegionNet(**EmbedRegionNet.small_parameters())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        scores, anchors, others = network.compare_regions(images(3).float())
    assert {t.dtype for t in (scores, anchors, others)} == {torch.float32}
    assert torch.allclose(scores, anchors @ others.transpose(2, 3), atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 80)])
def test_a_map_without_halves_is_refused(network, height, width):
    with pytest.raises(ConfigurationError, match="multiples of 32"):
        network.compare_regions(images(2, height, width))


@pytest.mark.parametrize(("count", "tuples"), [(5, 2), (1, 1), (2, 2), (3, 0)])
def test_images_that_are_no_tuples_are_refused(network, count, tuples):
    with pytest.raises(ConfigurationError, match=f"got {count} images"):
        network.compare_regions(images(count), tuples)
