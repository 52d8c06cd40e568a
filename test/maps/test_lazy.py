"""A large map's file: read where it is asked for, damage found there, old files, several readers."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from benchmarks.map_opening import synthetic_map
from benchmarks.map_version_1 import write_version_1
from relpose_ros.cli.main import main
from relpose_ros.cli.map_field import condition_table
from relpose_ros.errors import MapError
from relpose_ros.localization.localizer import Localizer
from relpose_ros.maps import storage, stored_index
from relpose_ros.maps.blocks import BlockFile
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.check import check_map
from relpose_ros.maps.covisibility import Covisibility
from relpose_ros.maps.hdf5 import fixed_text
from relpose_ros.maps.leave_out import leave_out
from relpose_ros.maps.redundancy import spare_references
from relpose_ros.maps.rows import StoredFeatures, StoredRows
from relpose_ros.maps.seal import seal
from relpose_ros.maps.storage import read_map
from relpose_ros.retrieval import index as retrieval_index

LAZY_DATASETS = (
    "keypoints/pixel", "keypoints/landmark", "keypoints/descriptor", "landmarks/point",
    "landmarks/covariance_factor", "landmarks/descriptor", "references/global_descriptor",
)  # fmt: skip


@pytest.fixture
def always_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a hall of sixteen references were a town: opened lazily, with an index of its own."""
    monkeypatch.setattr(storage, "WHOLE_BYTES", 0)
    for module in (storage, stored_index):
        monkeypatch.setattr(module, "EXACT_LIMIT", 10)
    monkeypatch.setattr(retrieval_index.DescriptorIndex.__init__, "__defaults__", (10,))


@pytest.fixture
def large(point_map: Map, tmp_path: Path, always_large: None) -> Path:
    path = tmp_path / "town.relmap"
    point_map.save(path)
    return path


def test_a_lazy_map_is_the_same_map(
    point_map: Map, tmp_path: Path, assert_equal_maps: Callable[[Map, Map], None]
) -> None:
    path = tmp_path / "a.relmap"
    point_map.save(path)
    lazy, whole = read_map(path, lazy=True), read_map(path, lazy=False)
    assert isinstance(lazy.features, StoredFeatures) and isinstance(whole.features, tuple)
    assert_equal_maps(lazy, whole)
    for index, seen in enumerate(lazy.visible):
        np.testing.assert_array_equal(seen, whole.visible[index])
    assert lazy.info() == whole.info()


def test_what_is_derived_from_everything_is_in_the_file(large: Path, point_map: Map) -> None:
    read = Map.open(large)
    assert (read.depth, read.reference_distance, read.sightings) == (
        point_map.depth, point_map.reference_distance, len(point_map.observations),
    )  # fmt: skip
    np.testing.assert_allclose(np.asarray(read.seen_from), point_map.seen_from, atol=1e-3)
    changed = replace(read, landmarks=replace(read.landmarks, points=2 * read.landmarks.points))
    assert "depth" not in vars(changed) and changed.depth != read.depth


def test_rows_behave_as_the_array_that_they_stand_for(large: Path) -> None:
    rows: object = Map.open(large).landmarks.points
    array = np.asarray(rows)
    assert isinstance(rows, StoredRows)
    assert rows.shape == array.shape and rows.dtype == array.dtype
    mask = np.arange(len(array)) % 7 == 3
    for index in (
        5,
        -1,
        np.int64(2),
        slice(10, 20),
        slice(None, None, 300),
        mask,
        [3, 1, 1],
        [[0, 9], [4, 4]],
    ):
        np.testing.assert_array_equal(rows[index], array[index])
    np.testing.assert_array_equal(rows[4:90, 1], array[4:90, 1])
    np.testing.assert_array_equal(rows[[1, 0], :2], array[[1, 0], :2])
    np.testing.assert_array_equal(rows - 1, array - 1)
    np.testing.assert_array_equal(rows.copy(), array)
    assert len(rows[np.zeros(0, np.int64)]) == 0
    for index in (len(array), [0, -len(array) - 1]):
        with pytest.raises(IndexError):
            rows[index]


def test_a_localizer_answers_the_same_from_a_lazy_map(large: Path, point_world: object) -> None:
    """Apart from the rounding of the directions from which landmarks were seen, nothing differs."""
    pose = point_world.pose(0.4, 0.3, 1.2)  # type: ignore[attr-defined]
    features = point_world.features(pose, seed=5)  # type: ignore[attr-defined]
    answers = [
        Localizer(read_map(large, lazy)).localize_features(features, point_world.camera)  # type: ignore[attr-defined]
        for lazy in (False, True)
    ]
    assert answers[0].state == answers[1].state
    np.testing.assert_array_equal(answers[0].map_from_camera.matrix, answers[1].map_from_camera.matrix)


def test_a_lazy_map_can_be_edited_and_saved(
    large: Path, tmp_path: Path, assert_equal_maps: Callable[[Map, Map], None]
) -> None:
    lazy, whole = read_map(large, True), read_map(large, False)
    parts = [leave_out(m, [0, 3]).save(tmp_path / "part.relmap") for m in (lazy, whole)]
    assert_equal_maps(*parts)
    again = lazy.save(large)  # over the file that it is read from
    assert_equal_maps(Map.open(large), again)


def test_a_lazy_map_can_be_checked_and_viewed(large: Path, tmp_path: Path) -> None:
    lazy, whole = read_map(large, True), read_map(large, False)
    covariances: object = lazy.landmarks.covariances
    assert isinstance(covariances, StoredRows)
    assert check_map(lazy) == check_map(whole)
    assert condition_table(lazy) == condition_table(whole)
    np.testing.assert_array_equal(Covisibility.of(lazy).landmarks, Covisibility.of(whole).landmarks)
    assert spare_references(lazy).all.tolist() == spare_references(whole).all.tolist()
    assert main(["map", "view", str(large), "--out", str(tmp_path / "town.html")]) == 0
    assert (tmp_path / "town.html").stat().st_size > 1000


def test_opening_reads_little(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the datasets that grow with what references see."""
    wanted: list[int] = []
    original = BlockFile._bytes
    monkeypatch.setattr(BlockFile, "_bytes", lambda self, n: wanted.append(n) or original(self, n))
    opened = Map.open(large)
    table = opened.features._file.table  # type: ignore[attr-defined]
    for name in (*LAZY_DATASETS, "landmarks/seen_from"):
        stored = table.arrays[name]
        assert not set(wanted) & set(range(stored.first, stored.first + stored.count)), name
    wanted.clear()
    _ = opened.features[3]
    assert 0 < len(wanted) < 0.5 * len(table.blocks)


# Damage.


def touch_everything(map_: Map) -> None:
    for features in map_.features:
        assert len(features.descriptors)
    for rows in (map_.landmarks.points, map_.landmarks.covariances, map_.global_descriptors, map_.seen_from):
        np.asarray(rows)
    map_.retrieval_index.search(np.asarray(map_.global_descriptors)[:3], 3)
    assert map_.retrieval_index.signatures is not None


def flipped(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << offset % 8)]))


def every_dataset(path: Path) -> dict[str, list[int]]:
    """First and last byte of some blocks of every dataset."""
    file = BlockFile(path, os.open(path, os.O_RDONLY))
    out = {}
    for name, stored in file.table.arrays.items():
        blocks = file.table.blocks[stored.first : stored.first + stored.count]
        out[name] = [
            p for b in blocks[:: max(1, len(blocks) // 2)] for p in (b["offset"], b["offset"] + b["size"] - 1)
        ]
    return {name: [int(p) for p in places] for name, places in out.items() if places}


def test_damage_in_each_dataset_is_found_before_it_is_used(large: Path) -> None:
    places = every_dataset(large)
    assert set(LAZY_DATASETS) | {"index/signature", "landmarks/seen_from", "about/name"} < set(places)
    for offsets in places.values():
        for offset in offsets:
            flipped(large, offset)
            with pytest.raises(MapError, match=r"town\.relmap: checksum does not match"):
                touch_everything(Map.open(large))
            flipped(large, offset)
    touch_everything(Map.open(large))


def test_damage_between_datasets_is_found_at_once(large: Path) -> None:
    table = BlockFile(large, os.open(large, os.O_RDONLY)).table
    others = table.blocks[table.others :]
    assert others["size"].sum() > 1000
    for offset in others["offset"].tolist():
        flipped(large, offset)
        with pytest.raises(MapError, match="checksum"):
            Map.open(large)
        flipped(large, offset)


@pytest.mark.parametrize("left", [0.0, 0.2, 0.6])
def test_a_file_that_somebody_truncates_while_it_is_open_is_an_error_and_no_crash(
    large: Path, left: float
) -> None:
    opened = Map.open(large)
    os.truncate(large, int(left * large.stat().st_size))
    with pytest.raises(MapError, match="damaged or truncated"):
        touch_everything(opened)
    with pytest.raises(MapError, match=r"truncated|not a relpose map"):
        Map.open(large)


def test_what_somebody_writes_into_an_open_file_is_not_believed(large: Path) -> None:
    opened = Map.open(large)
    with large.open("r+b") as file:
        file.seek(512)
        file.write(np.random.default_rng(0).bytes(large.stat().st_size - 512))
    with pytest.raises(MapError, match="checksum"):
        touch_everything(opened)


def test_an_open_map_stays_what_it_was_when_another_takes_its_name(large: Path, point_map: Map) -> None:
    opened = Map.open(large)
    before = np.asarray(read_map(large, lazy=False).landmarks.points)
    replace(
        point_map,
        name="another",
        landmarks=replace(point_map.landmarks, points=point_map.landmarks.points + 1),
    ).save(large)
    touch_everything(opened)
    np.testing.assert_array_equal(np.asarray(opened.landmarks.points), before)
    assert Map.open(large).name == "another"


def test_a_keypoint_of_no_landmark_is_an_error_when_it_is_read(large: Path) -> None:
    with h5py.File(large, "r+") as file:
        seen = file["keypoints/landmark"][()]
        seen[np.flatnonzero(seen >= 0)[0]] = 10**6
        del file["keypoints/landmark"]
        file["keypoints/landmark"] = seen
    seal(large)
    with pytest.raises(MapError, match="names landmark 1000000"):
        touch_everything(Map.open(large))


def test_offsets_that_lead_elsewhere_are_refused(large: Path) -> None:
    with h5py.File(large, "r+") as file:
        del file["keypoints/loose_offset"]
        file["keypoints/loose_offset"] = np.zeros(17, np.int64)
    seal(large)
    with pytest.raises(MapError, match="offsets"):
        Map.open(large)


# The stored index.


def test_the_stored_index_is_used_and_answers_as_a_new_one(
    large: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retrieval_index, "build_signatures", lambda *_: pytest.fail("built again"))
    opened = Map.open(large)
    monkeypatch.undo()
    fresh = retrieval_index.DescriptorIndex(np.asarray(opened.global_descriptors), 10)
    queries = np.asarray(opened.global_descriptors)
    assert not opened.retrieval_index.is_exact and not caplog.records
    for ours, theirs in zip(opened.retrieval_index.search(queries, 4), fresh.search(queries, 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def swapped_descriptors(file: h5py.File) -> None:
    file["references/global_descriptor"][...] = file["references/global_descriptor"][()][::-1]


def no_index(file: h5py.File) -> None:
    del file["index"], file["about/index"]


def another_kind(file: h5py.File) -> None:
    del file["about/index"]
    file["about/index"] = fixed_text('{"kind": "a forest", "of": "", "trained_on": 1}')


def one_too_few(file: h5py.File) -> None:
    words = file["index/signature"][()]
    del file["index/signature"]
    file["index/signature"] = words[:-1]


@pytest.mark.parametrize("change", [swapped_descriptors, no_index, another_kind, one_too_few])
def test_an_index_that_is_not_that_of_the_map_is_made_anew_and_said(
    large: Path, change: Callable[[h5py.File], None], caplog: pytest.LogCaptureFixture
) -> None:
    with h5py.File(large, "r+") as file:
        change(file)
    seal(large)
    with caplog.at_level(logging.WARNING):
        opened = Map.open(large)
    assert "its retrieval index cannot be used" in caplog.text and "Save the map again" in caplog.text
    rows = np.asarray(opened.global_descriptors)
    indices, _ = opened.retrieval_index.search(rows, 1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(len(rows)))
    opened.save(large)
    caplog.clear()
    assert not Map.open(large).retrieval_index.is_exact and not caplog.records


# Old files.


@pytest.mark.usefixtures("always_large")
def test_a_file_of_version_1_opens_and_is_saved_as_the_present_one(
    point_map: Map, tmp_path: Path, assert_equal_maps: Callable[[Map, Map], None]
) -> None:
    write_version_1(point_map, tmp_path / "old.relmap")
    old = Map.open(tmp_path / "old.relmap")
    assert old.path == tmp_path / "old.relmap"
    assert_equal_maps(old, Map.open(point_map.save(tmp_path / "new.relmap").path))
    assert_equal_maps(old, Map.open(old.save(tmp_path / "old.relmap").path))
    assert (tmp_path / "old.relmap").read_bytes().startswith(b"relmap 2 ")


def test_a_damaged_file_of_version_1_is_refused(point_map: Map, tmp_path: Path) -> None:
    path = tmp_path / "old.relmap"
    write_version_1(point_map, path)
    good = path.read_bytes()
    for offset in (20, 511, 600, len(good) // 2, len(good) - 1):
        flipped(path, offset)
        with pytest.raises(MapError, match="checksum"):
            Map.open(path)
        flipped(path, offset)
    path.write_bytes(good[:-100])
    with pytest.raises(MapError, match="truncated"):
        Map.open(path)


# Several readers, and memory.

READER = """
    import sys
    import numpy as np
    from relpose_ros.maps.storage import read_map
    map_ = read_map(__import__("pathlib").Path({path!r}), lazy=True)
    total = sum(float(f.descriptors.sum()) + float(f.keypoints.sum()) for f in map_.features)
    print(repr(total + float(np.asarray(map_.landmarks.points).sum())))
"""


def test_two_processes_read_one_map(large: Path) -> None:
    script = textwrap.dedent(READER.format(path=str(large)))
    readers = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    answers = [r.communicate(timeout=60)[0] for r in readers]
    whole = read_map(large, lazy=False)
    total = sum(float(f.descriptors.sum()) + float(f.keypoints.sum()) for f in whole.features)
    assert [float(a) for a in answers] == [pytest.approx(total + float(whole.landmarks.points.sum()))] * 2


def test_a_forked_process_reads_the_same_open_file(large: Path) -> None:
    """Positioned reads do not move a file position that parent and child share."""
    opened = Map.open(large)
    expected = opened.features[5].keypoints.sum()
    opened.features._kept.clear()  # type: ignore[attr-defined]
    child = os.fork()
    if child == 0:
        os._exit(int(opened.features[5].keypoints.sum() != expected))
    assert opened.features[5].keypoints.sum() == expected
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_file_is_closed_with_the_map(large: Path) -> None:
    def opened() -> int:
        return sum(os.path.realpath(f"/proc/self/fd/{n}") == str(large) for n in os.listdir("/proc/self/fd"))

    before = opened()
    map_ = Map.open(large)
    assert opened() == before + 1
    del map_
    assert opened() == before


def test_blocks_that_are_kept_do_not_grow_without_end(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from relpose_ros.maps import blocks

    monkeypatch.setattr(blocks, "CACHE_BYTES", 100_000)
    opened = Map.open(large)
    touch_everything(opened)
    file = opened.features._file  # type: ignore[attr-defined]
    assert 0 < file._cached <= 100_000 == blocks.CACHE_BYTES
    assert file._cached == sum(rows.nbytes for rows in file._cache.values())


HOLDER = """
    import sys
    from pathlib import Path
    from relpose_ros.maps.storage import read_map
    def held():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    read_map(Path(sys.argv[2]), lazy=False)  # everything imported, and the allocator warm
    before = held()
    map_ = read_map(Path(sys.argv[1]), lazy=sys.argv[3] == "lazy")
    features = [map_.reference_features(i) for i in range(0, 3000, 300)]
    print(held() - before)
"""


def test_a_lazy_map_takes_little_memory(point_map: Map, tmp_path: Path) -> None:
    """3000 references: whole they take some 40 MB; ten of them are read."""
    synthetic_map(3000).save(tmp_path / "road.relmap")
    point_map.save(tmp_path / "small.relmap")
    script = [sys.executable, "-c", textwrap.dedent(HOLDER)]
    files = [str(tmp_path / name) for name in ("road.relmap", "small.relmap")]
    kilobytes = [
        int(subprocess.run([*script, *files, how], check=True, capture_output=True, timeout=60).stdout)
        for how in ("whole", "lazy")
    ]
    assert kilobytes[1] < 0.5 * kilobytes[0] and kilobytes[0] > 20_000


@pytest.mark.usefixtures("always_large")
def test_a_map_that_grows_keeps_the_signatures_of_its_old_references(
    point_map: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Map.open(leave_out(point_map, [14, 15]).save(tmp_path / "old.relmap").path)
    new = replace(point_map)
    monkeypatch.setattr(retrieval_index, "build_signatures", lambda *_: pytest.fail("built again"))
    stored_index.inherit_index(new, old)
    saved = Map.open(new.save(tmp_path / "new.relmap").path)
    indices, _ = saved.retrieval_index.search(np.asarray(saved.global_descriptors), 1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(16))
