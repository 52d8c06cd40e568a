"""Graph scenes of many sources: each is made by itself, and the index of each split last."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from relpose_ros.errors import ConfigurationError
from relpose_ros.progress import Progress, silent
from relpose_training.data.graph_index import clear_index, write_index
from relpose_training.data.graph_parts import PARTS, GraphSetOptions, ScenePart
from relpose_training.data.graph_ranking import Descriptions
from relpose_training.data.parts import make_parts
from relpose_training.data.place_set import Divide, slugs_of
from relpose_training.data.sequences import SPLITS, PosedSequence, divide


def prepare_graphs(
    sequences: Sequence[PosedSequence],
    folder: Path,
    shares: Mapping[str, float],
    options: GraphSetOptions,
    divided: Divide = "auto",
    seed: int = 0,
    workers: int = 1,
    made: str = "",
    force: bool = False,
    progress: Progress = silent,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, int]:
    """Make the splits in `folder`; returns how many queries each has.

    Sources are divided by `shares` as wholes ("sources"), each by itself ("images"), or as wholes where there
    are enough ("auto"). What was made is kept: started again, a run goes on where it was. Raises DatasetError
    for a source that cannot be used, and ConfigurationError, also for splits that are there already unless
    `force`.
    """
    if len({repr(sequence) for sequence in sequences}) < len(sequences):
        raise ConfigurationError("a source is given twice; expected each once")
    parts = _parts(sequences, folder, shares, options, divided, seed)
    clear_index(folder, {split for part in parts for split in part.splits}, force)
    make_parts(parts, workers, progress, report)
    counts = {}
    for split in SPLITS:
        entries = [part.entries()[split] for part in parts if split in part.entries()]
        if entries:
            name = Descriptions(options.retrieval).name
            write_index(folder, split, entries, options.input, name, made, asdict(options))
            counts[split] = sum(entry["queries"] for entry in entries)
    shutil.rmtree(folder / PARTS)
    return counts


def _parts(
    sequences: Sequence[PosedSequence],
    folder: Path,
    shares: Mapping[str, float],
    options: GraphSetOptions,
    divided: Divide,
    seed: int,
) -> list[ScenePart]:
    slugs = slugs_of([sequence.name for sequence in sequences])
    parts = [
        ScenePart(folder, sequence, options, slug, "", tuple(shares.items()))
        for sequence, slug in zip(sequences, slugs, strict=True)
    ]
    if divided == "images" or (divided == "auto" and len(parts) < len(shares)):
        return parts
    out = []
    for split, numbers in divide(len(parts), shares, seed).items():
        out += [replace(parts[k], split=split, shares=()) for k in numbers]
    return out
