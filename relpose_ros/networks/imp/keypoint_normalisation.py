"""Pixels to the coordinates that the keypoint encoder was trained with."""

from __future__ import annotations

from torch import Tensor


def normalise_keypoints(
    keypoints: Tensor, size: tuple[int, int], training: bool = False, layout_bug_compat: bool = False
) -> Tensor:
    """Centred keypoints (..., 2), longest side 1/0.7, from pixels of an image of `size` (width, height).

    `training` subtracts half a pixel more, as the published training and its validation did (but not the
    published test). `layout_bug_compat` is what the published iterative evaluation computed: it read
    (B, H, W, C) as (B, C, H, W), so it took the height for the width and 3 for the height.
    """
    width, height = (3, size[0]) if layout_bug_compat else size
    offset = keypoints.new_tensor([width / 2, height / 2]) + (0.5 if training else 0.0)
    return (keypoints - offset) / (0.7 * max(width, height))
