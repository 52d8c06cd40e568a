"""A data set of pairs from many sequences: divided into splits, resumable, written whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.progress import Progress, silent
from relpose_training.data.correspondences import FARTHEST, VARYING
from relpose_training.data.oanet_hdf5 import OANetFile
from relpose_training.data.oanet_writer import write_oanet
from relpose_training.data.pair_correspondences import PairCorrespondences
from relpose_training.data.parts import make_parts
from relpose_training.data.sequences import PosedSequence, divide, licence_of, metric_of
from relpose_training.data.shard_writer import write_shards
from relpose_training.data.shards import Sample, ShardSet
from relpose_training.data.virtual_points import virtual_correspondences

Format = Literal["shards", "oanet"]

PARTS = ".parts"


class PairTally(Protocol):
    """A dataclass: what became of the images of a sequence."""

    kept: int

    def sentence(self) -> str:
        """In words."""
        ...


class PairMaker(Protocol):
    """A frozen dataclass that says how pairs are made of a sequence, and makes them."""

    varying: ClassVar[tuple[str, ...]]
    """Fields of a pair whose lengths differ."""

    @property
    def seed(self) -> int:
        """Which sequences are in which split follows from it."""
        ...

    def new_tally(self) -> Any:
        """A `PairTally` of nothing."""
        ...

    def meta(self) -> dict[str, Any]:
        """What the index of a split says of the pairs."""
        ...

    def samples(
        self, sequence: PosedSequence, folder: Path, progress: Progress, tally: Any, /
    ) -> Iterator[Sample]:
        """The pairs; `tally` is filled. What is kept in `folder` helps when it is started again."""
        ...


@dataclass(frozen=True)
class Target:
    """Where pairs go: `<folder>/<split>.json` and shards, or `<folder>/<split>.hdf5` as OANet's."""

    folder: Path
    shards: int = 1
    format: Format = "shards"
    force: bool = False

    def file(self, split: str) -> Path:
        """What is there when the split is complete."""
        return self.folder / (f"{split}.json" if self.format == "shards" else f"{split}.hdf5")

    def refuse_existing(self, split: str) -> None:
        """Raises ConfigurationError if the split is there and `force` is not said."""
        if self.file(split).exists() and not self.force:
            raise ConfigurationError(
                f"{self.file(split)} exists already; choose another --out, or say --force"
            )

    def write(
        self, split: str, samples: Iterator[Sample], meta: Mapping[str, Any], varying: Sequence[str] = VARYING
    ) -> int:
        """Write one split; returns how many pairs. Raises DatasetError if they are too few."""
        if self.format == "oanet":
            return write_oanet(samples, self.file(split))
        index = write_shards(samples, self.folder, split, self.shards, varying, meta)
        return sum(entry.samples for entry in index.shards)


def prepare_correspondences(
    sequences: Sequence[PosedSequence],
    shares: Mapping[str, float],
    target: Target,
    options: PairMaker,
    source: str = "",
    workers: int = 1,
    progress: Progress = silent,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, int]:
    """Make pairs of all sequences and write the splits; returns pairs by split.

    Each sequence is kept in a part of its own until the end: started again, a run goes on where it was.
    `report` gets a line for each sequence. Raises DatasetError when a split has too few pairs, or a source
    cannot be used, and ConfigurationError.
    """
    divided = divide(len(sequences), shares, options.seed)
    for split in divided:
        target.refuse_existing(split)
    parts = [Part(target.folder / PARTS, sequence, options) for sequence in sequences]
    if len({part.key for part in parts}) < len(parts):
        raise ConfigurationError("a source is given twice; expected each once")
    make_parts(parts, workers, progress, report)
    counts = {}
    for split, numbers in divided.items():
        chosen = [parts[k] for k in numbers]
        pairs = sum(part.tally().kept for part in chosen)
        if pairs < target.shards:
            lines = "\n".join(f"  {part.sequence.name}: {part.tally().sentence()}" for part in chosen[:10])
            raise DatasetError(
                f"{split}: {pairs} pairs for {target.shards} shards; expected at least one for each\n{lines}"
            )
        meta = {**_meta(chosen, options), "source": source}
        counts[split] = target.write(split, _numbered(chosen), meta, options.varying)
    for part in parts:
        part.remove()
    return counts


def _meta(parts: Sequence[Part], options: PairMaker) -> dict[str, Any]:
    licences = [licence_of(part.sequence) for part in parts]
    return {
        **options.meta(),
        "sequences": [part.sequence.name for part in parts],
        "licences": licences,
        "licence": ", ".join(dict.fromkeys(licences)),
        "metric": all(metric_of(part.sequence) for part in parts),
        "options": as_dict(options),
    }


def as_dict(options: Any) -> dict[str, Any]:
    """The fields of a dataclass."""
    return asdict(options)


@dataclass(frozen=True)
class Part:
    """The pairs of one sequence on disk: shards of one, named by what they were made from and how."""

    folder: Path
    sequence: PosedSequence
    options: PairMaker

    @property
    def key(self) -> str:
        """Changes with the sequence and the options."""
        text = f"{self.sequence!r} {json.dumps(as_dict(self.options), sort_keys=True)}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Of its sequence."""
        return self.sequence.name

    def sentence(self) -> str:
        """What became of its images, in words."""
        return self.tally().sentence()

    def done(self) -> bool:
        """Whether it was made before."""
        return self._tally_file.is_file()

    def tally(self) -> PairTally:
        """What became of its images."""
        made: PairTally = replace(self.options.new_tally(), **json.loads(self._tally_file.read_text()))
        return made

    def make(self, progress: Progress = silent) -> None:
        """Make the pairs and write them; the tally, which is written last, says that it is done."""
        tally, kept = self.options.new_tally(), self.folder / f"{self.key}.images"
        samples = self.options.samples(self.sequence, kept, progress, tally)
        first = next(samples, None)
        if first is not None:
            write_shards(_chained(first, samples), self.folder, self.key, 1, self.options.varying)
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self._tally_file.with_suffix(".part")
        part.write_text(json.dumps(as_dict(tally)))
        part.replace(self._tally_file)
        shutil.rmtree(kept, ignore_errors=True)

    def samples(self) -> Iterator[Sample]:
        """Its pairs, one at a time."""
        if self.tally().kept:
            shard = ShardSet(self.folder, self.key).shard(0)
            yield from (shard.sample(k) for k in range(self.tally().kept))

    def remove(self) -> None:
        """Leave nothing of it, nor of runs that were killed."""
        for path in (*self.folder.glob(f"{self.key}*"), *self.folder.glob(f".{self.key}*")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    @property
    def _tally_file(self) -> Path:
        return self.folder / f"{self.key}.tally"


def convert_oanet(
    path: Path,
    split: str,
    target: Target,
    progress: Progress = silent,
    report: Callable[[str], None] = lambda line: None,
) -> int:
    """Write the pairs of an OANet HDF5 file as a split, one at a time; returns how many.

    `report` is told of pairs without a correspondence, which are left out. Raises DatasetError for a file
    that is not as OANet writes it, and for numbers that are not finite.
    """
    target.refuse_existing(split)
    with OANetFile(path) as file:
        if len(file) < target.shards:
            raise DatasetError(f"{path}: {len(file)} pairs for {target.shards} shards; expected one for each")
        meta = {
            "source": f"OANet {path.name}",
            "features": "sift-2000 (OpenCV, as OANet)",
            "sequences": [path.stem],
            "licences": ["research only (OANet, UVic/EPFL)"],
        }
        return target.write(split, _from_oanet(file, progress, report), meta)


def _from_oanet(file: OANetFile, progress: Progress, report: Callable[[str], None]) -> Iterator[Sample]:
    count = len(file)
    for k in range(count):
        pair = file[k]
        if not len(pair):
            report(f"{file.path}: pair {k} has no correspondences and is left out")
            continue
        if not all(np.isfinite(values).all() for values in (pair.features(6), pair.rotation, pair.direction)):
            raise DatasetError(f"{file.path}: pair {k} has numbers that are not finite; write the file again")
        cameras = [(K[0, 0], K[1, 1], K[0, 2], K[1, 2]) for K in file.cameras(k)]
        sample = stored_sample(pair)
        sample["cameras"] = np.array(cameras, np.float32)
        sample["sequence"] = np.zeros(1, np.int32)
        progress(k + 1, count, f"pair {k + 1}")
        yield sample


def stored_sample(pair: PairCorrespondences) -> Sample:
    """A pair as shards hold it, without its cameras."""
    return {
        "xs": pair.points,
        "ys": np.nan_to_num(pair.distances, nan=0.0, posinf=FARTHEST),
        "ratios": pair.ratios,
        "mutuals": pair.mutual,
        "R": pair.rotation,
        "t": pair.direction,
        "virtual": virtual_correspondences(pair.essential()),
    }


def _numbered(parts: Sequence[Part]) -> Iterator[Sample]:
    """All pairs, with the number of their sequence."""
    for number, part in enumerate(parts):
        for sample in part.samples():
            yield {**sample, "sequence": np.full(1, number, np.int32)}


def _chained(first: Sample, rest: Iterator[Sample]) -> Iterator[Sample]:
    yield first
    yield from rest
