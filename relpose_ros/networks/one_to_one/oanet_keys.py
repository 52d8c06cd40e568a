"""The names of tensors in checkpoints of the ORIGINAL OANet (Zhang et al., ICCV 2019), and ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.one_to_one.oanet import OANet
from relpose_ros.networks.one_to_one.oanet_iter import OANetIter

_ROOTS = {"": "weights_init", "_stage_1": "weights_init", "_stage_2": "weights_iter.0"}
_RESIDUAL = {"batchnorm_1": "conv.1", "Conv2d_1": "conv.3", "batchnorm_2": "conv.5", "Conv2d_2": "conv.7"}
_RESIDUAL |= {"short_cut": "shot_cut"}
_FILTER = {"batchnorm_1": "conv1.1", "Conv2d_1": "conv1.3", "batchnorm_2": "conv2.0", "Conv2d_2": "conv2.2"}
_FILTER |= {"batchnorm_3": "conv3.2", "Conv2d_3": "conv3.4"}
_ASSIGNMENT = {"batchnorm": "conv.1", "Conv2d": "conv.3"}
_FIRST_FILTERS = re.compile(r"Order_Aware_Filter_Block_\d+(_stage_1)?\.")
_NAME = re.compile(
    r"(?P<kind>layer_1|layer_last|ResNet|Order_Aware_Filter_Block|OANET_pool|OANET_unpool)"
    r"(?:_(?P<number>\d+))?(?P<suffix>_stage_[12])?\.(?:(?P<part>[A-Za-z0-9_]+)\.)?(?P<leaf>\w+)"
)


def original_name(name: str, blocks: int) -> str:
    """The original's name of a tensor of OANet or OANetIter, whose stages have `blocks` (6, 3).

    Raises ConfigurationError if it is no name of these networks.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ConfigurationError(f"expected the name of a tensor of OANet or OANetIter; got {name!r}")
    kind, part, leaf = found["kind"], found["part"] or "", found["leaf"]
    root = _ROOTS[found["suffix"] or ""]
    place = _place(kind, int(found["number"] or 1) - 1, blocks, part)
    return f"{root}.{place}.{leaf}"


def _place(kind: str, index: int, blocks: int, part: str) -> str:
    """Where the module `part` of the `index`th `kind` is below its stage."""
    if kind == "ResNet":
        half, index = ("l1_1", index) if index < blocks else ("l1_2", index - blocks)
        return f"{half}.{index}.{_RESIDUAL[part]}"
    if kind == "Order_Aware_Filter_Block":
        return f"l2.{index}.{_FILTER[part]}"
    if kind in ("OANET_pool", "OANET_unpool"):
        return f"{'down1' if kind == 'OANET_pool' else 'up1'}.{_ASSIGNMENT[part]}"
    return "conv1" if kind == "layer_1" else "output"


def to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of OANet or OANetIter as the original would save it."""
    blocks = len({name.split(".")[0] for name in state if _FIRST_FILTERS.match(name)})
    return {original_name(k, blocks): v.transpose(1, 3) if _is_embedding(k) else v for k, v in state.items()}


def from_original(state: Mapping[str, Tensor], network: OANet | OANetIter) -> dict[str, Tensor]:
    """The original's state dict as `network` (OANet or OANetIter) names and shapes it, for a strict load.

    Raises ConfigurationError that lists what is missing or left over.
    """
    wanted = {name: original_name(name, network.blocks) for name in network.state_dict()}
    missing, surplus = set(wanted.values()) - set(state), set(state) - set(wanted.values())
    if missing or surplus:
        raise ConfigurationError(
            f"expected the checkpoint of an original OANet like {type(network).__name__}; "
            f"missing: {sorted(missing)[:5]}, left over: {sorted(surplus)[:5]}; "
            "check the number of iterations and layers it was trained with"
        )
    return {
        name: state[old].transpose(1, 3) if _is_embedding(name) else state[old]
        for name, old in wanted.items()
    }


def translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As `from_original`, the network told by the state dict itself: iterated or not, 4 or 6 inputs wide."""
    width = int(state["weights_init.conv1.weight"].shape[1]) if "weights_init.conv1.weight" in state else 4
    iterated = any(name.startswith("weights_iter.") for name in state)
    with torch.device("meta"):
        network = OANetIter(width=width) if iterated else OANet(width=width)
    return from_original(state, network)


def _is_embedding(name: str) -> bool:
    """Whether it is the weight of the first convolution: (O, 1, 1, width) here, (O, width, 1, 1) there."""
    return name.startswith("layer_1") and name.endswith("weight")
