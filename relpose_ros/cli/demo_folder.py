"""The folder of a demo: replaced by the next demo, never anything that a demo did not make."""

from __future__ import annotations

import shutil
from pathlib import Path

from relpose_ros.errors import ConfigurationError

MARKER = ".relpose-demo"
NOTE = "Made by `relpose demo`; the next one into this folder replaces what the last one left.\n"
MADE = ("world", "query_bag", "map.relmap", "map.relmap.building", "report", "demo.json")
"""What a demo puts into its folder."""


def prepare_folder(out: Path) -> Path:
    """Make `out`, or empty it of what an earlier demo made. Other files in it are left alone.

    Raises ConfigurationError if `out` is a file, or holds something and was not made by a demo.
    """
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out}: is a file; --out names the folder to write into")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise ConfigurationError(
            f"{out}: holds files and was not made by a demo, so it is left as it is; choose another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text(NOTE)
    for name in MADE:
        path = out / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return out
