"""Shards of a few invented pairs, and networks small enough to train on them in a moment."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_training.data.shard_writer import write_shards
from relpose_training.recipes.one_to_one.config import OneToOneConfig
from relpose_training.recipes.one_to_one.recipe import OneToOneRecipe

SMALL: dict[str, dict] = {
    "ltfgc": {"blocks": 2},
    "oanet": {"blocks": 1, "clusters": 8},
    "oanet_iter": {"blocks": 1, "clusters": 8},
    "ms2dgnet": {"blocks": 1, "clusters": 8},
    "convmatch": {},
    "convmatch_plus": {},
    "clnet": {},
    **{
        name: {"channels": (8, 12, 16, 16, 24, 24, 24)}
        for name in ("eot", "cnn_given", "cnn_shuffled", "cnn_nearest", "cnn_disparity")
    },
}
"""Model -> settings that make it small; each takes 64 correspondences."""


def rotation_about(axis, angle):
    import cv2

    return cv2.Rodrigues(np.asarray(axis, float) / np.linalg.norm(axis) * angle)[0]


def invented_pair(generator, count, outliers=0.4, sequence=0, noise=3e-4):
    """The fields of one sample of a shard: `count` correspondences, the last share of them wrong."""
    turn = rotation_about(generator.normal(size=3), generator.uniform(0.05, 0.3))
    move = generator.normal(size=3) * (1, 1, 0.5)
    move /= np.linalg.norm(move)
    points = generator.uniform((-2, -2, 3), (2, 2, 8), (count, 3))
    moved = points @ turn.T + move
    pairs = np.concatenate([points[:, :2] / points[:, 2:], moved[:, :2] / moved[:, 2:]], axis=1)
    pairs += generator.normal(0, noise, pairs.shape)
    wrong = np.arange(count) >= round(count * (1 - outliers))
    pairs[wrong, 2:] = generator.uniform(-0.7, 0.7, (wrong.sum(), 2))
    ratios = np.where(wrong, generator.uniform(0.6, 1, count), generator.uniform(0.3, 0.9, count))
    mutuals = generator.random(count) < np.where(wrong, 0.3, 0.9)
    sample = {
        "xs": pairs,
        "ys": distances(pairs, turn, move),
        "ratios": ratios,
        "mutuals": mutuals,
        "R": turn,
        "t": move,
    }
    return {
        **{name: np.asarray(value, np.float32) for name, value in sample.items()},
        "sequence": np.asarray(sequence, np.int32),
    }


def distances(pairs, turn, move):
    """Squared symmetric epipolar distances (N,) to the truth."""
    skew = np.array([[0, -move[2], move[1]], [move[2], 0, -move[0]], [-move[1], move[0], 0]])
    essential = skew @ turn
    first = np.c_[pairs[:, :2], np.ones(len(pairs))]
    second = np.c_[pairs[:, 2:], np.ones(len(pairs))]
    line2, line1 = first @ essential.T, second @ essential
    value = (second * line2).sum(axis=1) ** 2
    return value / (line2[:, :2] ** 2).sum(axis=1) + value / (line1[:, :2] ** 2).sum(axis=1)


def write_split(folder, split, pairs, names, seed, count=(50, 80), shards=2, **options):
    """`pairs` pairs, taken from the sequences `names` in turn."""
    generator = np.random.default_rng(seed)
    samples = [
        invented_pair(generator, int(generator.integers(*count)), sequence=i % len(names), **options)
        for i in range(pairs)
    ]
    meta = {"source": "invented", "features": "none", "sequences": list(names)}
    write_shards(samples, folder, split, shards, varying=("xs", "ys", "ratios", "mutuals"), meta=meta)
    return samples


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """A folder with train and val of the sequences hall and stairs, and test of hall and attic."""
    folder = tmp_path_factory.mktemp("correspondences")
    write_split(folder, "train", 8, ("hall", "stairs"), 0)
    write_split(folder, "val", 4, ("hall", "stairs"), 1)
    write_split(folder, "test", 6, ("hall", "attic"), 2)
    return folder


@pytest.fixture
def configured(shards, tmp_path):
    """Make a configuration: `configured(model="ltfgc", steps=3)`."""

    def make(model, **values):
        settings = {
            "out": tmp_path / "run",
            "data": str(shards),
            "model": model,
            "correspondences": 64,
            "steps": 2,
            "batch_size": 2,
            "save_every": 100,
            "validate_every": 100,
            "log_every": 1,
            "regression_start": 1,
            "learning_rate": 1e-3,
        }
        return OneToOneConfig(**(settings | SMALL.get(model, {}) | values))

    return make


@pytest.fixture
def recipe(configured):
    """Make a recipe: `recipe("ltfgc", steps=3)`."""

    def make(model, **values):
        return OneToOneRecipe(configured(model, **values))

    return make
