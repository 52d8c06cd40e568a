"""What a run begins with: the middle of the scene; the last layer of the stage before; another origin."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import read_info, write_checkpoint
from relpose_ros.errors import DatasetError
from relpose_ros.networks.scene_coordinates.deviations import deviation
from relpose_training.engine.device import Place
from relpose_training.recipes.scene_coordinates.start import other_rows


def begun(recipe, **values):
    chosen = recipe(**values)
    torch.manual_seed(0)
    module = chosen.module()
    chosen.start(module)
    return module


@pytest.mark.parametrize("network", ["dsacstar_tiny", "coord_tiny", "scoordnet"])
def test_coordinates_begin_around_the_mean_of_the_known_ones(recipe, network, batch):
    fits = {"uncertainty": "isotropic", "loss": "kfnet"} if network == "scoordnet" else {}
    chosen = recipe(network=network, batch_size=8, **fits)
    seen = batch(chosen)
    module = begun(recipe, network=network, **fits)
    mean = seen["coordinates"].movedim(1, -1)[seen["known"]].mean(dim=0)
    if network == "scoordnet":
        found = module.network.state_dict()["prediction.bias"][:3]
    else:
        found = module.network.state_dict()["mean"]
    torch.testing.assert_close(found, mean, rtol=1e-3, atol=1e-3)


def test_with_poses_alone_they_begin_among_the_cameras(recipe):
    chosen = recipe(supervision="rgb")
    views = chosen.training_data(Place())
    centres = torch.tensor([view[:3] for view in views.meta["views"]])
    found = begun(recipe, supervision="rgb").network.state_dict()["mean"]
    torch.testing.assert_close(found, centres.mean(dim=0), rtol=1e-4, atol=1e-4)


def test_a_set_without_labels_says_so(recipe, tmp_path):
    from scene_fixture import write_room

    folder = write_room(tmp_path / "bare", train=2, val=1, labels="none")
    with pytest.raises(DatasetError, match="supervision=rgb"):
        begun(recipe, data=str(folder))


def test_a_last_layer_keeps_what_the_next_can_say():
    layer = torch.randn(4, 7, 1, 1, generator=torch.Generator().manual_seed(0))
    wide = other_rows(layer, 9, 0.0)
    x = torch.randn(2, 7, 5, 5, generator=torch.Generator().manual_seed(1))
    narrow, six = (torch.nn.functional.conv2d(x, w) for w in (layer, wide))
    torch.testing.assert_close(six[:, :3], narrow[:, :3])
    scale, factor = deviation(narrow[:, 3:]), deviation(six[:, 3:])
    for entry in range(6):
        expected = scale[:, 0] if entry in (0, 2, 5) else torch.zeros_like(scale[:, 0])
        torch.testing.assert_close(factor[:, entry], expected)
    torch.testing.assert_close(other_rows(wide, 4, 0.0), layer)
    assert torch.equal(other_rows(wide, 3, 0.0), layer[:3])
    assert other_rows(torch.zeros(3), 4, math.log(0.2))[3] == pytest.approx(math.log(0.2))


def test_a_set_with_another_origin_is_the_same_scene(recipe, learned, tmp_path, batch):
    """What the stage before learned is moved, so that in the map it says the same."""
    path = learned / "last.safetensors"
    info = read_info(path)
    scene = json.loads(json.dumps(info.scene))
    scene["origin"] = [scene["origin"][0] + 2, scene["origin"][1], scene["origin"][2] - 3]
    moved = write_checkpoint(tmp_path / "moved.safetensors", read_container(path), replace(info, scene=scene))
    values = {"stage": "end_to_end"}
    here, there = (begun(recipe, start_from=p, **values).eval() for p in (path, moved))
    image = batch(recipe())["image"]
    with torch.no_grad():
        difference = there.maps(image)[0] - here.maps(image)[0]
    expected = torch.tensor([2.0, 0, -3])[:, None, None].expand_as(difference)
    torch.testing.assert_close(difference, expected, rtol=1e-4, atol=1e-4)
    # Of a first stage they are weights of some scene, and the mean is that of this one.
    first = begun(recipe, start_from=moved)
    torch.testing.assert_close(first.network.mean, begun(recipe).network.mean)


def test_published_first_weights_are_pytorchs(recipe):
    torch.manual_seed(0)
    bare = recipe().module().network.fc1.weight
    assert torch.equal(begun(recipe, first_weights="published").network.fc1.weight, bare)
    spread = begun(recipe).network.fc1.weight
    assert 1.8 < float((spread.std() / bare.std()).detach()) < 3
