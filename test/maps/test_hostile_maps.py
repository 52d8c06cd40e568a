"""Maps by somebody who knows how to seal: what they claim is compared with what is there."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from relpose_ros.errors import MapError
from relpose_ros.maps import seal as sealing
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.seal import SEAL_BYTES, seal
from relpose_ros.maps.storage import read_map
from relpose_ros.maps.table import BLOCK

Table = dict[str, Any]
PIXELS = "keypoints/pixel"


@pytest.fixture(scope="module")
def good(point_map: Map, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return point_map.save(tmp_path_factory.mktemp("map") / "hall.relmap").path.read_bytes()


def with_table(path: Path, good: bytes, change: Callable[[Table, np.ndarray, bytearray], None]) -> Path:
    """The map with another table, other blocks, other content: every checksum fits."""
    start = int(good[:SEAL_BYTES].split()[3])
    body, (line, _, rest) = bytearray(good[:start]), good[start:].partition(b"\n")
    table, blocks = json.loads(line), np.frombuffer(rest, BLOCK).copy()
    change(table, blocks, body)
    for block in blocks:
        offset, size = int(block["offset"]), int(block["size"])
        if offset >= 0 and 0 <= size <= len(body):
            block["crc"] = zlib.crc32(body[offset : offset + size])
    content = json.dumps(table).encode() + b"\n" + blocks.tobytes()
    digest = hashlib.sha256(content).hexdigest()
    body[:SEAL_BYTES] = sealing._text(len(body) + len(content), len(body), digest)
    path.write_bytes(bytes(body) + content)
    return path


def claiming(**fields: Any) -> Callable[[Table, np.ndarray, bytearray], None]:
    return lambda table, blocks, body: table["arrays"][PIXELS].update(fields)


def block_at(field: str, value: int) -> Callable[[Table, np.ndarray, bytearray], None]:
    def change(table: Table, blocks: np.ndarray, body: bytearray) -> None:
        blocks[field][0] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        claiming(shape=[10**12, 2]),
        claiming(shape=[-1, 2]),
        claiming(shape=[0.5, 2]),
        claiming(rows=0),
        claiming(rows=10**12),
        claiming(first=10**6),
        claiming(dtype="O"),
        claiming(dtype="S1000000000"),
        block_at("size", 2**40),
        block_at("size", -1),
        block_at("offset", 2**62),
        block_at("offset", -1),
        lambda table, blocks, body: table.update(others=10**6),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("lazy", [False, True])
def test_what_cannot_be_there_is_refused(good: bytes, tmp_path: Path, change: Any, lazy: bool) -> None:
    with pytest.raises(MapError, match=r"odd\.relmap: the parts of this map do not fit together"):
        read_map(with_table(tmp_path / "odd.relmap", good, change), lazy)


def test_an_unchanged_table_is_read(good: bytes, tmp_path: Path) -> None:
    assert len(read_map(with_table(tmp_path / "same.relmap", good, lambda *_: None)))


def packed_pixels(content: bytes) -> Callable[[Table, np.ndarray, bytearray], None]:
    """The first block of the keypoints holds other deflated bytes."""

    def change(table: Table, blocks: np.ndarray, body: bytearray) -> None:
        first = table["arrays"][PIXELS]["first"]
        blocks["offset"][first], blocks["size"][first] = len(body), len(content)
        body += content

    return change


@pytest.mark.parametrize(
    "content", [zlib.compress(bytes(10**7)), zlib.compress(b"short") + bytes(500), bytes(9000)]
)
@pytest.mark.parametrize("lazy", [False, True])
def test_a_block_that_inflates_to_something_else(
    good: bytes, tmp_path: Path, content: bytes, lazy: bool
) -> None:
    path = with_table(tmp_path / "odd.relmap", good, packed_pixels(content))
    with pytest.raises(MapError, match=r"odd\.relmap: the parts of this map do not fit together"):
        read_map(path, lazy).features[0]


def test_a_small_file_of_many_zeros_is_not_unpacked(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bomb.relmap"
    path.write_bytes(good)
    with h5py.File(path, "r+") as file:
        file.create_dataset(
            "zeros",
            (60 * len(good), 1),
            np.uint8,
            np.zeros((60 * len(good), 1), np.uint8),
            chunks=(1 << 20, 1),
            compression="gzip",
            shuffle=True,
        )
    seal(path)
    with pytest.raises(MapError, match="bytes claimed by a file of"):
        Map.open(path)


def test_deeply_nested_texts_are_refused(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "deep.relmap"
    path.write_bytes(good)
    with h5py.File(path, "r+") as file:
        del file["about/provenance"]
        file["about/provenance"] = np.bytes_(b"[" * 100_000)
    seal(path)
    with pytest.raises(MapError, match="do not fit together"):
        Map.open(path)


@pytest.mark.parametrize("kind", ["link", "external", "claim"])
def test_a_file_of_version_1_does_not_lead_out_of_itself(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "old.relmap"
    (tmp_path / "private.txt").write_bytes(b"private!" * 8)
    with h5py.File(path, "w", userblock_size=SEAL_BYTES) as file:
        file["about/name"] = np.bytes_(b"old")
        if kind == "link":
            file["about/feature"] = h5py.ExternalLink(str(tmp_path / "private.h5"), "/x")
        elif kind == "external":
            out = [(str(tmp_path / "private.txt"), 0, 64)]
            file.create_dataset("landmarks/descriptor", (64,), np.uint8, external=out)
        else:
            file.create_dataset(
                "landmarks/descriptor", (10**9, 128), np.uint8, chunks=(10**6, 1), fillvalue=7
            )
    content = path.read_bytes()[SEAL_BYTES:]
    text = f"relmap 1 {hashlib.sha256(content).hexdigest()}\n".encode().ljust(SEAL_BYTES, b"\0")
    path.write_bytes(text + content)
    with pytest.raises(MapError, match="bytes claimed" if kind == "claim" else "leads out of the file"):
        Map.open(path)
