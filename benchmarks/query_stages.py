"""The stages that a query passes: ours, a straightforward version, and whether both do the same."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np

from benchmarks import plain
from benchmarks.timing import Row, race
from benchmarks.workload import Workload
from relpose_ros.features.matching import match
from relpose_ros.features.registry import make_extractor
from relpose_ros.geometry.covariance import clustered_covariance, image_blocks
from relpose_ros.geometry.refinement import refine_pose
from relpose_ros.geometry.robust import absolute_pose
from relpose_ros.localization.localizer import Localizer
from relpose_ros.retrieval.index import DescriptorIndex
from relpose_ros.retrieval.vlad import Vlad, raw_vlad


def extraction(work: Workload) -> list[Row]:
    """Ours computes RootSIFT, compresses it and sorts by strength on top of OpenCV's SIFT."""
    options = work.localizer.options
    ours = make_extractor(work.map.feature, options.max_keypoints)
    bare = cv2.SIFT.create(options.max_keypoints)
    image = work.frame.image
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    times = race({"ours": lambda: ours.extract(image), "bare": lambda: bare.detectAndCompute(grey, None)})
    return [Row("extraction", times["ours"], "bare cv2.SIFT.detectAndCompute", times["bare"])]


def whole(work: Workload) -> list[Row]:
    """Image in to pose out against feature extraction alone: the limit is 1.3 times."""
    rows = []
    for profile in ("default", "fast"):
        localizer, frame = Localizer(work.map, profile), work.frame
        times = race({"all": partial(localizer.localize, frame), "some": partial(localizer.extract, frame)})
        note = f"total/extract {times['all'] / times['some']:.2f}"
        rows.append(Row(f"localize ({profile})", times["all"], "extraction alone", times["some"], note))
    return rows


def vlad(work: Workload) -> list[Row]:
    """The global descriptor."""
    found, centres = work.features.descriptors, _vlad_of(work).centres
    times = race({"ours": lambda: raw_vlad(found, centres), "loop": lambda: plain.vlad_loop(found, centres)})
    same = np.abs(raw_vlad(found, centres) - plain.vlad_loop(found, centres)).max()
    return [Row("VLAD", times["ours"], "loop over features", times["loop"], f"differ by {same:.0e}")]


def _vlad_of(work: Workload) -> Vlad:
    assert work.map.vlad is not None  # the benchmark builds its map without weights
    return work.map.vlad


def index(work: Workload, references: int = 5000) -> list[Row]:
    """Search among the map's descriptors with noise, as many as a large map has."""
    generator = np.random.default_rng(0)
    rows = np.resize(work.map.global_descriptors, (references, _vlad_of(work).dimension))
    rows = rows + 0.02 * generator.standard_normal(rows.shape, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    query, searched = _vlad_of(work).encode(work.features.descriptors), DescriptorIndex(rows)
    times = race(
        {"ours": lambda: searched.search(query, 10), "sort": lambda: plain.search_sort(rows, query, 10)}
    )
    same = searched.search(query, 10)[0][0].tolist() == plain.search_sort(rows, query, 10)
    note = f"{references} references, {'same' if same else 'another'} answer"
    return [Row("index", times["ours"], "dot products in a loop, sorted", times["sort"], note)]


def matching(work: Workload, subset: int = 100) -> list[Row]:
    """Mutual nearest neighbours with a ratio test; the loop on a subset of the query, scaled."""
    query, reference = work.features.descriptors, work.map.landmarks.descriptors[work.candidates]
    ratio = work.localizer.options.structure.ratio
    times = race(
        {
            "ours": lambda: match(query, reference, ratio),
            "cv2": lambda: plain.match_opencv(query, reference, ratio),
            "loop": lambda: plain.match_loop(query[:subset], reference, ratio),
        }
    )
    mine = {tuple(pair) for pair in match(query, reference, ratio).pairs.tolist()}
    theirs = set(plain.match_opencv(query, reference, ratio))
    note = f"{len(query)} x {len(reference)}, {len(mine & theirs)} of {len(mine | theirs)} matches the same"
    scaled = times["loop"] * len(query) / min(subset, len(query))
    return [
        Row("matching", times["ours"], "cv2.BFMatcher.knnMatch both ways", times["cv2"], note),
        Row("matching", times["ours"], "loop over features", scaled, f"loop on {subset}, scaled"),
    ]


def pnp(work: Workload) -> list[Row]:
    """The robust absolute pose of the frame, and with wrong matches added to it."""
    return [_pnp(work, wrong) for wrong in (0, 2 * len(work.seen))]


def _pnp(work: Workload, wrong: int) -> Row:
    """Same threshold and largest number of iterations; `wrong` matches are drawn at random."""
    generator = np.random.default_rng(0)
    seen, options = work.seen, work.ransac
    drawn = (generator.integers(0, len(seen), wrong) for _ in range(2))
    rays, points = (np.concatenate([a, a[i]]) for a, i in zip((seen.rays, seen.points), drawn, strict=True))
    times = race(
        {
            "ours": lambda: absolute_pose(rays, points, seen.focal, options),
            "cv2": lambda: plain.pnp_opencv(rays, points, seen.focal, options),
        }
    )
    answers = [solve(rays, points, seen.focal, options) for solve in (absolute_pose, plain.pnp_opencv)]
    refined, _, _ = refine_pose(work.solved.pose, seen[work.solved.inliers])
    off = [f"{refined.distance_to(a.pose)[0]:.1e}" if a else "no pose" for a in answers]
    kept = [int(a.inliers.sum()) if a else 0 for a in answers]
    note = (
        f"{len(rays)} matches, inliers {kept[0]} and {kept[1]}, "
        f"{off[0]} and {off[1]} units from the refined pose"
    )
    return Row("PnP", times["ours"], "cv2.solvePnPRansac (P3P)", times["cv2"], note)


def refinement(work: Workload) -> list[Row]:
    """Robust refinement of the pose on its inliers."""
    seen, start = work.seen[work.solved.inliers], work.solved.pose
    times = race({"ours": lambda: refine_pose(start, seen), "scipy": lambda: plain.refine_scipy(start, seen)})
    distance, angle = refine_pose(start, seen)[0].distance_to(plain.refine_scipy(start, seen))
    note = f"{len(seen)} points, differ by {distance:.1e} units, {np.degrees(angle):.1e} deg"
    return [Row("refinement", times["ours"], "scipy.optimize.least_squares", times["scipy"], note)]


def covariance(work: Workload) -> list[Row]:
    """The clustered covariance (ours does more) against the textbook formula in a loop."""
    seen = work.seen[work.solved.inliers]
    _, line, weight = refine_pose(work.solved.pose, seen)
    times = race(
        {
            "ours": lambda: clustered_covariance(line, image_blocks(seen.rays), weight),
            "loop": lambda: plain.covariance_loop(line, weight),
        }
    )
    return [Row("covariance", times["ours"], "textbook formula in a loop", times["loop"], "ours with blocks")]
