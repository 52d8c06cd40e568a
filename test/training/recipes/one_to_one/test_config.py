"""What fits together is taken, what does not is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.registry import ARCHITECTURES, build_network
from relpose_training.engine.configuration import load_config
from relpose_training.recipes.one_to_one.config import OneToOneConfig
from relpose_training.recipes.one_to_one.models import MODELS, network_of

CONFIGS = sorted((Path(__file__).parents[4] / "config" / "training").glob("one_to_one_*.yaml"))
NEEDED = ("data=d", "out=o")


def load(*words, file=None):
    return load_config(OneToOneConfig, file, [*NEEDED, *words])


def parameters(config):
    name, arguments = network_of(config)
    with torch.device("meta"):
        return sum(p.numel() for p in build_network(name, **arguments).parameters())


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_file_of_settings_makes_its_network(file):
    assert parameters(load(file=file)) > 1000


def test_there_are_files_for_all_families():
    assert {load(file=file).model for file in CONFIGS} >= {
        "ltfgc", "oanet", "oanet_iter", "ms2dgnet", "convmatch", "clnet", "eot", "cnn_given",
    }  # fmt: skip


PUBLISHED: dict[tuple[str, ...], int] = {  # the specification's numbers of parameters
    ("ltfgc",): 403_457,
    ("ltfgc", "side_information=false"): 403_201,
    ("oanet",): 2_292_721,
    ("oanet_iter",): 2_473_050,
    ("oanet_iter", "side_information=false"): 2_472_538,
    ("ms2dgnet",): 2_543_387,
    ("convmatch",): 7_493_670,
    ("convmatch_plus",): 14_009_382,
    ("clnet",): 1_267_334,
    ("eot",): 14_713_876,
    ("eot", "experiment=31"): 11_491_284,
    **{(m,): 91_459_585 for m in ("cnn_given", "cnn_shuffled", "cnn_nearest", "cnn_disparity")},
    ("cnn_disparity", "experiment=100"): 85_194_497,
}


@pytest.mark.parametrize("words", PUBLISHED, ids=" ".join)
def test_models_have_their_published_size(words):
    model, *others = words
    assert parameters(load(f"model={model}", *others)) == PUBLISHED[words]


def test_every_registered_network_of_the_system_is_some_model():
    reached = {network_of(load(f"model={m}"))[0] for m in MODELS}
    reached |= {
        network_of(load(f"model={m}", "side_information=false"))[0]
        for m, model in MODELS.items()
        if model.takes_side_information and model.layout == "n_to_n"
    }
    other = {"one_to_one.eot_31", "one_to_one.cnn_100", "one_to_one.cnn_0_nearest"}  # by their parameters
    assert reached | other == {name for name in ARCHITECTURES if name.startswith("one_to_one.")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model=clnet", "side_information=true"), "width 4"),
        (("model=convmatch", "side_information=true"), "width 4"),
        (("model=eot", "correspondences=1024"), "expected correspondences=2048"),
        (("model=cnn_given", "correspondences=1000"), "512, 1024 or 2048"),
        (("model=cnn_given", "experiment=7"), "unknown"),
        (("model=eot", "experiment=4"), "unknown"),
        (("model=eot", "channels=[8, 16, 16]", "correspondences=8"), "expected correspondences=4"),
        (("model=ltfgc", "clusters=100"), "clusters is no setting of model=ltfgc"),
        (("model=oanet", "candidates=128"), "candidates is no setting"),
        (("model=eot", "candidates=100"), "does not divide"),
        (("model=eot", "pose_gradient=feedback"), "expects candidates"),
        (("model=eot", "candidates=64", "pose_gradient=feedback", "regression=essential"), "geometric"),
        (("model=ms2dgnet", "correspondences=16"), "20 correspondences or more"),
        (("model=pointnet",), "model="),
        (("regression=huber",), "regression="),
        (("label_threshold=0",), "label_threshold="),
        (("geo_loss_margin=0.1",), "unknown key"),
    ],
)
def test_what_does_not_fit_is_refused(words, message):
    with pytest.raises(ConfigurationError, match=message):
        load(*words)


def test_side_information_is_used_where_it_can_be():
    assert [load(f"model={m}").width for m in ("ltfgc", "eot", "clnet", "convmatch")] == [6, 6, 4, 4]
