"""The published systems whose weights can be imported: licence, origin, and hints in their file names."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from relpose_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Publisher:
    """Who published weights of some system, and under which terms.

    `system` is the group of our registry that holds its networks. `hints` tell which network a file is of
    where several have the same tensors: pattern of the file name -> network.
    """

    name: str
    system: str
    licence: str
    page: str
    non_commercial: bool = False
    hints: tuple[tuple[str, str], ...] = ()
    unused: tuple[str, ...] = ()
    """What the names of tensors begin with that we have no use for: a classifier, whatever is in it."""
    names: str | None = None
    """Function that maps its state dict to our names, as "module below relpose_ros.networks:function"."""

    def hint(self, file_name: str) -> str | None:
        """The network that a file of this name is of, if its name tells."""
        return next((network for pattern, network in self.hints if fnmatch(file_name, pattern)), None)

    def translate(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state dict under the names that our networks have."""
        if self.names is None:
            return state
        module, _, function = self.names.partition(":")
        mapping = getattr(importlib.import_module(f"relpose_ros.networks.{module}"), function)
        translated: dict[str, Tensor] = mapping(state)
        return translated


PUBLISHERS = {
    publisher.name: publisher
    for publisher in (
        Publisher(
            "openibl",
            "retrieval",
            "MIT",
            "https://github.com/yxgeee/OpenIBL",
            hints=(("*", "retrieval.netvlad_vgg16"),),  # SFRS and the baselines save the same tensors
        ),
        Publisher("pytorch-netvlad", "retrieval", "MIT", "https://github.com/Nanne/pytorch-NetVlad"),
        Publisher(
            "timm",
            "retrieval",
            "Apache-2.0; trained on ImageNet",
            "https://huggingface.co/timm/mobilenetv4_conv_small.e2400_r224_in1k",
            unused=("conv_head.", "norm_head.", "classifier."),
        ),
        Publisher(
            "torchvision",
            "retrieval",
            "BSD-3-Clause; trained on ImageNet",
            "https://docs.pytorch.org/vision/main/models/vgg.html",
            hints=(("*", "retrieval.max_pool_vgg16"),),
            unused=("classifier.",),
            names="retrieval.published_keys:rescaled_features",
        ),
        Publisher(
            "torchvision-caffe",
            "retrieval",
            "BSD-3-Clause; VGG16 by Simonyan and Zisserman CC BY 4.0; trained on ImageNet",
            "https://github.com/amdegroot/ssd.pytorch",
            hints=(("*", "retrieval.max_pool_vgg16"),),
            unused=("classifier.",),
            names="retrieval.published_keys:features",
        ),
        Publisher(
            "relpose-gnn",
            "relpose_gnn",
            "Niantic: non-commercial research use only, patent pending",
            "https://github.com/nianticlabs/relpose-gnn",
            non_commercial=True,
        ),
        Publisher(
            "imp",
            "imp",
            "CC BY-NC 4.0 (non-commercial)",
            "https://github.com/feixue94/imp-release",
            non_commercial=True,
            hints=(
                ("eimp*_sift*", "imp.adagmn_sift"),
                ("eimp*", "imp.adagmn"),
                ("imp*_sift*", "imp.dgnns_sift"),
                ("imp*", "imp.dgnns"),
            ),
        ),
        Publisher(
            "one-to-one",
            "one_to_one",
            "none stated: all rights reserved by the authors",
            "one-to-one-framework-frcpe on GitHub",
            non_commercial=True,
        ),
        Publisher(
            "oanet",
            "one_to_one",
            "MIT; data for research only",
            "https://github.com/zjhthu/OANet",
            names="one_to_one.oanet_keys:translate",
        ),
        Publisher("dsacstar", "scene_coordinates", "BSD-3-Clause", "https://github.com/vislearn/dsacstar"),
        Publisher(
            "transpose",
            "scene_coordinates",
            "BSD-style, (c) 2021 EPFL TOPO",
            "https://github.com/TOPO-EPFL/CrossLoc/tree/DUPose",
        ),
        Publisher("crossloc", "scene_coordinates", "MIT", "https://github.com/TOPO-EPFL/CrossLoc"),
        Publisher("kfnet", "scene_coordinates", "MIT", "https://github.com/zlthinker/KFNet"),
    )
}
"""Name on the command line -> publisher."""


def find_publisher(name: str) -> Publisher:
    """The publisher called `name`. Raises ConfigurationError that lists them."""
    if name not in PUBLISHERS:
        raise ConfigurationError(f"unknown system {name!r}; expected one of: {', '.join(PUBLISHERS)}")
    return PUBLISHERS[name]
