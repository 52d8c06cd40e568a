"""Images of a domain, wherever they are: a folder, a posed source, or the shards of a scene."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.open import FORMATS, open_source
from relpose_ros.errors import DatasetError
from relpose_ros.images import decode_image, read_bytes
from relpose_training.data.scene_storage import DOMAINS
from relpose_training.data.shards import ShardSet

Split = Literal["train", "val"]
Pixels = NDArray[np.uint8]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


class ImageBank(ABC):
    """Images by number; picklable."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def load(self, number: int) -> Pixels:
        """uint8, grey (H, W) or BGR (H, W, 3). Raises ImageError for a broken file."""


class FileBank(ImageBank):
    """Image files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, number: int) -> Pixels:
        path = self.paths[number]
        return decode_image(read_bytes(path), str(path))


class SourceBank(ImageBank):
    """Some images of a posed source, which every process opens by itself."""

    def __init__(self, path: Path, numbers: Sequence[int]) -> None:
        self.path, self.numbers = path, list(numbers)
        self._images: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_images": None}

    def __len__(self) -> int:
        return len(self.numbers)

    def load(self, number: int) -> Pixels:
        if self._images is None:
            self._images = open_source(self.path).images
        pixels: Pixels = self._images[self.numbers[number]].load()
        return pixels


class ShardBank(ImageBank):
    """The images of one domain of a scene's shards; of all, if the split has only one."""

    def __init__(self, shards: ShardSet, domain: int) -> None:
        shards.verify(range(len(shards.sizes)))
        self.shards = shards
        places = [(k, item) for k, size in enumerate(shards.sizes) for item in range(size)]
        domains = [int(shards.shard(k).sample(item)["domain"]) for k, item in places]
        one = len(set(domains)) == 1
        self.places = [place for place, d in zip(places, domains, strict=True) if one or d == domain]

    def __len__(self) -> int:
        return len(self.places)

    def load(self, number: int) -> Pixels:
        shard, item = self.places[number]
        data = self.shards.shard(shard).sample(item)["image"].tobytes()
        return decode_image(data, f"{self.shards.url}: image {item} of shard {shard}")


def open_bank(url: str, domain: Literal["real", "simulated"], split: Split, holdout: float) -> ImageBank:
    """The images at `url` of a split; `domain` chooses among those of a scene's shards.

    Of folders and sources, every 1 / `holdout`-th image is validation. Raises DatasetError if there are no
    images for the split.
    """
    folder = Path(url)
    if "://" in url or (folder / "train.json").is_file():
        bank: ImageBank = ShardBank(ShardSet(url, split), DOMAINS.index(domain))
    elif any(layout.recognises(folder) for layout in FORMATS.values()):
        bank = SourceBank(folder, _part(range(len(open_source(folder).images)), split, holdout))
    else:
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        bank = FileBank([files[k] for k in _part(range(len(files)), split, holdout)])
    if not len(bank):
        raise DatasetError(
            f"{url}: expected images to {'train' if split == 'train' else 'validate'} on, found none; give a "
            "folder of two images or more, a posed source, or the shards of `relpose prepare scene`"
        )
    return bank


def _part(numbers: range, split: Split, holdout: float) -> list[int]:
    """Those of a split: every 1 / `holdout`-th is validation, the first of them in the middle of its run."""
    every = max(2, round(1 / holdout))
    held = [k for k in numbers if k % every == min(every // 2, len(numbers) - 1)]
    return held if split == "val" else [k for k in numbers if k not in set(held)]
