"""The model types of the one-to-one framework: their network, and how it wants its correspondences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.one_to_one.experiments import cnn_parameters, eot_parameters
from relpose_training.data.context_order import Order
from relpose_training.recipes.one_to_one.dataset import Layout

if TYPE_CHECKING:
    from relpose_training.recipes.one_to_one.config import OneToOneConfig

ModelName = Literal[
    "ltfgc",
    "oanet",
    "oanet_iter",
    "ms2dgnet",
    "convmatch",
    "convmatch_plus",
    "clnet",
    "eot",
    "cnn_given",
    "cnn_shuffled",
    "cnn_nearest",
    "cnn_disparity",
]


@dataclass(frozen=True)
class Model:
    """One model type, with its published name.

    `order` is that of its correspondences; `smallest` the fewest of them; `knobs` are settings beyond those
    that all have.
    """

    published: str
    layout: Layout
    order: Order = "permuted"
    takes_side_information: bool = True
    smallest: int = 8
    knobs: tuple[str, ...] = ()


_STAGES = ("blocks", "clusters", "compat")
_CANDIDATES = ("experiment", "channels", "candidates", "pose_gradient")

MODELS: dict[str, Model] = {
    "ltfgc": Model("LTFGC", "n_to_n", knobs=("blocks",)),
    "oanet": Model("OANET", "n_to_n", knobs=("blocks", "clusters")),
    "oanet_iter": Model("OANET_Iter", "n_to_n", knobs=_STAGES),
    "ms2dgnet": Model("MS2DGNET", "n_to_n", knobs=_STAGES, smallest=20),
    "convmatch": Model("convmatch", "n_to_n", takes_side_information=False, knobs=("compat",)),
    "convmatch_plus": Model("convmatch_plus", "n_to_n", takes_side_information=False, knobs=("compat",)),
    "clnet": Model("CLNet", "n_to_n", takes_side_information=False, smallest=32),
    "eot": Model("model_EOT", "one_to_one", "given", knobs=_CANDIDATES),
    "cnn_given": Model("model_CNN_cont_0", "one_to_one", "given", knobs=_CANDIDATES),
    "cnn_shuffled": Model("model_CNN_cont_1", "one_to_one", "shuffled", knobs=_CANDIDATES),
    "cnn_nearest": Model("model_CNN_cont_2", "one_to_one", "shuffled", knobs=_CANDIDATES),
    "cnn_disparity": Model("model_CNN_cont_3", "one_to_one", "disparity", knobs=_CANDIDATES),
}

KNOBS: dict[str, Any] = {
    "blocks": None,
    "clusters": None,
    "compat": False,
    "experiment": None,
    "channels": None,
    "candidates": None,
    "pose_gradient": "exact",
}
"""Settings that only some models have, and what they are when nobody sets them."""


def network_of(config: OneToOneConfig) -> tuple[str, dict[str, Any]]:
    """Registry name, and constructor arguments beyond those registered.

    Raises ConfigurationError if the number of correspondences does not fit the network.
    """
    if config.model.startswith("cnn_"):
        return _cnn(config)
    if config.model == "eot":
        return _eot(config)
    takes = MODELS[config.model].knobs
    own = ("blocks", "clusters", "compat")
    given: dict[str, Any] = {name: getattr(config, name) for name in own if name in takes}
    parameters = {name: value for name, value in given.items() if value != KNOBS[name]}
    narrow = MODELS[config.model].takes_side_information and config.width == 4
    return f"one_to_one.{config.model}{'_w4' if narrow else ''}", parameters


def _eot(config: OneToOneConfig) -> tuple[str, dict[str, Any]]:
    experiment = 21 if config.experiment is None else config.experiment
    parameters = eot_parameters(experiment)
    if config.channels is not None:
        parameters["channels"] = list(config.channels)
    _check_size(config, parameters["channels"], f"EOT experiment {experiment}")
    return "one_to_one.eot_21", {**parameters, **_width(config)}


def _cnn(config: OneToOneConfig) -> tuple[str, dict[str, Any]]:
    experiment = config.experiment or 0
    if config.channels is None:
        channels = cnn_parameters(experiment, config.correspondences)["channels"]
    else:
        channels = list(config.channels)
        _check_size(config, channels, "this network")
    nearest = {"nearest_first": True} if config.model == "cnn_nearest" else {}
    return "one_to_one.cnn_0", {"channels": channels, **nearest, **_width(config)}


def _width(config: OneToOneConfig) -> dict[str, Any]:
    return {} if config.width == 6 else {"width": config.width}


def _check_size(config: OneToOneConfig, channels: list[int], what: str) -> None:
    size = 2 ** (len(channels) - 1)
    if config.correspondences != size:
        raise ConfigurationError(
            f"{what} halves {size} correspondences {len(channels) - 1} times: "
            f"expected correspondences={size}, got {config.correspondences}"
        )
