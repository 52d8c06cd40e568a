"""What a network starts from: a trunk trained on ImageNet, or another training, and VLAD cluster centres."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import CheckpointInfo, check_kinds, describe_difference, read_info
from relpose_ros.checkpoints.state_dicts import shapes_of
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.retrieval.netvlad import NetVlad

TRUNK = "base_model."
NETVLAD = "net_vlad"


@dataclass(frozen=True)
class Start:
    """What `start` did. `taken` tensors came from `weights`; `left` (names) have random values.

    `origin` says so in words for the new checkpoint's header; `licence` is that of the weights, None if
    there are none.
    """

    origin: str
    licence: str | None
    taken: tuple[str, ...]
    left: tuple[str, ...]


def start(network: Network, weights: str | Path | None = None, clusters: str | Path | None = None) -> Start:
    """Put `weights`, a checkpoint of ours, and then `clusters` into a retrieval network.

    `weights` needs the trunk of `network`, whatever is on it: `relpose checkpoint fetch` and `import` make
    such checkpoints of what is published. Its other tensors are taken where `network` has the same. Without
    it the trunk is random (docs/networks/retrieval.md says how to train it then). `clusters` is a file of
    `relpose prepare clusters` or OpenIBL's .hdf5; it needs NetVLAD. Raises CheckpointError for files that
    cannot be read or are of another trunk, ConfigurationError for clusters where there is no NetVLAD or of
    another trunk.
    """
    told: list[str] = []
    licence: str | None = None
    taken: tuple[str, ...] = ()
    if weights is not None:
        info, taken = _load(network, Path(weights))
        licence = info.licence
        told.append(f"started from {Path(weights).name} ({info.network}; {info.origin})")
    else:
        told.append("started from random weights")
    if clusters is not None:
        start_clusters(network, *read_clusters(clusters), what=str(clusters))
        told.append(f"cluster centres of {Path(clusters).name}")
    random = [name for name in network.state_dict() if name not in taken]
    left = [name for name in random if clusters is None or not name.startswith(NETVLAD)]
    return Start(", ".join(told), licence, taken, tuple(left))


def read_clusters(path: str | Path) -> tuple[Tensor, Tensor]:
    """Centres (K, D) and the descriptors (M, D) that were clustered, float32, of .safetensors or .hdf5.

    Raises CheckpointError for a file that cannot be read or holds something else.
    """
    found = read_container(Path(path))
    if not isinstance(found, dict) or not {"centroids", "descriptors"} <= found.keys():
        raise CheckpointError(
            f"{path}: expected cluster centres (centroids and descriptors), found "
            f"{', '.join(map(str, found)) if isinstance(found, dict) else 'something else'}; "
            "`relpose prepare clusters` makes them"
        )
    return found["centroids"].float(), found["descriptors"].float()


def start_clusters(network: Network, centres: Tensor, descriptors: Tensor, what: str = "clusters") -> float:
    """Start the NetVLAD of `network` from centres (K, D) and descriptors (M, D); returns alpha.

    Raises ConfigurationError, naming `what`, if it has none or they do not fit it.
    """
    layer = getattr(network, NETVLAD, None)
    if not isinstance(layer, NetVlad):
        raise ConfigurationError(
            f"{what}: cluster centres are for NetVLAD, and this {type(network).__name__} has none; leave "
            "them out, or take retrieval.netvlad_vgg16 or retrieval.mobile_netvlad"
        )
    try:
        return layer.init_from_clusters(
            centres.to(layer.centroids.device), descriptors.to(layer.centroids.device)
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from None


def _load(network: Network, path: Path) -> tuple[CheckpointInfo, tuple[str, ...]]:
    """Load what fits; returns the header and the names of what was loaded."""
    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"{path}: expected a checkpoint (.safetensors); make one of a published file with "
            f"`relpose checkpoint import openibl|torchvision|torchvision-caffe|timm {path.name}`"
        )
    info = read_info(path)
    found: dict[str, Tensor] = read_container(path)
    expected = network.state_dict()
    trunk = {name: value for name, value in expected.items() if name.startswith(TRUNK)}
    if not trunk:
        raise ConfigurationError(f"expected a network on a trunk (base_model), got {type(network).__name__}")
    # The last stage, which only GeM needs, may be too many: NetVLAD on the same trunk does without.
    same = {name: value for name, value in found.items() if name in expected}
    if problems := describe_difference(
        shapes_of(trunk), shapes_of({name: value for name, value in same.items() if name in trunk})
    ):
        raise CheckpointError(f"{path} ({info.network}): not the trunk of this network: {problems}")
    same = {name: value for name, value in same.items() if value.shape == expected[name].shape}
    check_kinds({name: expected[name] for name in same}, same, f"{path} ({info.network})")
    network.load_state_dict(same, strict=False)
    return info, tuple(same)
