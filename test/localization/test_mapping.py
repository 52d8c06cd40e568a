"""Building and editing maps: whole or not at all, resumable, and never worse for more references."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relpose_ros.cli.map import made_text
from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.errors import ImageError, MapError
from relpose_ros.features.sift import RootSift
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.mapping import add_references, build_map, merge_maps, remove_references
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.extract import FeatureStore

QUICK = BuildOptions(calibration_samples=2, max_keypoints=600)


def part(source: Source, chosen: slice, **changes: Any) -> Source:
    """Some of the references of a source, and all of its queries."""
    return replace(source, images=(*source.references[chosen], *source.queries), **changes)


@pytest.fixture(scope="module")
def half(rendered_world: Source, tmp_path_factory: pytest.TempPathFactory) -> Map:
    """A map of the first half of the mapping drive."""
    return build_map(part(rendered_world, slice(12)), tmp_path_factory.mktemp("half") / "half.relmap", QUICK)


@pytest.fixture(scope="module")
def other_half(rendered_world: Source, tmp_path_factory: pytest.TempPathFactory) -> Map:
    out = tmp_path_factory.mktemp("other") / "other.relmap"
    return build_map(part(rendered_world, slice(12, 24)), out, QUICK)


def assert_same(first: Map, second: Map) -> None:
    """Bit by bit as read from disk, apart from when and where they were made."""
    first, second = Map.open(first.path), Map.open(second.path)
    assert first.reference_names == second.reference_names
    assert first.calibration == second.calibration
    np.testing.assert_array_equal(first.landmarks.points, second.landmarks.points)
    np.testing.assert_array_equal(first.landmarks.descriptors, second.landmarks.descriptors)
    np.testing.assert_array_equal(first.global_descriptors, second.global_descriptors)
    for ours, theirs in zip(first.features, second.features, strict=True):
        np.testing.assert_array_equal(ours.keypoints, theirs.keypoints)
        np.testing.assert_array_equal(ours.landmarks, theirs.landmarks)


def localized(map_: Map, source: Source) -> tuple[int, float]:
    """How many queries get a pose, and the median error of these in metres."""
    localizer, errors = Localizer(map_), []
    for query in source.queries:
        answer = localizer.localize(query.frame())
        if answer.has_pose:
            errors.append(float(answer.map_from_camera.distance_to(query.map_from_camera)[0]))
    return len(errors), float(np.median(errors)) if errors else 0.0


def test_a_built_map_says_what_it_is(half: Map, rendered_world: Source) -> None:
    info = Map.open(half.path).info()
    assert info["references"] == 12 and info["landmarks"] > 100 and info["metric"] is True
    assert info["bytes"] == half.path.stat().st_size > 10_000
    assert info["bytes_per_reference"] < 60_000
    assert info["schema_version"] == 2 and info["build_seconds"] > 0
    assert info["provenance"]["source_licence"] == rendered_world.licence
    assert info["provenance"]["software"].startswith("relpose_ros ")
    assert {"scale", "min_inliers", "samples", "tried", "wrong"} <= set(info["calibration"])


def test_nothing_is_left_beside_the_map(half: Map) -> None:
    assert [p.name for p in half.path.parent.iterdir()] == ["half.relmap"]


def test_progress_is_told_from_start_to_end(rendered_world: Source, tmp_path: Path) -> None:
    told: dict[str, list[tuple[int, int]]] = {}

    def listen(done: int, total: int, stage: str = "", /) -> None:
        told.setdefault(stage, []).append((done, total))

    build_map(part(rendered_world, slice(4)), tmp_path / "a.relmap", QUICK, listen)
    assert list(told) == ["features", "matching", "calibrating"]
    for steps in told.values():
        assert steps[-1][0] == steps[-1][1] and [s[0] for s in steps] == sorted(s[0] for s in steps)


def test_same_images_same_map(rendered_world: Source, half: Map, tmp_path: Path) -> None:
    assert_same(half, build_map(part(rendered_world, slice(12)), tmp_path / "again.relmap", QUICK))


# Interrupted and resumed.


def test_a_killed_build_is_resumed_and_gives_the_same_map(
    rendered_world: Source,
    half: Map,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SIGKILL at the eighth of twelve images: no map, seven images done, which are not done again."""
    source, out = part(rendered_world, slice(12)), tmp_path / "half.relmap"
    np.savez(tmp_path / "images.npz", *[i.load() for i in source.references])
    script = f"""
        import os, signal
        import numpy as np
        from pathlib import Path
        from relpose_ros.datasets.base import PosedImage, Source
        from relpose_ros.geometry.cameras import Camera
        from relpose_ros.geometry.rigid import Rigid
        from relpose_ros.localization.mapping import build_map
        from relpose_ros.maps.assemble import BuildOptions
        stored = np.load({str(tmp_path / "images.npz")!r})
        def load(i):
            if i == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return stored[f"arr_{{i}}"]
        camera = {source.images[0].camera!r}
        images = tuple(
            PosedImage(f"{{i}}.png", camera, Rigid.identity(), "map", lambda i=i: load(i)) for i in range(12)
        )
        build_map(Source("half", Path(), images), {str(out)!r}, BuildOptions(max_keypoints=600))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists() and len(list((tmp_path / "half.relmap.building").iterdir())) == 7
    extracted = []
    original = RootSift.extract
    monkeypatch.setattr(RootSift, "extract", lambda self, image: extracted.append(1) or original(self, image))
    resumed = build_map(source, out, QUICK)
    assert len(extracted) == 12 - 7
    assert_same(half, resumed)
    assert not (tmp_path / "half.relmap.building").exists()


def test_a_store_that_was_damaged_is_not_believed(tmp_path: Path, rendered_world: Source) -> None:
    features = RootSift(50).extract(rendered_world.references[0].load())
    store = FeatureStore(tmp_path / "a.relmap")
    for content in (b"", b"PK\x03\x04 cut", np.random.default_rng(0).bytes(500), None):
        store.put("key", features)
        path = store.folder / "key.npz"
        path.write_bytes(path.read_bytes()[:-200] if content is None else content)
        assert store.get("key") is None
    store.put("key", features)
    np.testing.assert_array_equal(store.get("key").keypoints, features.keypoints)
    assert store.get("another") is None


def test_another_number_of_keypoints_is_not_mixed_up(rendered_world: Source, tmp_path: Path) -> None:
    """An interrupted build that is started again with other options."""
    source, out = part(rendered_world, slice(3)), tmp_path / "a.relmap"
    broken = replace(source, images=(*source.references, replace(source.references[0], load=stop)))
    with pytest.raises(KeyboardInterrupt):
        build_map(broken, out, replace(QUICK, max_keypoints=50))
    assert (tmp_path / "a.relmap.building").is_dir()
    assert max(len(f.keypoints) for f in build_map(source, out, QUICK).features) > 50


def stop() -> np.ndarray:
    raise KeyboardInterrupt


# Sources that a map cannot be made of.


def blank(image: PosedImage) -> PosedImage:
    return replace(image, load=lambda: np.zeros((image.camera.height, image.camera.width), np.uint8))


def unreadable(image: PosedImage) -> PosedImage:
    def fail() -> np.ndarray:
        raise ImageError(f"{image.name}: not an image")

    return replace(image, load=fail)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_references(rendered_world: Source, tmp_path: Path, count: int) -> None:
    with pytest.raises(
        MapError, match=rf"{count} images with a pose in the map split; a map needs at least 2"
    ):
        build_map(part(rendered_world, slice(count)), tmp_path / "a.relmap")
    assert not list(tmp_path.iterdir())


def test_blank_images_make_no_map(rendered_world: Source, tmp_path: Path) -> None:
    source = part(rendered_world, slice(3))
    source = replace(source, images=tuple(blank(i) for i in source.images))
    with pytest.raises(MapError, match="no features in any of 3 reference images; are they blank"):
        build_map(source, tmp_path / "a.relmap")
    assert not (tmp_path / "a.relmap").exists()


def test_a_blank_image_and_an_unreadable_one_among_good_ones(rendered_world: Source, tmp_path: Path) -> None:
    images = list(rendered_world.references[:6])
    images[2], images[4] = blank(images[2]), unreadable(images[4])
    map_ = build_map(replace(rendered_world, images=tuple(images)), tmp_path / "a.relmap", QUICK)
    assert len(map_) == 5 and images[4].name not in map_.reference_names
    assert map_.provenance["left_out"] == {images[4].name: f"{images[4].name}: not an image"}
    assert len(map_.features[2].keypoints) == 0


def test_only_unreadable_images(rendered_world: Source, tmp_path: Path) -> None:
    images = tuple(unreadable(i) for i in rendered_world.references[:4])
    with pytest.raises(MapError, match=r"only 0 of 4 images can be used: .*not an image"):
        build_map(replace(rendered_world, images=images), tmp_path / "a.relmap")


def test_out_is_looked_at_before_the_work(rendered_world: Source, tmp_path: Path) -> None:
    source = part(rendered_world, slice(3))
    with pytest.raises(MapError, match="does not exist; make it first"):
        build_map(source, tmp_path / "none" / "a.relmap")
    with pytest.raises(MapError, match="is a folder; --out names the file"):
        build_map(source, tmp_path)


# Editing.


def test_more_references_localize_at_least_as_well(half: Map, rendered_world: Source, tmp_path: Path) -> None:
    whole = add_references(half.path, part(rendered_world, slice(12, 24)), tmp_path / "whole.relmap", QUICK)
    assert len(whole) == 24 and whole.reference_names[:12] == half.reference_names
    assert len(whole.landmarks) > len(half.landmarks)
    before, after = localized(half, rendered_world), localized(Map.open(whole.path), rendered_world)
    assert after[0] >= before[0] and after[0] >= 7 and after[1] < 0.03
    assert whole.provenance["added_to"]["software"] == half.provenance["software"]


def test_merged_halves_are_as_good_as_the_whole(
    half: Map, other_half: Map, rendered_world: Source, tmp_path: Path
) -> None:
    merged = merge_maps([str(half.path), str(other_half.path)], tmp_path / "merged.relmap", QUICK)
    assert set(merged.reference_names) == {i.name for i in rendered_world.references}
    across = merged.observations
    assert len(across) > len(half.observations) + 0.9 * len(other_half.observations)
    count, median = localized(merged, rendered_world)
    assert count >= max(localized(half, rendered_world)[0], localized(other_half, rendered_world)[0])
    assert count >= 7 and median < 0.03


@pytest.fixture(scope="module")
def calibrated(half: Map, tmp_path_factory: pytest.TempPathFactory) -> Map:
    """As `relpose calibrate` leaves it: more inliers by chance than held-out references showed."""
    values = {**half.calibration, "min_inliers": 77, "evidence": {"source": "second_drive", "images": 60}}
    return replace(half, calibration=values).save(tmp_path_factory.mktemp("calibrated") / "half.relmap")


def test_what_chance_reaches_is_not_forgotten(
    calibrated: Map, half: Map, other_half: Map, rendered_world: Source, tmp_path: Path
) -> None:
    """And that the rest of the calibration is gone is said, and by the next map too."""
    added = add_references(calibrated.path, part(rendered_world, slice(12, 14)), tmp_path / "a.relmap", QUICK)
    merged = merge_maps([str(other_half.path), str(calibrated.path)], tmp_path / "b.relmap", QUICK)
    twice = merge_maps([str(added.path), str(other_half.path)], tmp_path / "c.relmap", QUICK)
    for made in (added, merged, twice):
        stored = Map.open(made.path)
        assert stored.calibration["min_inliers"] == 77 and "evidence" not in stored.calibration
        note = stored.provenance["notes"]["calibration"]
        assert "images of second_drive is not in this map; run `relpose calibrate` again" in note
    assert half.calibration["min_inliers"] < 77
    plain = merge_maps([str(half.path), str(other_half.path)], tmp_path / "d.relmap", QUICK)
    assert "notes" not in plain.provenance and plain.calibration["min_inliers"] < 77


def test_all_notes_are_told(calibrated: Map, rendered_world: Source, tmp_path: Path) -> None:
    few = remove_references(calibrated.path, calibrated.reference_names[4:], tmp_path / "few.relmap")
    more = add_references(few.path, part(rendered_world, slice(12, 20)), tmp_path / "a.relmap", QUICK)
    assert set(more.provenance["notes"]) == {"vlad", "calibration", "frame"}
    told = made_text(more)
    assert "note: the VLAD was learned" in told and "note: the calibration on images of second_drive" in told
    old = replace(more, provenance={**more.provenance, "note": "of old"})
    assert "note: of old" in made_text(old) and "note: the VLAD" in made_text(old)


def test_names_that_collide_get_a_number(half: Map, rendered_world: Source, tmp_path: Path) -> None:
    again = add_references(half.path, part(rendered_world, slice(2)), tmp_path / "a.relmap", QUICK)
    first = half.reference_names[0]
    assert len(set(again.reference_names)) == 14 and f"{first}#2" in again.reference_names
    twice = merge_maps([str(again.path), str(half.path)], tmp_path / "b.relmap", QUICK)
    assert len(set(twice.reference_names)) == 26 and f"{first}#3" in twice.reference_names


def test_references_can_be_removed(half: Map, tmp_path: Path) -> None:
    names = list(half.reference_names[3:6])
    less = remove_references(half.path, names, tmp_path / "less.relmap")
    assert len(Map.open(less.path)) == 9 and not set(names) & set(less.reference_names)
    assert less.calibration == half.calibration
    for wrong, message in ((["nobody.jpg"], "nobody"), (list(half.reference_names), "fewer than two")):
        with pytest.raises(MapError, match=message):
            remove_references(half.path, wrong, tmp_path / "wrong.relmap")
    assert not (tmp_path / "wrong.relmap").exists()


def test_editing_never_changes_what_was_given(half: Map, tmp_path: Path) -> None:
    before = half.path.read_bytes(), half.path.stat().st_mtime_ns
    remove_references(half.path, [half.reference_names[0]], tmp_path / "less.relmap")
    assert (half.path.read_bytes(), half.path.stat().st_mtime_ns) == before


def test_out_may_be_the_map_itself(half: Map, tmp_path: Path) -> None:
    path = tmp_path / "mine.relmap"
    path.write_bytes(half.path.read_bytes())
    remove_references(path, [half.reference_names[0]], path)
    assert len(Map.open(path)) == 11


def test_metres_and_arbitrary_units_do_not_mix(half: Map, rendered_world: Source, tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"is in metres, .* has an arbitrary scale"):
        add_references(
            half.path, part(rendered_world, slice(12, 14), metric=False), tmp_path / "a.relmap", QUICK
        )
    unscaled = replace(half, metric=False).save(tmp_path / "unscaled.relmap")
    with pytest.raises(MapError, match=r"half\.relmap is in metres, .*unscaled\.relmap has an arbitrary"):
        merge_maps([str(unscaled.path), str(half.path)], tmp_path / "a.relmap")
    assert not (tmp_path / "a.relmap").exists()


def test_maps_of_different_features_do_not_mix(half: Map, tmp_path: Path) -> None:
    other = replace(half, feature="superpoint").save(tmp_path / "other.relmap")
    with pytest.raises(MapError, match=r"'rootsift64'.*'superpoint'"):
        merge_maps([str(half.path), str(other.path)], tmp_path / "a.relmap")


def test_merging_takes_two(half: Map, tmp_path: Path) -> None:
    with pytest.raises(MapError, match="at least two maps, got 1"):
        merge_maps([str(half.path)], tmp_path / "a.relmap")


def test_nothing_to_add(half: Map, rendered_world: Source, tmp_path: Path) -> None:
    with pytest.raises(MapError, match="no images with a pose in the map split to add"):
        add_references(half.path, part(rendered_world, slice(0)), tmp_path / "a.relmap")
