"""Views of one scene from shards, as scene-coordinate networks and their losses take them.

Every sample is one image on a canvas of (H, W) pixels, cells (h, w) = (H / 8, W / 8):

    image        (C, H, W) float32  normalised
    pixels       (2, h, w) float32  centre of each cell as an ideal camera sees it: K @ ray, undistorted
    matrix       (3, 3)    float32  K of that camera
    pose         (4, 4)    float32  world_from_camera, less the origin of the set
    coordinates  (3, h, w) float32  less the origin; 0 where unknown
    known        (h, w)    bool     where they are known
    inside       (h, w)    bool     the cell shows the image, not what was put around it
    depth        (h, w)    float32  metres along the axis, 0 where unknown
    normals      (3, h, w) float32  on request: camera's axes, towards the camera, 0 where unknown
    semantics    (H, W)    int64    on request: classes, -100 outside
    domain       ()        int64    0 real, 1 simulated
    number       ()        int64    which image of the set: index into `names`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.progress import Progress, silent
from relpose_ros.resampling import short_side_size
from relpose_training.data.cell_labels import STRIDE
from relpose_training.data.scene_changes import GREY, PLAIN, AugmentationRange, Normalisation
from relpose_training.data.scene_coordinate_augmentation import SceneSample, scene_sample
from relpose_training.data.scene_storage import stored_view
from relpose_training.data.scene_warp import IGNORED
from relpose_training.data.shard_dataset import ShardDataset
from relpose_training.data.shards import Sample, ShardSet

Extra = Literal["normals", "semantics"]
FIELDS = ("image", "camera", "pose", "depth", "depth_step", "landmarks", "semantics", "domain", "number")


class SceneViews(ShardDataset):
    """The views of these shards (default: all).

    `canvas` (H, W) in pixels, multiples of 8 (None: `default_canvas` of the set); `height`: what the short
    side of every image becomes, before augmentation; `augmentation` None: none, as in validation. Raises
    DatasetError if the shards hold something else, or nothing of what `extras` asks for.
    """

    def __init__(
        self,
        shards: ShardSet,
        numbers: Sequence[int] | None = None,
        *,
        canvas: tuple[int, int] | None = None,
        height: int = 480,
        normalisation: Normalisation = GREY,
        augmentation: AugmentationRange | None = None,
        extras: Sequence[Extra] = (),
        progress: Progress = silent,
    ) -> None:
        super().__init__(shards, range(len(shards.sizes)) if numbers is None else numbers, progress)
        self._check(extras)
        self.canvas = canvas or default_canvas(self.meta, height)
        self.height, self.normalisation, self.augmentation = height, normalisation, augmentation
        self.extras = tuple(extras)

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the index says of the set: origin, bounds, frame, views, names, ..."""
        return self.shards.index.meta

    @property
    def names(self) -> list[str]:
        """The images of the set; `number` of a sample is an index into them."""
        return [str(name) for name in self.meta["names"]]

    def kinds(self) -> NDArray[np.int64]:
        """The domain of each view."""
        return np.concatenate([self.shards.shard(number).column("domain") for number in self.numbers])

    def prepare(self, sample: Sample, generator: np.random.Generator) -> Sample:
        grey = self.normalisation.channels == 1
        view = stored_view(sample, grey=grey, semantics="semantics" in self.extras)
        how = PLAIN if self.augmentation is None else self.augmentation.draw(generator)
        normals = "normals" in self.extras
        made = scene_sample(view, self.height, how, self.canvas, self.normalisation, normals)
        out = {**_arrays(made), "domain": sample["domain"], "number": sample["number"]}
        if normals:
            out["normals"] = np.asarray(made.normals)
        if "semantics" in self.extras:
            nothing = np.full(self.canvas, IGNORED, np.int64)
            out["semantics"] = nothing if made.semantics is None else made.semantics
        return out

    def _check(self, extras: Sequence[Extra]) -> None:
        """Refuse shards of something else before a run starts."""
        stored = self.shards.shard(self.numbers[0]).sample(0)
        missing = [name for name in FIELDS if name not in stored]
        where = f"{self.shards.url}/{self.shards.split}"
        if missing or "origin" not in self.meta:
            raise DatasetError(
                f"{where}: expected views of a scene ({', '.join(FIELDS)}), found {', '.join(stored)}; make "
                "them with `relpose prepare scene`"
            )
        needed = {"normals": "depth", "semantics": "semantics"}
        for extra in extras:
            if not len(stored[needed[extra]]):
                raise DatasetError(
                    f"{where}: {extra} asked for, but the set has no {needed[extra]}; prepare it from a "
                    f"source with {needed[extra]}, or train without"
                )


def default_canvas(meta: Mapping[str, Any], height: int) -> tuple[int, int]:
    """The canvas (H, W) that holds the set's usual image at `height` without cutting it."""
    width, tall = (max(1, round(float(n))) for n in meta["mean_image_size"])
    scaled = short_side_size(tall, width, height)
    return -(-scaled[0] // STRIDE) * STRIDE, -(-scaled[1] // STRIDE) * STRIDE


def _arrays(made: SceneSample) -> Sample:
    return {
        "image": made.image,
        "pixels": made.pixels,
        "matrix": made.camera.matrix.astype(np.float32),
        "pose": made.map_from_camera.matrix.astype(np.float32),
        "coordinates": made.coordinates,
        "known": made.known,
        "inside": made.inside,
        "depth": made.depth,
    }
