"""Types of Cloud TPU: which sizes there are, which runtime they start with, where Google offers them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from relpose_ros.errors import ConfigurationError

POWERS = (1, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Family:
    """One generation. `sizes` are the numbers after the dash; None: any multiple of 8.

    Runtime versions and zones as in Google's tables "TPU software versions" (PyTorch and JAX) and "TPU
    regions and zones", as far as stored copies of 2025 and 2026 showed them. A grant may name other zones.
    """

    runtime: str
    zones: tuple[str, ...]
    sizes: tuple[int, ...] | None


FAMILIES = {
    "v2": Family(
        "tpu-ubuntu2204-base",
        ("us-central1-a", "us-central1-b", "us-central1-c", "europe-west4-a", "asia-east1-c"),
        (8, 32, 128, 256, 512),
    ),
    "v3": Family(
        "tpu-ubuntu2204-base",
        ("us-central1-a", "us-central1-b", "europe-west4-a"),
        (8, 32, 64, 128, 256, 512, 1024, 2048),
    ),
    "v4": Family("tpu-ubuntu2204-base", ("us-central2-b",), None),
    "v5litepod": Family(
        "v2-alpha-tpuv5-lite",
        ("us-central1-a", "us-south1-a", "us-west1-c", "us-west4-a", "europe-west4-b"),
        POWERS,
    ),
    "v5p": Family("v2-alpha-tpuv5", ("us-central1-a", "us-east5-a", "europe-west4-b"), None),
    "v6e": Family(
        "v2-alpha-tpuv6e",
        ("us-central1-b", "us-east1-d", "us-east5-a", "us-east5-b", "europe-west4-a"),
        POWERS,
    ),
}
ALIASES = {"v5e": "v5litepod"}


def parse_type(text: str) -> tuple[str, Family]:
    """The type as gcloud wants it (`v5e-8` is `v5litepod-8`), and its family.

    Raises ConfigurationError for what Google does not rent out as a TPU VM.
    """
    match = re.fullmatch(r"([a-z0-9]+)-(\d+)", text)
    name = ALIASES.get(match[1], match[1]) if match else ""
    if name.startswith(("tpu7", "v7")):
        raise ConfigurationError(f"type {text!r}: Google rents TPU7x through Kubernetes (GKE) only")
    if match is None or name not in FAMILIES:
        raise ConfigurationError(
            f"type {text!r}: expected a generation and a size, as v3-8; generations: {', '.join(FAMILIES)}"
        )
    family, size = FAMILIES[name], int(match[2])
    if family.sizes is None:
        if size < 8 or size % 8:
            raise ConfigurationError(f"type {text!r}: sizes of {name} are multiples of 8, as {name}-8")
    elif size not in family.sizes:
        raise ConfigurationError(f"type {text!r}: sizes of {name} are {', '.join(map(str, family.sizes))}")
    return f"{name}-{size}", family
