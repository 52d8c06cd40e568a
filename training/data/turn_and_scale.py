"""The augmentation of TransPose and CrossLoc: one scale and one turn for a batch and its labels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

STRIDE = 8
OFFSET = 4  # the pixel of a cell that its label belongs to, in both axes
NODATA = -1.0


@dataclass(frozen=True)
class LabelledBatch:
    """Images and what is known of them.

    `images` (B, C, H, W), normalised; `labels` (B, K, h, w) one a cell of 8x8 pixels, -1 where there is
    none, of quantities that do not turn with the camera (scene coordinates, classes) or only with its
    axis (depth); `normals` (B, 3, h, w) in the camera's frame, likewise; `world_from_camera` (B, 4, 4);
    `camera_matrix` (B, 3, 3), pixels with their centres at integers.
    """

    images: Tensor
    labels: Tensor
    world_from_camera: Tensor
    camera_matrix: Tensor
    normals: Tensor | None = None


def draw_turn_and_scale(generator: torch.Generator) -> tuple[float, float]:
    """A scale in [2/3, 3/2] and an angle in [-30, 30] degrees, uniformly: the published range."""
    scale, angle = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    return 2 / 3 + scale * (3 / 2 - 2 / 3), math.radians(60 * angle - 30)


def turn_and_scale(
    batch: LabelledBatch, scale: float, angle: float, fill: float = NODATA, compat: bool = False
) -> LabelledBatch:
    """The batch as seen by a camera turned about its axis, with `scale` times the focal length.

    The image turns counter-clockwise by `angle` (radians) about the principal point, and with it the poses
    and the normals. Images are sampled bilinearly, labels from the nearest cell; what comes from outside is
    `fill` in images and -1 in labels. Sizes become ceil(scale * size), maps ceil(size / 8) of that.

    `compat`: as published, the image turns about its middle and **poses and normals do not turn**, so that
    they contradict the image; the principal point keeps its place relative to the image's size.
    """
    height, width = (math.ceil(n * scale) for n in batch.images.shape[2:])
    matrix = scaled_camera(batch.camera_matrix, scale)
    if compat:
        return _published(batch, (height, width), matrix, angle, fill)
    turn = _about_axis(angle, like=matrix)
    source = batch.camera_matrix @ turn @ torch.linalg.inv(matrix)  # pixel of the input from one of ours
    pixels = _grid(height, width, like=matrix)
    cells = _grid(math.ceil(height / STRIDE), math.ceil(width / STRIDE), like=matrix) * STRIDE + OFFSET
    at_cells = (_warp(source, cells) - OFFSET) / STRIDE
    normals = batch.normals
    if normals is not None:
        normals = _turned(sample(normals, at_cells, "nearest", NODATA), turn)
    poses = batch.world_from_camera.clone()
    poses[:, :3, :3] = poses[:, :3, :3] @ turn.to(poses)
    return LabelledBatch(
        images=sample(batch.images, _warp(source, pixels), "bilinear", fill),
        labels=sample(batch.labels, at_cells, "nearest", NODATA),
        world_from_camera=poses,
        camera_matrix=matrix,
        normals=normals,
    )


def scaled_camera(camera_matrix: Tensor, scale: float) -> Tensor:
    """Camera matrices (B, 3, 3) of images resized by `scale`, pixel centres at integers in both."""
    matrix = camera_matrix.clone()
    matrix[:, :2] *= scale
    matrix[:, :2, 2] += (scale - 1) / 2
    return matrix


def sample(maps: Tensor, at: Tensor, mode: str, fill: float) -> Tensor:
    """Values (B, C, h, w) of `maps` at positions (B, h, w, 2), x then y, of samples at integers.

    `fill` where the nearest sample is outside.
    """
    size = at.new_tensor([maps.shape[3], maps.shape[2]])
    grid = ((2 * at + 1) / size - 1).to(maps.dtype)
    values = functional.grid_sample(maps, grid, mode=mode, padding_mode="border", align_corners=False)
    inside = ((at >= -0.5) & (at < size - 0.5)).all(-1)[:, None]
    return torch.where(inside, values, torch.full_like(values, fill))


def _about_axis(angle: float, like: Tensor) -> Tensor:
    """old_camera_from_new (3, 3): the camera turns clockwise by `angle`, what it sees counter-clockwise."""
    c, s = math.cos(angle), math.sin(angle)
    return like.new_tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _turned(normals: Tensor, turn: Tensor) -> Tensor:
    """Vectors (B, 3, h, w) of the old camera frame in the new one; -1, -1, -1 stays."""
    known = ~(normals == NODATA).all(1, keepdim=True)
    return torch.where(known, torch.einsum("ji,bjhw->bihw", turn.to(normals), normals), normals)


def _grid(height: int, width: int, like: Tensor) -> Tensor:
    """Positions (height, width, 2), x then y."""
    y = torch.arange(height, dtype=like.dtype, device=like.device)
    x = torch.arange(width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def _warp(homography: Tensor, positions: Tensor) -> Tensor:
    """Homographies (B, 3, 3) applied to positions (h, w, 2): (B, h, w, 2)."""
    homogeneous = torch.cat([positions, torch.ones_like(positions[..., :1])], dim=-1)
    mapped = torch.einsum("bij,hwj->bhwi", homography, homogeneous)
    return mapped[..., :2] / mapped[..., 2:]


def _published(
    batch: LabelledBatch, size: tuple[int, int], matrix: Tensor, angle: float, fill: float
) -> LabelledBatch:
    """Resize, then turn by nearest neighbours, images and cells alone."""
    cells = (math.ceil(size[0] / STRIDE), math.ceil(size[1] / STRIDE))
    images = functional.interpolate(batch.images, size, mode="bilinear", align_corners=False)
    turned = {"images": _turn_about_middle(images, angle, fill)}
    for name in ("labels", "normals"):
        maps = getattr(batch, name)
        if maps is not None:
            turned[name] = _turn_about_middle(functional.interpolate(maps, cells), angle, NODATA)
    return replace(batch, camera_matrix=matrix, **turned)


def _turn_about_middle(maps: Tensor, angle: float, fill: float) -> Tensor:
    """Maps (B, C, h, w) turned counter-clockwise about their middle, nearest neighbours."""
    height, width = maps.shape[2:]
    middle = maps.new_tensor([(width - 1) / 2, (height - 1) / 2])
    turn = _about_axis(angle, like=maps)[:2, :2]
    at = (_grid(height, width, like=maps) - middle) @ turn.T + middle
    return sample(maps, at.expand(len(maps), -1, -1, -1), "nearest", fill)
