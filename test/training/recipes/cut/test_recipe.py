"""Runs, their data, and the command that uses what they leave."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import CheckpointInfo, load_network, write_checkpoint
from relpose_ros.cli.parser import CommandParser
from relpose_ros.datasets.open import open_source
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.networks.registry import build_network
from relpose_training.commands import translate
from relpose_training.data.stream import batches
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.engine.optimizers import make_optimizer
from relpose_training.recipes.cut.banks import open_bank
from relpose_training.recipes.cut.translation import load_translator

sys.path.insert(0, str(Path(__file__).parents[2] / "data"))

from scene_fixture import write_room

CPU = torch.device("cpu")


def run(recipe):
    assert train(recipe, TorchDevice("cpu", Place())) == 0
    return recipe.config.out


def test_a_run_that_was_interrupted_ends_with_the_same_weights(recipe, tmp_path):
    whole = run(recipe(out=tmp_path / "whole", steps=4))
    run(recipe(out=tmp_path / "parts", steps=2))
    parts = run(recipe(out=tmp_path / "parts", steps=4))
    first, second = (read_container(out / "last.safetensors") for out in (whole, parts))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    states = [torch.load(out / "state.pt", weights_only=True)["module"] for out in (whole, parts)]
    assert any(name.startswith("discriminator.") for name in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_checkpoint_has_the_generator_alone(recipe):
    out = run(recipe(steps=1))
    network, info = load_network(out / "best.safetensors")
    assert info.network == "translation.cut_generator_small"
    assert "orange to look like" in info.data
    assert {name.split(".")[0] for name in network.state_dict()} >= {"first", "last"}
    assert not any("discriminator" in name for name in network.state_dict())
    assert {"validation/looks", "validation/nce", "validation/quality"} <= info.metrics.keys()


def test_quality_is_of_looks_and_content(recipe):
    scores = {
        name: np.full(3, value) for name, value in (("looks", 0.1), ("looks_before", 0.4), ("nce", 1.0))
    }
    found = recipe(patches=16).summarise(scores)
    assert found["quality"] == pytest.approx(0.25 + 1 / np.log(16))


def test_images_are_cropped_at_random_and_come_from_both(recipe):
    data = recipe().training_data(Place())
    assert data.group_sizes() == [9]
    a, again, other = (data.sample(0, 0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert a["source"].shape == a["target"].shape == (3, 32, 32) and a["source"].dtype == np.float32
    assert np.array_equal(a["source"], again["source"])
    assert not np.array_equal(a["source"], other["source"])
    assert a["source"][0].mean() > a["source"][2].mean() and a["target"][0].mean() < a["target"][2].mean()


def test_validation_images_are_none_of_those_trained_on(domains):
    parts = [open_bank(str(domains / "orange"), "real", split, 0.2) for split in ("train", "val")]
    names = [{path.name for path in part.paths} for part in parts]
    assert len(names[0]) == 8 and len(names[1]) == 2 and not names[0] & names[1]


def test_processes_share_the_images(recipe):
    parts = [recipe().training_data(Place(rank, 2)).numbers for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == list(range(9))


def test_a_scene_has_both_domains(tmp_path, recipe):
    room = write_room(tmp_path / "room", 4, 2, domains=("real", "simulated"))
    made, seen = (open_bank(str(room), domain, "train", 0.1) for domain in ("simulated", "real"))
    assert (len(made), len(seen)) == (4, 4)
    assert np.abs(made.load(0).mean(axis=(0, 1)) - seen.load(0).mean(axis=(0, 1))).max() > 10
    chosen = recipe(source=str(room), target=str(room))
    batch = next(iter(batches(chosen.training_data(Place()), 2, seed=0)))
    assert batch["source"].shape == (2, 3, 32, 32)
    assert chosen.validation_data(Place()).group_sizes() == [2]


def test_a_scene_of_one_domain_is_taken_whole(tmp_path):
    room = write_room(tmp_path / "room", 4, 2)
    assert len(open_bank(str(room), "simulated", "val", 0.1)) == 2


def test_a_posed_source_goes_to_other_processes(wall_folder, tmp_path):
    bank = open_bank(str(wall_folder(tmp_path / "wall", 4)), "real", "train", 0.25)
    image = bank.load(1)
    assert np.array_equal(pickle.loads(pickle.dumps(bank)).load(1), image)  # noqa: S301


def test_a_folder_without_images_is_refused(tmp_path, recipe):
    with pytest.raises(DatasetError, match="found none"):
        recipe(source=str(tmp_path)).training_data(Place())


@pytest.mark.parametrize("values", [{"crop": 36}, {"crop": 64}, {"holdout": 0.0}])
def test_settings_that_cannot_be_are_refused(recipe, values):
    with pytest.raises(ConfigurationError, match="expected"):
        recipe(**values)


@pytest.fixture
def checkpoint(tmp_path):
    """`checkpoint(short_side=32)`: a generator that only drew its first weights."""

    def make(**settings):
        torch.manual_seed(4)
        network = build_network("translation.cut_generator", channels=4, blocks=2)
        info = CheckpointInfo(
            "translation.cut_generator", {"channels": 4, "blocks": 2}, recipe={"config": settings}
        )
        return write_checkpoint(tmp_path / "g.safetensors", network.state_dict(), info)

    return make


def run_command(*words):
    parser = CommandParser()
    translate.add_parser(parser.add_subparsers())
    return translate.run(parser.parse_args(["translate", *map(str, words)]))


def test_a_folder_is_translated_with_its_poses(checkpoint, wall_folder, tmp_path, capsys):
    folder = wall_folder(tmp_path / "wall", 3)
    (folder / "depth").mkdir()
    assert run_command(checkpoint(short_side=32), folder, "--out", tmp_path / "real", "--device", "cpu") == 0
    assert "3 images" in capsys.readouterr().out
    before, after = open_source(folder), open_source(tmp_path / "real")
    assert [i.name for i in after.images] == [i.name for i in before.images]
    for a, b in zip(after.images, before.images, strict=True):
        assert a.camera == b.camera and a.domain == "simulated"
        assert np.array_equal(a.map_from_camera.matrix, b.map_from_camera.matrix)
        assert a.load().shape[:2] == b.load().shape[:2]
        assert not np.array_equal(a.load(), np.repeat(b.load()[..., None], 3, axis=2))
    assert not (tmp_path / "real" / "depth").exists()
    assert "sha256" in (tmp_path / "real" / "source.yaml").read_text()


def test_depth_is_linked_when_it_is_asked_for(checkpoint, wall_folder, tmp_path):
    folder = wall_folder(tmp_path / "wall", 1)
    (folder / "depth").mkdir()
    run_command(checkpoint(), folder, "--out", tmp_path / "real", "--link-depth", "--device", "cpu")
    assert (tmp_path / "real" / "depth").resolve() == folder / "depth"


def test_what_is_there_is_not_written_over(checkpoint, wall_folder, tmp_path):
    folder = wall_folder(tmp_path / "wall", 1)
    with pytest.raises(DatasetError, match="new or empty"):
        run_command(checkpoint(), folder, "--out", folder, "--device", "cpu")
    with pytest.raises(DatasetError, match="images/ and poses"):
        run_command(checkpoint(), tmp_path, "--out", tmp_path / "new", "--device", "cpu")


def test_a_network_that_translates_nothing_is_refused(tmp_path):
    network = build_network("scene_coordinates.projection_head")
    path = write_checkpoint(
        tmp_path / "p.safetensors", network.state_dict(), CheckpointInfo("scene_coordinates.projection_head")
    )
    with pytest.raises(ConfigurationError, match="relpose train cut"):
        load_translator(path, CPU)


def test_a_large_image_keeps_its_detail(checkpoint):
    """What the network does not change at its own size is added to every pixel, not blurred."""
    large = cv2.resize(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8), (200, 160))
    translator = load_translator(checkpoint(short_side=40), CPU)
    with torch.no_grad():
        for p in translator.network.last.parameters():
            p.zero_()  # makes grey images: the change is minus the small image
    made = translator.translate(large)
    small = cv2.resize(cv2.resize(large, (50, 40), interpolation=cv2.INTER_AREA), (200, 160))
    expected = 127.5 + (large.astype(float) - small)
    assert np.abs(made - np.clip(expected, 0, 255)).mean() < 6


def test_momentum_is_the_first_beta_of_adam(recipe):
    chosen = recipe()
    optimizer = make_optimizer(chosen.config, chosen.module().parameters())
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.999)
