"""The test of a retrieval network, from image files to recall."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from relpose_ros.datasets.place_recognition.json_pair import from_json
from relpose_ros.datasets.place_recognition.splits import place_dataset
from relpose_ros.errors import ConfigurationError, ImageError
from relpose_ros.networks.retrieval.embed import EmbedNet
from relpose_ros.retrieval.pca import Pca
from relpose_ros.retrieval.rerank import RerankOptions
from relpose_training.recipes.retrieval.evaluation import (
    RetrievalTest,
    describe_images,
    evaluation_inputs,
    pca_images,
    score_retrieval,
)

PLACES = 6


@pytest.fixture
def dataset(tmp_path):
    """Six far places, each seen by a query and, with noise, by a gallery image."""
    generator = np.random.default_rng(0)
    files = []
    for place in range(PLACES):
        picture = cv2.resize(generator.integers(0, 256, (4, 5, 3), np.uint8), (90, 70))
        noisy = np.clip(picture.astype(int) + generator.integers(-5, 6, picture.shape), 0, 255)
        files += [f"q{place}.png", f"g{place}.png"]
        cv2.imwrite(str(tmp_path / files[-2]), picture)
        cv2.imwrite(str(tmp_path / files[-1]), noisy.astype(np.uint8))
    meta = {
        "name": "toy",
        "identities": [[file] for file in files],
        "utm": [[100.0 * (i // 2), float(i % 2)] for i in range(len(files))],
    }
    sides = {"q": list(range(0, 2 * PLACES, 2)), "db": list(range(1, 2 * PLACES, 2))}
    splits = {f"{side}_{split}": sides[side] for side in sides for split in ("train", "val", "test")}
    return place_dataset(from_json(meta, splits, "toy"), tmp_path)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return EmbedNet(**EmbedNet.small_parameters())


def described(network, dataset, images, **options):
    return describe_images(network, evaluation_inputs(dataset, images, 32, 48), **options)


def test_from_files_to_recall(dataset, network):
    queries = described(network, dataset, dataset.test.queries)
    gallery = described(network, dataset, dataset.test.gallery)
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    scores = score_retrieval(queries, gallery, dataset.test)
    assert scores.recall == {1: 1.0, 5: 1.0, 10: 1.0} and scores.distances.shape == (PLACES, PLACES)
    wrong = score_retrieval(np.roll(queries, 1, axis=0), gallery, dataset.test)
    assert wrong.recall[1] < 1 and wrong.recall[10] == 1
    pca = Pca.fit(np.concatenate([queries, gallery]), 5)
    for options in (
        RetrievalTest(pca),
        RetrievalTest(rerank=RerankOptions(2, 1, 0.3), one_answer_a_place=True),
    ):
        assert score_retrieval(queries, gallery, dataset.test, options).recall[1] == 1
    assert score_retrieval(queries, gallery, dataset.test, RetrievalTest(pca)).queries.shape == (PLACES, 5)


def test_batches_do_not_matter_and_the_mode_comes_back(dataset, network):
    images = dataset.test.queries
    network.train()
    one, many = (described(network, dataset, images, batch=batch) for batch in (1, 4))
    np.testing.assert_allclose(one, many, atol=1e-5)
    assert network.training
    pool = described(network, dataset, images, output="pool")
    assert pool.shape[1] == network.base_model.dimension
    np.testing.assert_allclose(np.linalg.norm(pool, axis=1), 1, rtol=1e-5)


def test_images_of_several_shapes(network):
    shapes = [(3, 32, 48), (3, 32, 48), (3, 48, 32), (3, 32, 48)]
    images = [np.random.default_rng(i).normal(0, 50, s).astype(np.float32) for i, s in enumerate(shapes)]
    together = describe_images(network, images)
    alone = np.concatenate([describe_images(network, [image]) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_whole_images_keep_their_aspect(dataset):
    plain, whole = (
        next(evaluation_inputs(dataset, dataset.test.queries, 32, 48, whole)).shape for whole in (False, True)
    )
    assert plain == (3, 32, 48) and whole == (3, 48, 61)


def test_the_images_of_a_pca_are_chosen_by_seed(dataset):
    split = dataset.train
    assert len(pca_images(split)) == 2 * PLACES
    some = pca_images(split, 5)
    assert len(set(some)) == 5 and some == pca_images(split, 5) != pca_images(split, 5, seed=1)


def test_what_does_not_fit(dataset, network, tmp_path):
    with pytest.raises(ConfigurationError, match="pool, vlad"):
        describe_images(network, [], output="gem")
    with pytest.raises(ConfigurationError, match="descriptors of 6 queries"):
        score_retrieval(np.zeros((5, 4)), np.zeros((6, 4)), dataset.test)
    (tmp_path / "q0.png").unlink()
    with pytest.raises(ImageError, match=r"q0\.png"):
        described(network, dataset, dataset.test.queries)
