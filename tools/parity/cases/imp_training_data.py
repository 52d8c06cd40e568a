"""IMP's training data: the published dump, samples from it, true matches, the evaluation's HDF5."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.matching_pairs import (
    read_features,
    read_pairs,
    write_features,
    write_pairs,
)
from relpose_training.data.matching_sample import ImageSample, SampleOptions, draw_pairs, matching_sample
from relpose_training.data.megadepth_dump import MegaDepthDump, shifted
from relpose_training.data.pickled_arrays import read_pickled_npy
from relpose_training.data.reprojection_matches import (
    PosedKeypoints,
    ReprojectionOptions,
    reprojection_matches,
)
from tools.parity.case import Deviation, deviation, exact, golden, load, path_of

Stored = dict[str, NDArray[Any]]


@golden("imp", "MegaDepth training sample", "fixture_megadepth_dump", "megadepth_sample.npz")
def megadepth_sample() -> Iterator[Deviation]:
    stored = load("imp", "megadepth_sample.npz")
    root = path_of("imp", "fixture_megadepth_dump")
    dump = MegaDepthDump(root)
    counts = dump.pair_counts()
    for name, random_inliers in (("plain", False), ("rand", True)):
        options = SampleOptions(64, random_inliers, 10, 20, compat=True)
        reference = {k.removeprefix(f"{name}_"): v for k, v in stored.items() if k.startswith(f"{name}_")}
        drawn = draw_pairs(counts, np.random.RandomState(0), compat=True)
        yield exact(f"{name} order", np.array([i for _, i in drawn]), reference["dataset_order"])
        scene, index = drawn[0]
        pair = dump.pair(scene, index)
        first, second = (dump.image(scene, path) for path in pair.image_paths)
        sample = matching_sample(first, second, pair.matches, options, np.random.RandomState(1234))
        yield from _image_sample(sample.first, reference, name, 0)
        yield from _image_sample(sample.second, reference, name, 1)
        yield exact(f"{name} matching_mask", sample.matching, reference["matching_mask"])
        yield deviation(f"{name} P21", sample.second_from_first.matrix, reference["P21"], 1e-6)
        yield deviation(f"{name} gt_E", sample.essential, reference["gt_E"], 1e-6)
        yield deviation(f"{name} gt_pose", sample.fundamental, reference["gt_pose"], 1e-12)
        names = [Path(path).name for path in pair.image_paths]
        yield exact(f"{name} file_name", f"{scene}_{names[0]}_{names[1]}", str(reference["file_name"]))


def _image_sample(ours: ImageSample, reference: Stored, name: str, i: int) -> Iterator[Deviation]:
    yield exact(f"{name} keypoints{i}", ours.keypoints, reference[f"keypoints{i}"])
    yield deviation(f"{name} keypoints{i}_3d", ours.rays, reference[f"keypoints{i}_3d"], 1e-6)
    yield deviation(f"{name} norm_keypoints{i}", ours.normalised, reference[f"norm_keypoints{i}"], 1e-6)
    yield exact(f"{name} descriptors{i}", ours.descriptors[:, :8], reference[f"descriptors{i}"])
    yield exact(f"{name} scores{i}", ours.scores, reference[f"scores{i}"])
    yield exact(f"{name} intrinsics{i}", ours.matrix, reference[f"intrinsics{i}"])
    width, height = ours.size
    yield exact(f"{name} image_size{i}", np.array([[3, height, width]]), reference[f"image_size{i}"])
    yield exact(f"{name} file_name{i}", ours.path, str(reference[f"file_name{i}"]))


@golden("imp", "MegaDepth dump, file by file", "fixture_megadepth_dump")
def megadepth_dump() -> Iterator[Deviation]:
    """Each file holds what the others and the sample say; nobody may unpickle it to compare."""
    root = path_of("imp", "fixture_megadepth_dump")
    dump = MegaDepthDump(root)
    counts = dump.pair_counts()
    yield exact("scenes", list(counts), (root / "scenes.txt").read_text().split())
    for scene, count in counts.items():
        files = sorted((root / "matches_sep_spp" / scene).iterdir())
        yield exact("pairs", [f.name for f in files], [f"{i}.npy" for i in range(count)])
        together = read_pickled_npy(root / "matches_spp" / f"{scene}.npy")
        alone = [read_pickled_npy(f) for f in files]
        for i, (a, b) in enumerate(zip(alone, together, strict=True)):
            yield from (exact(f"pair {i} {key}", b[key], a[key]) for key in a)
        per_scene = read_pickled_npy(root / "nmatches_spp" / f"{scene}_spp.npy")
        yield exact("count", per_scene, {scene: count})
        for i in range(count):
            images = [dump.image(scene, path) for path in dump.pair(scene, i).image_paths]
            yield exact(
                f"pair {i} paths", tuple(m.image_path for m in images), dump.pair(scene, i).image_paths
            )
            yield from (
                exact(f"pair {i} pose {side}", image.camera_from_world.matrix, alone[i][f"pose{side}"])
                for side, image in enumerate(images, start=1)
            )


@golden("imp", "true matches by reprojection", "dump_reprojection_matches.npz")
def reprojection() -> Iterator[Deviation]:
    given = load("imp", "dump_reprojection_matches.npz")
    first, second = (
        PosedKeypoints(
            given[f"kpts{i}"],
            given[f"depth{i}"],
            shifted(given[f"K{i}"], -0.5),
            Rigid.from_matrix(given[f"pose{i}"]),
        )
        for i in (0, 1)
    )
    found = reprojection_matches(first, second, ReprojectionOptions(compat=True))
    yield exact("inliers", found.inliers, given["inlier_matches"])
    yield exact("outliers", found.outliers, given["outlier_matches"])


@golden("imp", "evaluation HDF5 written again", "fixture_eval_hdf5")
def evaluation_hdf5() -> Iterator[Deviation]:
    folder = path_of("imp", "fixture_eval_hdf5")
    with tempfile.TemporaryDirectory() as temporary:
        ours = Path(temporary)
        write_pairs(ours / "pairs.hdf5", read_pairs(folder / "yfcc_sp_2000.hdf5"))
        yield from _same_hdf5(ours / "pairs.hdf5", folder / "yfcc_sp_2000.hdf5")
        write_features(ours / "features.hdf5", read_features(folder / "feat_0_0.hdf5"))
        yield from _same_hdf5(ours / "features.hdf5", folder / "feat_0_0.hdf5")


def _same_hdf5(ours: Path, reference: Path) -> Iterator[Deviation]:
    """Names, shapes, types and values; e and f are computed anew."""
    import h5py

    def contents(file: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        file.visititems(found.__setitem__)
        return found

    with h5py.File(ours, "r") as a, h5py.File(reference, "r") as b:
        mine, theirs = contents(a), contents(b)
        yield exact(f"{reference.name} names", sorted(mine), sorted(theirs))
        for name in (n for n, item in theirs.items() if isinstance(item, h5py.Dataset)):
            kinds = [(d[name].shape, d[name].dtype) for d in (mine, theirs)]
            yield exact(f"{name} type", *kinds)
            if theirs[name].dtype.kind == "f":
                yield deviation(name, mine[name][...], theirs[name][...], 1e-15)
            else:
                yield exact(name, list(mine[name][...]), list(theirs[name][...]))
