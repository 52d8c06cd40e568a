"""The published dump as shards: what was in it is in them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_training.data.correspondence_set import Target, prepare_correspondences
from relpose_training.data.dump_conversion import DumpOptions, dump_scenes
from relpose_training.data.matching_fields import decode
from relpose_training.data.megadepth_dump import MegaDepthDump
from relpose_training.data.shards import ShardSet


@pytest.fixture
def dump(goldens):
    return goldens / "imp" / "fixture_megadepth_dump"


def convert(dump, out, **options):
    scenes, size = dump_scenes(dump, "spp")
    counts = prepare_correspondences(scenes, {"val": 1.0}, Target(out), DumpOptions("spp", size, **options))
    return counts["val"], ShardSet(out, "val")


def test_the_published_dump_is_in_the_shards(dump, tmp_path):
    count, shards = convert(dump, tmp_path)
    published = MegaDepthDump(dump)
    assert count == 2 and shards.index.meta["descriptor_size"] == 256
    assert shards.index.meta["scores"] == "detector" and "MegaDepth" in shards.index.meta["licence"]
    assert not shards.index.meta["metric"]
    for index in range(2):
        pair, sample = published.pair("5015", index), shards.shard(0).sample(index)
        assert np.array_equal(sample["matches"], pair.matches)
        images = [published.image("5015", path) for path in pair.image_paths]
        for side, image in enumerate(images):
            assert np.array_equal(sample[f"keypoints{side}"], image.keypoints)
            assert np.array_equal(sample[f"scores{side}"], image.scores)
            assert tuple(sample[f"size{side}"]) == image.size
            cosines = (decode(sample[f"descriptors{side}"]) * image.descriptors).sum(axis=1)
            assert (cosines > 0.999 * np.linalg.norm(image.descriptors, axis=1)).all()
            assert not set(sample[f"unmatched{side}"]) & set(pair.matches[:, side])
        move = images[1].camera_from_world @ images[0].camera_from_world.inverse()
        np.testing.assert_allclose(sample["R"], move.rotation, atol=1e-6)
        np.testing.assert_allclose(sample["t"], move.translation, atol=1e-5)


def test_rays_and_matches_fulfil_the_pose(dump, tmp_path):
    sample = convert(dump, tmp_path)[1].shard(0).sample(0)
    tx, ty, tz = sample["t"] / np.linalg.norm(sample["t"])
    E = np.array([[0, -tz, ty], [tz, 0, -tx], [-ty, tx, 0]]) @ sample["R"]
    a, b = sample["matches"].T
    x1, x2 = (np.c_[sample[f"rays{k}"][i], np.ones(len(i))] for k, i in ((0, a), (1, b)))
    lines = x1 @ E.T
    pixels = np.abs((x2 * lines).sum(1)) / np.hypot(lines[:, 0], lines[:, 1]) * sample["K1"][0, 0]
    assert pixels.max() < 5.5


def test_some_pairs_of_a_scene(dump, tmp_path):
    assert convert(dump, tmp_path / "one", pairs=1)[0] == 1
    assert convert(dump, tmp_path / "all", pairs=50)[0] == 2


def test_a_scene_that_is_not_there(dump):
    with pytest.raises(DatasetError, match="expected pairs of scene 0001"):
        dump_scenes(dump, "spp", ["5015", "0001"])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"matched_ids1": np.array([900]), "matched_ids2": np.array([0])}, "not there"),
     ({"matched_ids1": np.array([-1]), "matched_ids2": np.array([0])}, "not there")],
)  # fmt: skip
def test_labels_of_keypoints_that_are_not_there(dump, tmp_path, change, message):
    copy = tmp_path / "dump"
    shutil.copytree(dump, copy)
    folder = copy / "matches_sep_spp" / "5015"
    paths = MegaDepthDump(dump).pair("5015", 0).image_paths
    record = {"image_path1": paths[0], "image_path2": paths[1], **change}
    for path in (folder, folder / "0.npy"):
        path.chmod(0o755)
    np.save(folder / "0.npy", record, allow_pickle=True)
    with pytest.raises(DatasetError, match=message):
        convert(copy, tmp_path / "out")
    assert not (tmp_path / "out" / "val.json").exists()
