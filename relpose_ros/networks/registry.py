"""All networks by name: one line each. The contract test (test/networks/test_contract.py) runs over this."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from relpose_ros.networks.base import Network


@dataclass(frozen=True)
class Architecture:
    """One registered network: where its class is and the arguments that make this variant of it.

    `batch_dependent` says why an item's output depends on its batch, where it does by design.
    `tolerance` bounds the relative difference of float32 to float64, and of ONNX Runtime to torch.
    """

    factory: str  # "module below relpose_ros.networks:Class"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    batch_dependent: str | None = None
    tolerance: float = 1e-3

    @property
    def system(self) -> str:
        """The system it belongs to: the sub-package of its class."""
        return self.factory.split(".")[0]


ARCHITECTURES: dict[str, Architecture] = {
    # --- retrieval: OpenIBL (specs/openibl.md)
    # --- relpose_gnn (specs/relpose_gnn.md)
    # --- imp: IMP and EIMP (specs/imp.md)
    # --- one_to_one: the one-to-one framework and its family (specs/one_to_one.md)
    # --- scene_coordinates: DSAC*, TransPose, CrossLoc, KFNet (specs/scene_coordinates.md)
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
