"""Maps made by a learned descriptor: built, changed, refused to others, and localized in."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.datasets.base import Source
from relpose_ros.errors import CheckpointError, ConfigurationError, MapError
from relpose_ros.localization.describing import describer_for
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.mapping import add_references, build_map, merge_maps, remove_references
from relpose_ros.localization.options import options_for
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.maps.bundle import Map
from relpose_ros.retrieval.describer import Elsewhere, open_describer
from relpose_ros.retrieval.learned import CheckpointDescriber

QUICK = BuildOptions(calibration_samples=2, max_keypoints=600)


def part(source: Source, chosen: slice) -> Source:
    return replace(source, images=source.references[chosen])


def options(checkpoint: Path) -> BuildOptions:
    return replace(QUICK, retrieval=checkpoint)


@pytest.fixture(scope="module")
def plain(rendered_world, tmp_path_factory) -> Map:
    """Of the first twelve references, by VLAD."""
    return build_map(
        part(rendered_world, slice(12)), tmp_path_factory.mktemp("plain") / "plain.relmap", QUICK
    )


@pytest.fixture(scope="module")
def learned(rendered_world, tmp_path_factory, retrieval_checkpoint, onnx_cache) -> Map:
    """The same by a checkpoint."""
    out = tmp_path_factory.mktemp("learned") / "learned.relmap"
    return build_map(part(rendered_world, slice(12)), out, options(retrieval_checkpoint))


@pytest.fixture(scope="module")
def other_checkpoint(make_retrieval_checkpoint) -> Path:
    return make_retrieval_checkpoint(seed=1)


def test_the_map_says_who_described_it(learned, plain, retrieval_checkpoint, rendered_world):
    opened = Map.open(learned.path)
    maker = open_describer(retrieval_checkpoint)
    assert opened.described_by == maker.identity and opened.vlad is None
    info = json.loads(json.dumps(opened.info()))
    assert info["descriptor"] == "places0.safetensors" and info["describer"]["licence"] == "CC0-1.0"
    assert info["describer"]["sha256"] == maker.identity.sha256
    image = rendered_world.references[3].frame().image
    np.testing.assert_allclose(opened.global_descriptors[3], maker.describe(image, None), atol=1e-3)
    assert Map.open(plain.path).info()["describer"]["kind"] == "vlad"


def test_a_query_is_localized_by_pixels(learned, retrieval_checkpoint, rendered_world):
    localizer = Localizer(Map.open(learned.path), options_for("default", retrieval=retrieval_checkpoint))
    frame = rendered_world.references[4].frame()
    answer = localizer.localize(frame)
    assert answer.has_pose and {"describe", "retrieve"} <= set(answer.latency_ms)
    assert answer.map_from_camera.distance_to(rendered_world.references[4].map_from_camera)[0] < 0.05
    found, stages = localizer.retrieve_frame(frame)
    assert found[0].index == 4 and found[0].score > 0.999 and stages["extract"] < 1.0
    assert localizer.described_by.name == "places0.safetensors"


def test_features_alone_do_not_do(learned, retrieval_checkpoint, rendered_world):
    localizer = Localizer(learned, options_for("default", retrieval=retrieval_checkpoint))
    frame = rendered_world.references[0].frame()
    with pytest.raises(Exception, match="needs the image"):
        localizer.localize_features(localizer.extract(frame), frame.camera)
    answer = localizer.localize_features(localizer.extract(frame), frame.camera, (), frame.image)
    assert answer.has_pose


def test_without_its_describer_a_map_is_refused_but_neighbours_may_come_from_elsewhere(
    learned, rendered_world
):
    with pytest.raises(MapError, match=r"(?s)learned\.relmap.*places0\.safetensors .sha256.*--retrieval"):
        Localizer(learned)
    localizer = Localizer(learned, describer=Elsewhere(learned.described_by))
    frame = rendered_world.references[2].frame()
    names = learned.reference_names[1:5]
    measured = localizer.relative_poses(frame, [localizer.neighbour(name) for name in names])
    assert measured
    with pytest.raises(ConfigurationError, match="made without places0"):
        localizer.localize(frame)


def test_another_describer_is_refused_with_both_names(learned, plain, retrieval_checkpoint, other_checkpoint):
    with pytest.raises(CheckpointError, match=r"(?s)places1\.safetensors .sha.*made with places0.*map build"):
        Localizer(learned, options_for("default", retrieval=other_checkpoint))
    with pytest.raises(CheckpointError, match=r"(?s)places0.*plain\.relmap was made without weights .vlad"):
        Localizer(plain, options_for("default", retrieval=retrieval_checkpoint))
    with pytest.raises(CheckpointError, match="found no file"):
        Localizer(learned, options_for("default", retrieval="/none.safetensors"))


def test_a_file_of_another_name_is_the_same_describer(learned, retrieval_checkpoint, tmp_path):
    copy = shutil.copy(retrieval_checkpoint, tmp_path / "renamed.safetensors")
    assert describer_for(learned, copy).identity.digest == learned.described_by.digest


def test_other_settings_are_named(learned, retrieval_checkpoint):
    describer = open_describer(retrieval_checkpoint)
    fed = replace(learned.described_by, settings={"scale": 1.0})
    with pytest.raises(CheckpointError, match=r"fed otherwise .scale 1.0, not None"):
        describer_for(replace(learned, describer=fed), None, describer)


def test_added_references_leave_the_old_descriptors_as_they_were(
    learned, plain, rendered_world, retrieval_checkpoint, tmp_path, monkeypatch
):
    fresh, seen = part(rendered_world, slice(12, 15)), []
    describe = CheckpointDescriber.describe

    def spy(self, image, features=None):
        seen.append(image.shape)
        return describe(self, image, features)

    monkeypatch.setattr(CheckpointDescriber, "describe", spy)
    for old, build in ((plain, QUICK), (learned, options(retrieval_checkpoint))):
        new = Map.open(add_references(old.path, fresh, tmp_path / old.path.name, build).path)
        before = Map.open(old.path)
        np.testing.assert_array_equal(
            np.asarray(new.global_descriptors)[:12], np.asarray(before.global_descriptors)
        )
        assert len(new) == 15 and new.described_by == before.described_by
        assert np.asarray(new.global_descriptors)[12:].any(axis=1).all()
        assert len(new.landmarks) > len(before.landmarks)
    assert seen == [(48, 64, 3)] + 3 * [(240, 320, 3)]  # the warm-up, and three images
    kept, first = Map.open(tmp_path / "plain.relmap").vlad, Map.open(plain.path).vlad
    np.testing.assert_array_equal(kept.basis, first.basis)


def test_added_references_can_make_a_new_vlad(plain, rendered_world, tmp_path):
    fresh = part(rendered_world, slice(12, 15))
    new = add_references(plain.path, fresh, tmp_path / "a.relmap", replace(QUICK, retrain_vlad=True))
    assert new.vlad.dimension == 14 > Map.open(plain.path).vlad.dimension


def test_learned_descriptors_have_no_vlad_to_learn_anew(
    learned, rendered_world, retrieval_checkpoint, tmp_path
):
    fresh, build = (
        part(rendered_world, slice(12, 14)),
        replace(options(retrieval_checkpoint), retrain_vlad=True),
    )
    with pytest.raises(ConfigurationError, match=r"--retrain-vlad .* has none"):
        add_references(learned.path, fresh, tmp_path / "a.relmap", build)
    assert not (tmp_path / "a.relmap").exists()


def test_many_more_references_than_the_vlad_knows_are_noted(plain, rendered_world, tmp_path):
    few = remove_references(plain.path, plain.reference_names[4:], tmp_path / "few.relmap")
    new = add_references(few.path, part(rendered_world, slice(12, 20)), tmp_path / "a.relmap", QUICK)
    note = new.provenance["notes"]["vlad"]
    assert "4 of the 12 references" in note and "--retrain-vlad" in note


def test_nothing_is_added_with_another_describer(
    learned, plain, rendered_world, retrieval_checkpoint, other_checkpoint, tmp_path
):
    fresh, out = part(rendered_world, slice(12, 14)), tmp_path / "a.relmap"
    with pytest.raises(MapError, match="--retrieval places0"):
        add_references(learned.path, fresh, out, QUICK)
    for old, checkpoint in ((learned, other_checkpoint), (plain, retrieval_checkpoint)):
        with pytest.raises(CheckpointError, match=old.path.name):
            add_references(old.path, fresh, out, options(checkpoint))
    assert not out.exists()


def test_removed_references_take_their_descriptors_along(learned, tmp_path):
    left = remove_references(learned.path, learned.reference_names[:2], tmp_path / "less.relmap")
    before = np.asarray(Map.open(learned.path).global_descriptors)
    np.testing.assert_array_equal(np.asarray(Map.open(left.path).global_descriptors), before[2:])
    assert left.described_by == learned.described_by


def test_maps_of_one_describer_are_merged_without_it(
    learned, plain, rendered_world, retrieval_checkpoint, other_checkpoint, tmp_path, monkeypatch
):
    rest = tmp_path / "rest.relmap"
    build_map(part(rendered_world, slice(12, 16)), rest, options(retrieval_checkpoint))
    both = merge_maps([learned.path, rest], tmp_path / "both.relmap", QUICK)
    rows = [np.asarray(Map.open(path).global_descriptors) for path in (learned.path, rest)]
    np.testing.assert_array_equal(np.asarray(Map.open(both.path).global_descriptors), np.concatenate(rows))
    with pytest.raises(MapError, match=r"(?s)made by places0.*by vlad.*map build SOURCE --retrieval"):
        merge_maps([learned.path, plain.path], tmp_path / "x.relmap", QUICK)
    others = tmp_path / "others.relmap"
    build_map(part(rendered_world, slice(12, 16)), others, options(other_checkpoint))
    with pytest.raises(MapError, match=r"(?s)places0.*places1.*cannot be compared"):
        merge_maps([learned.path, others], tmp_path / "x.relmap", QUICK)
    with pytest.raises(CheckpointError, match="places1"):
        merge_maps([learned.path, rest], tmp_path / "x.relmap", options(other_checkpoint))
    assert not (tmp_path / "x.relmap").exists()


def test_an_interrupted_build_describes_no_image_twice(
    rendered_world, retrieval_checkpoint, other_checkpoint, onnx_cache, tmp_path, monkeypatch
):
    count: list[str] = []
    describe = CheckpointDescriber.describe

    def spy(self, image, features=None):
        if image.shape[0] == 240:
            count.append(self.path.name)
        if len(count) == 4 and count[-1] == "places0.safetensors":
            raise KeyboardInterrupt
        return describe(self, image, features)

    monkeypatch.setattr(CheckpointDescriber, "describe", spy)
    source, out = part(rendered_world, slice(5)), tmp_path / "map.relmap"
    with pytest.raises(KeyboardInterrupt):
        build_map(source, out, options(retrieval_checkpoint))
    assert len(list((tmp_path / "map.relmap.building").glob("*.global.npz"))) == 3
    damaged = next((tmp_path / "map.relmap.building").glob("*.global.npz"))
    damaged.write_bytes(b"cut")
    count[:] = 10 * ["before"]
    resumed = build_map(source, out, options(retrieval_checkpoint))
    assert len(count) == 10 + 3  # two of the first were whole
    straight = build_map(source, tmp_path / "other.relmap", options(retrieval_checkpoint))
    np.testing.assert_array_equal(resumed.global_descriptors, straight.global_descriptors)


def test_a_stored_describer_that_is_none_is_refused(learned, tmp_path):
    bad = replace(learned, describer=replace(learned.described_by, kind="pickle"))
    bad.save(tmp_path / "bad.relmap")
    with pytest.raises(MapError, match=r"bad\.relmap.*global descriptors"):
        Map.open(tmp_path / "bad.relmap")
