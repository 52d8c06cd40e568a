"""What timm's MobileNetV4-Conv-Small is, as a fixture for tests: names, shapes, and a few of its outputs.

    pip install timm==1.0.31 && python tools/timm_mobile.py test/networks/retrieval/timm_mobile.json

The weights and the image are the rule below, which the test repeats: so the fixture holds no weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MODEL = "mobilenetv4_conv_small"
HEAD = ("conv_head.", "norm_head.", "classifier.")


def ruled(name: str, value: Tensor) -> Tensor:
    """The tensor called `name` by rule: variances above 0, weights about as large as trained ones."""
    wave = torch.sin(0.7 * torch.arange(value.numel(), dtype=torch.float64) + len(name))
    if name.endswith("num_batches_tracked"):
        return value
    if name.endswith(("running_var", "bn1.weight", "bn.weight")):
        wave = 1 + 0.3 * wave
    elif value.ndim == 4:
        wave = wave * (2 / value[0].numel()) ** 0.5
    else:
        wave = 0.1 * wave
    return wave.reshape(value.shape).to(value.dtype)


def image() -> Tensor:
    """An image (1, 3, 64, 96) by rule."""
    return torch.sin(0.01 * torch.arange(3 * 64 * 96, dtype=torch.float32) ** 1.1).reshape(1, 3, 64, 96)


def sampled(features: Tensor) -> list[float]:
    """Some values of a map, all through it: a step that is no multiple of its size meets every pixel."""
    return [round(v, 6) for v in features.flatten()[:: features.numel() // 24 + 7].tolist()]


def fixture() -> dict[str, Any]:
    """Made with timm."""
    import timm

    network = timm.create_model(MODEL).eval()
    network.load_state_dict({name: ruled(name, value) for name, value in network.state_dict().items()})
    dilated = timm.create_model(MODEL, features_only=True, output_stride=16, out_indices=(4,)).eval()
    dilated.load_state_dict(network.state_dict(), strict=False)
    with torch.no_grad():
        plain, larger = network.forward_features(image()), dilated(image())[0]
    return {
        "made_by": f"python tools/timm_mobile.py (timm {timm.__version__})",
        "model": MODEL,
        "shapes": {name: list(value.shape) for name, value in network.state_dict().items()},
        "stride 32": {"shape": list(plain.shape), "values": sampled(plain)},
        "stride 16": {"shape": list(larger.shape), "values": sampled(larger)},
    }


def main() -> None:
    """Write the fixture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    out.write_text(json.dumps(fixture(), indent=1) + "\n")


if __name__ == "__main__":
    main()
