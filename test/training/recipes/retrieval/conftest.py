"""Tiny place recognition sets and checkpoints: coarse patterns as places, small noise between two visits."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.networks.retrieval.embed import EmbedNet

PLACES = 8


def see_place(number, visit):
    """A place (90, 120, 3) as a visit sees it."""
    coarse = np.random.default_rng(number).integers(0, 256, (15, 20, 3), np.uint8)
    picture = cv2.resize(coarse, (120, 90), interpolation=cv2.INTER_CUBIC).astype(int)
    noise = np.random.default_rng([number, visit]).integers(-6, 7, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def write_visits(folder, visit, numbers):
    """One image a place; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{number:02d}.png"), see_place(number, visit))
    return [f"{number:02d}.png" for number in numbers]


@pytest.fixture
def labelled_set(tmp_path):
    """PLACES references; as many queries, and one that shows a place which no reference does."""
    folder = tmp_path / "labelled"
    names = write_visits(folder / "images" / "ref", 0, range(PLACES))
    write_visits(folder / "images" / "query", 1, range(PLACES + 1))
    lines = [f"{name},{name}" for name in names] + [f"{PLACES:02d}.png,"]
    (folder / "gt.csv").write_text("query,refs\n" + "\n".join(lines) + "\n")
    return folder


@pytest.fixture
def places_set(tmp_path):
    """places.json: test places that training has not, but for the first query, which is in both."""
    folder = tmp_path / "places"
    numbers = {"train": range(100, 124), "test": range(PLACES)}
    splits = {}
    for split, places in numbers.items():
        sides = {
            side: [
                {"file": f"{split}/{side}/{name}", "place": k, "x": 100.0 * k, "y": 0.0}
                for k, name in enumerate(write_visits(folder / "images" / split / side, visit, places))
            ]
            for visit, side in enumerate(("gallery", "queries"))
        }
        lists = [[k] for k in range(len(places))]
        splits[split] = {**sides, "positives": lists, "near": lists}
    splits["train"]["queries"][0]["file"] = "test/queries/00.png"
    content = {"version": 1, "name": "toy places", "images": "images", "splits": splits}
    (folder / "places.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def write_network(tmp_path):
    """A function that writes a small NetVLAD with random weights; `header` is what it wrongly says."""

    def write(name="net", seed=0, **header):
        torch.manual_seed(seed)
        network = EmbedNet(**EmbedNet.small_parameters())
        dimension = network.net_vlad.centroids.numel()
        spoken = RetrievalInfo.vgg16(dimension, height=32, width=48, output="vlad").to_dict()
        info = CheckpointInfo(
            "retrieval.netvlad_vgg16",
            EmbedNet.small_parameters(),
            licence="MIT",
            origin="random",
            retrieval=header.pop("retrieval", {**spoken, **header}),
        )
        return write_checkpoint(tmp_path / name / "best.safetensors", network.state_dict(), info)

    return write
