"""Published weights that `relpose checkpoint fetch` knows: address, publisher, checksum if there is one."""

from __future__ import annotations

from dataclasses import dataclass

from relpose_ros.checkpoints.publishers import PUBLISHERS, Publisher
from relpose_ros.errors import ConfigurationError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Release:
    """One published file of weights.

    `sha256` is what the publisher states: all of it, its first digits, or None (then the digest of the first
    download is kept beside the file and compared from then on). `bytes` is the rough size.
    """

    name: str
    url: str
    file: str
    data: str
    network: str | None = None
    bytes: int | None = None
    sha256: str | None = None

    @property
    def publisher(self) -> Publisher:
        """Who published it, and under which licence."""
        return PUBLISHERS[self.name.split(":", 1)[0]]


RELPOSE_GNN = "https://storage.googleapis.com/niantic-lon-static/research/relpose-gnn/models"
SEVEN_SCENES = ("chess", "fire", "heads", "office", "pumpkin", "redkitchen", "stairs")


def _openibl() -> list[Release]:
    data, whitened = "Pittsburgh 30k train", "retrieval.netvlad_vgg16_pca"
    release = "https://github.com/yxgeee/OpenIBL/releases/download/v0.1.0-beta"
    return [
        Release("openibl:sfrs-4096", f"{release}/vgg16_netvlad.pth", "vgg16_netvlad.pth", data, whitened,
                596 * MEGABYTE),
    ]  # fmt: skip


def _relpose_gnn() -> list[Release]:
    whole = [("7scenes", "relpose_gnn__multi_39.pth.tar", "7-Scenes, all training sequences"),
             ("cambridge", "relpose_gnn_cambridge_epoch_149.pth.tar", "Cambridge Landmarks")]  # fmt: skip
    single = [(f"only-{s}", f"1Scenes_{s}_epoch_039.pth.tar", f"7-Scenes, {s} only") for s in SEVEN_SCENES]
    without = [
        (f"without-{s}", f"6Scenes_{s}_epoch_039.pth.tar", f"7-Scenes without {s}") for s in SEVEN_SCENES
    ]
    return [
        Release(f"relpose-gnn:{name}", f"{RELPOSE_GNN}/{file}", file, data)
        for name, file, data in (*whole, *single, *without)
    ]


NETVLAD = Release(
    "pytorch-netvlad:relpose-gnn", f"{RELPOSE_GNN}/netvlad_vgg16.tar", "netvlad_vgg16.tar",
    "not stated; RelPose-GNN retrieves its neighbours with it", "retrieval.netvlad_vgg16_relu",
)  # fmt: skip

TORCHVISION = "https://download.pytorch.org/models"
IMAGENET = "ImageNet-1k (ILSVRC 2012)"

TRUNKS = [
    Release(
        "timm:mobilenetv4-conv-small",
        "https://huggingface.co/timm/mobilenetv4_conv_small.e2400_r224_in1k/resolve/main/model.safetensors",
        "mobilenetv4_conv_small.e2400_r224_in1k.safetensors", IMAGENET, "retrieval.mobile", 15 * MEGABYTE,
    ),
    Release("torchvision:vgg16", f"{TORCHVISION}/vgg16-397923af.pth", "vgg16-397923af.pth", IMAGENET,
            "retrieval.max_pool_vgg16", 553 * MEGABYTE, "397923af"),
    Release("torchvision-caffe:vgg16", f"{TORCHVISION}/vgg16_features-amdegroot-88682ab5.pth",
            "vgg16_features-amdegroot-88682ab5.pth", IMAGENET, "retrieval.max_pool_vgg16", 553 * MEGABYTE,
            "88682ab5"),
]  # fmt: skip
"""What training starts from. OpenIBL's own start, converted from MatConvNet, has no address of its own."""

CATALOGUE: dict[str, Release] = {
    release.name: release for release in (*_openibl(), *_relpose_gnn(), NETVLAD, *TRUNKS)
}
"""Name (`system:what`) -> where it is."""


def find_release(name: str) -> Release:
    """The release called `name`. Raises ConfigurationError listing those of its system, or all."""
    if name in CATALOGUE:
        return CATALOGUE[name]
    family = [known for known in CATALOGUE if known.split(":")[0] == name.split(":")[0]]
    raise ConfigurationError(f"unknown checkpoint {name!r}; expected one of {', '.join(family or CATALOGUE)}")
