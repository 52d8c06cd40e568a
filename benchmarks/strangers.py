"""Images that a map does not contain: how many get a pose all the same?

    python -m benchmarks strangers [--data FOLDER] [--limit N] [--maps FOLDER]

Every scene's map is asked for the queries of all other scenes and for the images of the folders
without poses (with a plausible pinhole camera). Every pose published (localized or degraded) is
false. A feature set is extracted once and put to all maps.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import describe_machine
from benchmarks.sources import DATA, fresh_map, limited, loose_images, scenes
from benchmarks.stranger_tables import Trial, all_tables
from relpose_ros.datasets.base import PosedImage
from relpose_ros.evaluation.evaluate import spaced
from relpose_ros.features.base import Features
from relpose_ros.features.registry import make_extractor
from relpose_ros.geometry.cameras import Camera
from relpose_ros.localization.hint import Hint
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import options_for
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Hypothesis, Localization

Groups = dict[str, list[PosedImage]]


class RecordingLocalizer(Localizer):
    """Keeps the last frame's hypotheses, which an abstention does not tell."""

    last: tuple[Hypothesis, ...] = ()

    def localize_features(
        self,
        features: Features,
        camera: Camera,
        beside: Sequence[Hypothesis] = (),
        image: NDArray[np.uint8] | None = None,
        hint: Hint | None = None,
    ) -> Localization:
        """As the localizer's own."""
        self.last = ()
        return super().localize_features(features, camera, beside, image, hint)

    def hypotheses(
        self, query: Query, neighbours: list[Neighbour]
    ) -> tuple[list[Hypothesis], dict[str, float]]:
        """As the localizer's own."""
        found, timings = super().hypotheses(query, neighbours)
        self.last = tuple(found)
        return found, timings


def attempt(
    localizer: RecordingLocalizer, features: Features, image: PosedImage, group: str, profile: str
) -> Trial:
    """Ask for one image."""
    answer = localizer.localize_features(features, image.camera)
    counts = [h.evidence.inliers for h in localizer.last if h.method == "structure"]
    name = localizer.map.name
    found = answer.inliers if answer.has_pose else max(counts, default=0)
    return Trial(
        profile, name, group, image.name, len(features), answer.state, answer.method, found, answer.reason
    )


def try_all(maps: dict[str, Map], groups: Groups, profile: str) -> list[Trial]:
    """Every image of every group against every map that is not its own."""
    localizers = {name: RecordingLocalizer(opened, profile) for name, opened in maps.items()}
    options = options_for(profile)
    feature = next(iter(maps.values())).feature
    extractor = make_extractor(feature, options.max_keypoints, options.image_scale)
    trials = []
    for group, images in groups.items():
        others = [localizer for name, localizer in localizers.items() if name != group]
        for image in images:
            features = extractor.extract(image.load())
            trials += [attempt(localizer, features, image, group, profile) for localizer in others]
    return trials


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks strangers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of scenes (default: %(default)s)")
    parser.add_argument("--scene", action="append", help="only maps whose name holds this; may be repeated")
    parser.add_argument("--profiles", nargs="+", default=["default", "fast"])
    parser.add_argument("--limit", type=int, default=40, help="images of each folder (default: %(default)s)")
    parser.add_argument("--references", type=int, help="at most that many references a map")
    parser.add_argument("--maps", type=Path, help="keep the maps here, and use again what lies here")
    parser.add_argument("--worst", type=int, default=15, help="how many to list (default: %(default)s)")
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    groups: Groups = {s.name: spaced(s.queries, args.limit) for s in scenes(args.data)}
    groups.update(loose_images(args.data, args.limit))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.maps or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        maps = {
            s.name: fresh_map(limited(s, args.references, None), folder / f"{s.name}.relmap")
            for s in scenes(args.data, args.scene)
        }
        trials = [t for profile in args.profiles for t in try_all(maps, groups, profile)]
    print(all_tables(trials, args.worst))


if __name__ == "__main__":
    main()
