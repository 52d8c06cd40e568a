"""All networks by name: one line each. The contract test (test/networks/test_contract.py) runs over this."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.absolute_pose import variants
from relpose_ros.networks.one_to_one import experiments
from relpose_ros.networks.relpose_gnn import families

if TYPE_CHECKING:
    from relpose_ros.networks.base import Network


@dataclass(frozen=True)
class Architecture:
    """One registered network: where its class is and the arguments that make this variant of it.

    `batch_dependent` says why an item's output depends on its batch, where it does by design.
    `tolerance` bounds the relative difference of float32 to float64, and of ONNX Runtime to torch;
    `bfloat16` that of bfloat16 autocast to float32, infinite where other neighbours are then chosen.
    """

    factory: str  # "module below relpose_ros.networks:Class"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    batch_dependent: str | None = None
    tolerance: float = 1e-3
    bfloat16: float = 0.15

    @property
    def system(self) -> str:
        """The system it belongs to: the sub-package of its class."""
        return self.factory.split(".")[0]


ITERATED = 2e-2
"""Tolerance of networks that feed an eight-point solution back: it amplifies rounding, as neighbours do."""

MATCHED = 0.5
"""The same under bfloat16 of networks that say who matches whom: one match that flips is one score gone."""

ARCHITECTURES: dict[str, Architecture] = {
    # --- retrieval: OpenIBL (specs/openibl.md)
    "retrieval.netvlad_vgg16": Architecture("retrieval.embed:EmbedNet"),
    "retrieval.netvlad_vgg16_pca": Architecture("retrieval.embed:EmbedNetPca"),
    "retrieval.netvlad_vgg16_regions": Architecture("retrieval.region:EmbedRegionNet"),
    "retrieval.netvlad_vgg16_relu": Architecture("retrieval.netvlad_relu:NetVladRelu"),
    "retrieval.max_pool_vgg16": Architecture("retrieval.max_pool:MaxPoolNet"),
    "retrieval.mobile": Architecture("retrieval.mobile:MobileRetriever"),
    "retrieval.mobile_netvlad": Architecture("retrieval.mobile:MobileRetriever", {"aggregation": "netvlad"}),
    # --- relpose_gnn (specs/relpose_gnn.md)
    "relpose_gnn.release": Architecture("relpose_gnn.model:RelPoseGNN", families.RELEASE.parameters),
    "relpose_gnn.r3": Architecture("relpose_gnn.model:RelPoseGNN", families.R3.parameters),
    "relpose_gnn.r2": Architecture("relpose_gnn.model:RelPoseGNN", families.R2.parameters),
    "relpose_gnn.r1": Architecture("relpose_gnn.model:RelPoseGNN", families.R1.parameters),
    "relpose_gnn.robot": Architecture("relpose_gnn.robot:RobotRelPoseGNN"),
    # --- imp: IMP and EIMP (specs/imp.md)
    "imp.gm": Architecture("imp.graph_matcher:GM", bfloat16=MATCHED),
    "imp.gm_sift": Architecture("imp.graph_matcher:GM", {"descriptor_size": 128}, bfloat16=MATCHED),
    "imp.dgnns": Architecture("imp.dgnns:DGNNS", bfloat16=MATCHED),
    "imp.dgnns_sift": Architecture("imp.dgnns:DGNNS", {"descriptor_size": 128}, bfloat16=MATCHED),
    "imp.adagmn": Architecture("imp.adagmn:AdaGMN", bfloat16=MATCHED),
    "imp.adagmn_sift": Architecture("imp.adagmn:AdaGMN", {"descriptor_size": 128}, bfloat16=MATCHED),
    # --- one_to_one: the one-to-one framework and its family (specs/one_to_one.md)
    "one_to_one.ltfgc": Architecture("one_to_one.ltfgc:LTFGC"),
    "one_to_one.ltfgc_w4": Architecture("one_to_one.ltfgc:LTFGC", {"width": 4}),
    "one_to_one.oanet": Architecture("one_to_one.oanet:OANet"),
    "one_to_one.oanet_w4": Architecture("one_to_one.oanet:OANet", {"width": 4}),
    "one_to_one.oanet_iter": Architecture("one_to_one.oanet_iter:OANetIter", tolerance=ITERATED),
    "one_to_one.oanet_iter_w4": Architecture(
        "one_to_one.oanet_iter:OANetIter", {"width": 4}, tolerance=ITERATED
    ),
    "one_to_one.ms2dgnet": Architecture("one_to_one.ms2dgnet:MS2DGNet", tolerance=ITERATED, bfloat16=inf),
    "one_to_one.ms2dgnet_w4": Architecture(
        "one_to_one.ms2dgnet:MS2DGNet", {"width": 4}, tolerance=ITERATED, bfloat16=inf
    ),
    "one_to_one.convmatch": Architecture("one_to_one.convmatch:ConvMatch"),
    "one_to_one.convmatch_plus": Architecture("one_to_one.convmatch_plus:ConvMatchPlus"),
    "one_to_one.clnet": Architecture("one_to_one.clnet:CLNet", tolerance=ITERATED, bfloat16=inf),
    "one_to_one.eot_21": Architecture("one_to_one.eot:EOT", experiments.eot_parameters(21)),
    "one_to_one.eot_31": Architecture("one_to_one.eot:EOT", experiments.eot_parameters(31)),
    "one_to_one.cnn_0": Architecture("one_to_one.cnn:OneToOneCNN", experiments.cnn_parameters(0)),
    "one_to_one.cnn_100": Architecture("one_to_one.cnn:OneToOneCNN", experiments.cnn_parameters(100)),
    "one_to_one.cnn_0_nearest": Architecture(
        "one_to_one.cnn:OneToOneCNN", {**experiments.cnn_parameters(0), "nearest_first": True}
    ),
    # --- scene_coordinates: DSAC*, TransPose, CrossLoc, KFNet (specs/scene_coordinates.md)
    "scene_coordinates.dsacstar": Architecture("scene_coordinates.dsacstar:DsacStar"),
    "scene_coordinates.dsacstar_tiny": Architecture("scene_coordinates.dsacstar:DsacStar", {"tiny": True}),
    "scene_coordinates.dsacstar_isotropic": Architecture(
        "scene_coordinates.dsacstar:DsacStar", {"uncertainty": "isotropic"}
    ),
    "scene_coordinates.dsacstar_anisotropic": Architecture(
        "scene_coordinates.dsacstar:DsacStar", {"uncertainty": "anisotropic"}
    ),
    "scene_coordinates.coord": Architecture("scene_coordinates.crossloc:TransPoseNet"),
    "scene_coordinates.coord_tiny": Architecture("scene_coordinates.crossloc:TransPoseNet", {"tiny": True}),
    "scene_coordinates.coord_anisotropic": Architecture(
        "scene_coordinates.crossloc:TransPoseNet", {"uncertainty": "anisotropic"}
    ),
    "scene_coordinates.coord_fullsize": Architecture(
        "scene_coordinates.crossloc:TransPoseNet", {"head": "transposed"}
    ),
    "scene_coordinates.depth": Architecture("scene_coordinates.crossloc:TransPoseNet", {"task": "depth"}),
    "scene_coordinates.normal": Architecture("scene_coordinates.crossloc:TransPoseNet", {"task": "normal"}),
    "scene_coordinates.semantics": Architecture(
        "scene_coordinates.crossloc:TransPoseNet",
        {"task": "semantics", "uncertainty": "none", "head": "dense"},
    ),
    "scene_coordinates.transpose_mlr": Architecture(
        "scene_coordinates.crossloc:TransPoseNet", {"mlr_encoders": 2, "fusion": "transpose"}
    ),
    "scene_coordinates.crossloc_mlr": Architecture(
        "scene_coordinates.crossloc:TransPoseNet", {"mlr_encoders": 3}
    ),
    "scene_coordinates.projection_head": Architecture("scene_coordinates.projection_head:ProjectionHead"),
    "scene_coordinates.scoordnet": Architecture("scene_coordinates.scoordnet:ScoordNet"),
    "scene_coordinates.cells": Architecture("scene_coordinates.cells:CellRegressor", bfloat16=inf),
    "scene_coordinates.kfnet": Architecture("scene_coordinates.kfnet:KfNet"),
    # --- baselines to compare with: absolute pose regression, unpaired image translation
    "absolute_pose.atloc": Architecture("absolute_pose.atloc:AtLoc"),
    "absolute_pose.atloc_small": Architecture("absolute_pose.atloc:AtLoc", variants.SMALL),
    "translation.cut_generator": Architecture("translation.generator:CutGenerator"),
    "translation.cut_generator_small": Architecture(
        "translation.generator:CutGenerator", {"channels": 16, "blocks": 4}
    ),
}
"""Name -> architecture."""


def find_architecture(name: str) -> Architecture:
    """The architecture called `name`. Raises ConfigurationError that lists the names there are."""
    if name not in ARCHITECTURES:
        raise ConfigurationError(
            f"unknown network {name!r}; expected one of: {', '.join(sorted(ARCHITECTURES))}"
        )
    return ARCHITECTURES[name]


def load_class(name: str) -> type[Network]:
    """The class of the network called `name`."""
    module, _, cls = find_architecture(name).factory.partition(":")
    found: type[Network] = getattr(importlib.import_module(f"relpose_ros.networks.{module}"), cls)
    return found


def build_network(name: str, **parameters: Any) -> Network:
    """A new network with initial weights; `parameters` override those of the registered variant.

    Raises ConfigurationError for an unknown name or a parameter that its class does not take.
    """
    cls = load_class(name)
    arguments = {**find_architecture(name).parameters, **parameters}
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ConfigurationError(f"network {name!r} cannot be made with {arguments}: {error}") from error
