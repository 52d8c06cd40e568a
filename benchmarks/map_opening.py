"""Opening a large map: seconds until it answers, and the memory that it then takes.

    python -m benchmarks map_opening --references 200000 --before ../old-checkout

A synthetic map: references along a road, 24 landmark sightings and 8 other keypoints each (real ones
have ten times as many), one landmark for four sightings, global descriptors in places of 20 views. It is
written in the present format and in version 1. Each is opened by a process of its own: `Map.open`, then
`Localizer`, then 20 times what a query reads: its 10 nearest references and the landmarks that they see.
`--before` is a checkout of older software, which opens the file of version 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":  # run from a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.map_version_1 import write_version_1
from benchmarks.report import describe_machine, markdown
from benchmarks.retrieval_index import clustered
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.bundle import Landmarks, Map, ReferenceFeatures
from relpose_ros.retrieval.vlad import Vlad

SEEN, LOOSE, SIGHTINGS = 24, 8, 4
CAMERA = Camera("pinhole", 300.0, 300.0, 319.5, 239.5, 640, 480)
HEADER = (
    "software", "file", "MB", "open s", "ready s", "MB open", "MB ready", "first ms", "then ms", "MB then",
)  # fmt: skip

READER = """
    import json, sys, time
    import numpy as np
    from relpose_ros.geometry.cameras import Camera
    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.maps.bundle import Map
    import scipy.spatial, cv2, poselib, h5py
    def memory():
        lines = open("/proc/self/status").read().splitlines()
        return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmRSS"))
    before, start = memory(), time.perf_counter()
    opened = Map.open(sys.argv[1])
    seconds, held = time.perf_counter() - start, memory() - before
    localizer = Localizer(opened)
    ready, kept = time.perf_counter() - start, memory() - before
    spent = []
    for index in np.random.default_rng(0).integers(0, len(opened), 20).tolist():
        start = time.perf_counter()
        features = opened.reference_features(index)
        found = localizer._index.search(opened.global_descriptors[[index]], 10)[0][0]
        assert index in found
        for neighbour in found.tolist():
            seen = opened.visible[neighbour]
            opened.landmarks.points[seen], opened.landmarks.descriptors[seen]
        spent.append(1e3 * (time.perf_counter() - start))
    print(json.dumps([seconds, ready, held, kept, spent[0], float(np.median(spent[1:])), memory() - before]))
"""


def synthetic_map(references: int, dimension: int = 256, seed: int = 0) -> Map:
    """A map of `references` views along a road that never was."""
    generator = np.random.default_rng(seed)
    landmarks = max(1, references * SEEN // SIGHTINGS)
    along = np.arange(references) * 0.5
    centres = np.stack([along, np.zeros(references), np.zeros(references)], axis=1)
    points = np.repeat(centres[::SIGHTINGS], SEEN, axis=0)[:landmarks]
    points = points + generator.uniform([-5, -2, 4], [5, 2, 30], points.shape)
    unit = directions(generator, landmarks, 64)
    spread = np.einsum("l,ij->lij", generator.uniform(1e-4, 1e-2, landmarks), np.eye(3))
    features = [one_reference(generator, i, unit) for i in range(references)]
    descriptors, _ = clustered(references, dimension, 1, seed)
    vlad = Vlad(
        directions(generator, 8, 64), np.zeros(512, np.float32), np.eye(512, dimension, dtype=np.float32)
    )
    return Map(
        name="road",
        metric=True,
        feature="rootsift64",
        reference_names=tuple(f"drive/{i:07d}.jpg" for i in range(references)),
        conditions=("",) * references,
        cameras=(CAMERA,) * references,
        reference_poses=Rigid(np.broadcast_to(np.eye(3), (references, 3, 3)).copy(), centres),
        features=features,
        landmarks=Landmarks(points, spread, unit),
        vlad=vlad,
        global_descriptors=descriptors,
    )


def directions(generator: np.random.Generator, count: int, dimension: int) -> NDArray[np.float32]:
    """Unit vectors (count, dimension)."""
    values = generator.standard_normal((count, dimension), np.float32)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def one_reference(
    generator: np.random.Generator, index: int, descriptors: NDArray[np.float32]
) -> ReferenceFeatures:
    """What the reference sees: the landmarks of its stretch of road, and some keypoints of its own."""
    first = index // SIGHTINGS * SEEN
    seen = np.arange(first, min(first + SEEN, len(descriptors)), dtype=np.int32)
    own = directions(generator, LOOSE, descriptors.shape[1])
    pixels = generator.uniform(0, 479, (len(seen) + LOOSE, 2)).astype(np.float32)
    landmarks = np.concatenate([seen, np.full(LOOSE, -1, np.int32)])
    return ReferenceFeatures(pixels, landmarks, np.concatenate([descriptors[seen], own]))


def opened_by(software: Path, path: Path) -> list[float]:
    """What READER measures, in a process that imports the checkout `software`."""
    script = textwrap.dedent(READER)
    environment = {**os.environ, "PYTHONPATH": str(software), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: list[float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def row(name: str, software: Path, path: Path) -> list[str]:
    """One line of the table."""
    seconds, ready, held, kept, first, then, after = opened_by(software, path)
    version = path.read_bytes()[:8].decode()
    size = path.stat().st_size / 1e6
    return [name, version, f"{size:.0f}", f"{seconds:.2f}", f"{ready:.2f}", f"{held:.0f}", f"{kept:.0f}",
            f"{first:.1f}", f"{then:.1f}", f"{after:.0f}"]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--references", type=int, nargs="+", default=[20_000])
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="older software to compare with")
    options = parser.parse_args(arguments)
    here = Path(__file__).resolve().parents[1]
    print(f"{describe_machine()}\n", flush=True)
    for references in options.references:
        with tempfile.TemporaryDirectory(prefix="map-opening-") as folder:
            old, new = (Path(folder) / name for name in ("old.relmap", "new.relmap"))
            made = synthetic_map(references)
            write_version_1(made, old)
            start = time.perf_counter()
            made.save(new)
            saved = time.perf_counter() - start
            del made
            rows = [row("before", options.before, old)] if options.before else []
            rows += [row("now", here, old), row("now", here, new)]
            print(
                f"### {references:,} references (saving took {saved:.0f} s)\n\n{markdown(HEADER, rows)}\n",
                flush=True,
            )


if __name__ == "__main__":
    main()
