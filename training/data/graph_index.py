"""The index of a split of graph scenes, `<split>.json`: written last, so that no half split is ever read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from relpose_ros.errors import ConfigurationError
from relpose_ros.retrieval.graph_images import GraphInput
from relpose_training.data.graph_scenes import FORMAT


def write_index(
    folder: Path,
    split: str,
    scenes: Sequence[Mapping[str, Any]],
    graph_input: GraphInput,
    retrieval: str,
    made: str,
    options: Mapping[str, Any],
) -> None:
    """`<split>.json`: what lies in the folder."""
    content = {
        "format": FORMAT,
        "split": split,
        "input": graph_input.to_dict(),
        "retrieval": retrieval,
        "made": made,
        "options": options,
        "scenes": list(scenes),
    }
    write_json(folder / f"{split}.json", content)


def clear_index(folder: Path, splits: Iterable[str], force: bool) -> None:
    """Remove the indices of splits that are going to be made: they would describe scenes that are replaced.

    Raises ConfigurationError where there is one, unless `force`.
    """
    there = [path for path in (folder / f"{split}.json" for split in sorted(splits)) if path.exists()]
    if there and not force:
        raise ConfigurationError(
            f"{there[0]}: is there already; choose another --out, or give --force to replace it"
        )
    for path in there:
        path.unlink()


def write_json(path: Path, content: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=1, allow_nan=False), encoding="utf-8")
    part.replace(path)
