"""Writes a map as software of schema version 1 did: for what has to open such files, or to beat them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from relpose_ros.maps.bundle import Map
from relpose_ros.maps.seal import MAGIC, SEAL_BYTES
from relpose_ros.maps.storage import map_about, map_arrays

NEW = ("keypoints/loose_offset",)
"""Datasets that version 1 did not have."""


def write_version_1(map_: Map, path: Path) -> None:
    """Every dataset deflated by HDF5 as it likes, and one checksum over all."""
    import h5py

    with h5py.File(path, "w", userblock_size=SEAL_BYTES) as file:
        for name, array in map_arrays(map_).items():
            if name not in NEW:
                packing = {"compression": "gzip", "shuffle": True} if array.nbytes > 512 else {}
                file.create_dataset(name, data=array, **packing)
        for name, value in map_about(map_).items():
            file.create_dataset(f"about/{name}", data=1 if name == "schema_version" else value)
    with path.open("r+b") as raw:
        raw.seek(SEAL_BYTES)
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
        raw.seek(0)
        raw.write(f"{MAGIC} 1 {digest}\n".encode().ljust(SEAL_BYTES, b"\0"))
