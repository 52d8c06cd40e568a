"""Cluster centres: what is sampled, that a run is taken up where it was killed, and k-means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.retrieval_network import retrieval_info
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.registry import build_network
from relpose_training.recipes.retrieval.clusters import (
    ClusterOptions,
    find_centres,
    sample_descriptors,
    sample_images,
    write_clusters,
)
from relpose_training.recipes.retrieval.initial_weights import read_clusters

OPTIONS = ClusterOptions(images=5, locations=6, clusters=3, seed=2)


@pytest.fixture
def paths(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), rng.integers(0, 256, (40, 60, 3), np.uint8))
    return sorted(tmp_path.glob("*.png"))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return build_network("retrieval.netvlad_vgg16", channels=[8] * 5, clusters=3)


def sample(network, paths, part=None, options=OPTIONS, seen=None):
    info = retrieval_info(network, 64, 96)
    note = seen.append if seen is not None else lambda done: None
    return sample_descriptors(network, info, paths, options, part, lambda done, *_: note(done))


def test_images_are_the_same_for_a_seed_whatever_their_order():
    files = [Path(f"{n}.png") for n in range(30)]
    chosen = sample_images(files, OPTIONS)
    assert len(set(chosen)) == 5 and chosen == sample_images([*files[::-1], files[0]], OPTIONS)
    assert chosen != sample_images(files, replace(OPTIONS, seed=3))
    assert sample_images(files, replace(OPTIONS, images=99)) == sorted(files)


def test_descriptors_are_normalised_features_of_the_trunk(network, paths):
    found = sample(network, paths[:2])
    assert found.shape == (12, 8) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    from relpose_ros.checkpoints.retrieval import network_input
    from relpose_ros.datasets.image_files import read_image

    image = network_input(read_image(paths[1]), retrieval_info(network, 64, 96))
    with torch.no_grad():
        features = torch.nn.functional.normalize(network.base_model(torch.from_numpy(image)), dim=1)
    columns = features[0].flatten(1).T.numpy()
    distances = np.linalg.norm(found[6:, None] - columns[None], axis=2)
    assert distances.min(axis=1).max() < 1e-5, "each is one place of the map"
    assert len(set(distances.argmin(axis=1))) == 6, "no place twice"


def test_a_killed_run_is_taken_up_and_gives_the_same(network, paths, tmp_path):
    whole = sample(network, paths[:5])
    part, seen = tmp_path / ".part", []

    def stop(done, *_):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_descriptors(network, retrieval_info(network, 64, 96), paths[:5], OPTIONS, part, stop)
    again = sample(network, paths[:5], part, seen=seen)
    assert seen == [3, 4] and np.array_equal(again, whole)


@pytest.mark.parametrize("change", ["weights", "seed", "images"])
def test_what_was_made_otherwise_is_not_taken_up(change, network, paths, tmp_path):
    part, seen = tmp_path / ".part", []
    sample(network, paths[:3], part)
    other, files, options = network, paths[:3], OPTIONS
    if change == "weights":
        torch.manual_seed(9)
        other = build_network("retrieval.netvlad_vgg16", channels=[8] * 5, clusters=3)
    elif change == "seed":
        options = replace(OPTIONS, seed=5)
    else:
        files = paths[3:6]
    found = sample(other, files, part, options, seen)
    assert seen == [0, 1, 2] and np.array_equal(found, sample(other, files, None, options))


def groups(count: int = 60) -> np.ndarray:
    rng = np.random.default_rng(4)
    centres = np.array([[5.0, 0, 0], [0, 5, 0], [0, 0, 5]])
    return (centres[np.arange(count) % 3] + 0.1 * rng.standard_normal((count, 3))).astype(np.float32)


def test_centres_are_the_means_of_groups():
    told: list[int] = []
    centres = find_centres(groups(), OPTIONS, lambda done, *_: told.append(done))
    means = np.stack([groups()[k::3].mean(axis=0) for k in range(3)])
    assert np.allclose(centres[np.argsort(-centres[:, 0])][0], means[0], atol=0.05)
    assert np.abs(np.sort(centres, axis=0) - np.sort(means, axis=0)).max() < 0.05
    assert 1 < len(told) < OPTIONS.iterations, "it stops when nothing moves, and says how far it is"
    assert np.array_equal(centres, find_centres(groups(), OPTIONS))


def test_fewer_descriptors_than_clusters_are_refused():
    with pytest.raises(ConfigurationError, match="expected 3 descriptors or more"):
        find_centres(groups(2), OPTIONS)


@pytest.mark.parametrize("ending", ["hdf5", "safetensors"])
def test_a_file_gives_them_back(ending, tmp_path):
    path = write_clusters(tmp_path / "new" / f"c.{ending}", groups(3), groups())
    centres, descriptors = read_clusters(path)
    assert np.array_equal(centres, groups(3)) and np.array_equal(descriptors, groups())
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="ends in"):
        write_clusters(tmp_path / "c.npz", groups(3), groups())
