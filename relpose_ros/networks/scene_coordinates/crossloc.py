"""The network of TransPose and CrossLoc (Yan et al., CVPR 2022): coordinates, depth, normals or semantics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.blocks import convolution, group_norm, residual_branch
from relpose_ros.networks.scene_coordinates.decoder import Decoder
from relpose_ros.networks.scene_coordinates.deviations import UNCERTAINTIES
from relpose_ros.networks.scene_coordinates.encoder import Encoder

TASKS = {"coord": 3, "depth": 1, "normal": 2, "semantics": 6}
"""Task -> channels: scene coordinates (m), depth (m), logits of azimuth and elevation, logits of classes."""

FUSIONS = ("transpose", "crossloc")


class TransPoseNet(Network):
    """Images (B, 3, H, W) (or 1 channel), normalised -> map (B, task + uncertainty channels, h, w).

    h, w are ceil(H/8), ceil(W/8), or H, W with a `head` other than "cells". `mean` is the mean label,
    added to the prediction (zeros if not given). `uncertainty`: "isotropic" appends one channel, the
    standard deviation; "anisotropic" six, the lower factor of a covariance (of coordinates alone).

    `mlr_encoders` > 0 makes the fine-tuning network with mid-level representations: so many encoders, of
    tasks trained before, all frozen but the first `unfrozen_encoders`. `fusion` says whose:
    "transpose": an encoder of its own, plus what all encoders see together as a residual;
    "crossloc": the `mlr_encoders` alone, through a residual branch with a projected skip.
    """

    input_names = ("image",)
    output_names = ("map",)
    mean: Tensor

    def __init__(
        self,
        task: str = "coord",
        uncertainty: str = "isotropic",
        tiny: bool = False,
        grayscale: bool = False,
        head: str = "cells",
        mean: Sequence[float] | None = None,
        mlr_encoders: int = 0,
        unfrozen_encoders: int = 0,
        fusion: str = "crossloc",
        extra_blocks: int = 2,
    ) -> None:
        super().__init__()
        centre = _mean_label(task, uncertainty, mean)
        if fusion not in FUSIONS or not 0 <= unfrozen_encoders <= mlr_encoders:
            raise ConfigurationError(
                f"expected fusion in {FUSIONS} and 0 <= unfrozen_encoders <= mlr_encoders, "
                f"got {fusion!r}, {unfrozen_encoders}, {mlr_encoders}"
            )
        self.task_channels = len(centre)
        self.grayscale = grayscale
        self.mlr_encoders = mlr_encoders
        self.fusion = fusion
        self.register_buffer("mean", centre)
        if mlr_encoders == 0 or fusion == "transpose":
            self.encoder = Encoder(tiny, grayscale, extra_blocks)
        channels = 128 if tiny else 512
        for i in range(1, mlr_encoders + 1):
            encoder = Encoder(tiny, grayscale, extra_blocks).requires_grad_(i <= unfrozen_encoders)
            self.add_module(f"mlr_encoder_{i}", encoder)
        if mlr_encoders > 0:
            self._add_fusion(channels)
        self.decoder = Decoder(channels, centre.clone(), UNCERTAINTIES[uncertainty], head, extra_blocks)

    def _add_fusion(self, channels: int) -> None:
        together = channels * (self.mlr_encoders + (self.fusion == "transpose"))
        self.mlr_norm = group_norm(together)
        self.mlr_forward = residual_branch(together, channels)
        if self.fusion == "crossloc":
            self.mlr_skip = nn.Sequential(convolution(together, channels, 1), group_norm(channels))

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"tiny": True, "extra_blocks": 1}

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return (torch.randn(batch, 1 if self.grayscale else 3, 48, 72, generator=generator),)

    def set_mean(self, mean: Sequence[float]) -> None:
        """Replace the mean label; the released weights hold two copies of it."""
        for buffer in (self.mean, self.decoder.mean):
            buffer.copy_(torch.as_tensor(mean, dtype=buffer.dtype))

    def split(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """A map (B, C, h, w) -> prediction (B, task channels, h, w), deviation (B, 0, 1 or 6, h, w)."""
        return output[:, : self.task_channels], output[:, self.task_channels :]

    def encode(self, image: Tensor) -> Tensor:
        """The features (B, 512 or 128, h, w) that the decoder, and a projection head, are fed."""
        own: list[Tensor] = [self.encoder(image)] if hasattr(self, "encoder") else []
        if self.mlr_encoders == 0:
            return own[0]
        others = [getattr(self, f"mlr_encoder_{i}")(image) for i in range(1, self.mlr_encoders + 1)]
        together = torch.cat(own + others, dim=1)
        skip = own[0] if self.fusion == "transpose" else self.mlr_skip(together)
        return torch.relu(skip + self.mlr_forward(self.mlr_norm(together)))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return (self.decoder(self.encode(image), (image.shape[2], image.shape[3])),)


def _mean_label(task: str, uncertainty: str, mean: Sequence[float] | None) -> Tensor:
    """The mean label as a tensor; refuses names and sizes that do not fit."""
    if task not in TASKS or uncertainty not in UNCERTAINTIES:
        raise ConfigurationError(
            f"expected a task of {sorted(TASKS)} and an uncertainty of {sorted(UNCERTAINTIES)}, "
            f"got {task!r} and {uncertainty!r}"
        )
    if task == "semantics" and uncertainty != "none":
        raise ConfigurationError("semantics has no uncertainty of its own: pass uncertainty='none'")
    if uncertainty == "anisotropic" and TASKS[task] != 3:
        raise ConfigurationError(
            f"task {task!r} needs uncertainty none or isotropic: an anisotropic one is of three components"
        )
    values = [0.0] * TASKS[task] if mean is None else list(mean)
    if len(values) != TASKS[task]:
        raise ConfigurationError(f"task {task!r} needs a mean of {TASKS[task]} values, got {len(values)}")
    return torch.tensor(values, dtype=torch.float32)
