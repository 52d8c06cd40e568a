"""Images without poses: a folder of them as a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.image_files import IMAGE_SUFFIXES, ImageFile
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_training.data.sequences import PosedSequence


@dataclass(frozen=True)
class ImageFolder:
    """All images below a folder; a `PosedSequence` without poses."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def images(self) -> Sequence[PosedImage]:
        files = sorted(p for p in self.path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        nothing = Camera("pinhole", 1, 1, 0, 0, 1, 1)
        return [PosedImage(str(p.relative_to(self.path)), nothing, None, "map", ImageFile(p)) for p in files]


def image_sequences(
    sources: Sequence[str], posed: Callable[[list[str]], Sequence[PosedSequence]]
) -> list[PosedSequence]:
    """Sequences of images: folders of images as they are, everything else as posed sources.

    Raises DatasetError for a source that is neither.
    """
    from relpose_ros.datasets.open import detect_format

    sequences: list[PosedSequence] = []
    for source in sources:
        path = Path(source)
        try:
            if path.is_dir():
                detect_format(path)
            sequences += posed([source])
        except DatasetError:
            folder = ImageFolder(path)
            if not path.is_dir() or not folder.images():
                raise
            sequences.append(folder)
    return sequences
