"""What `relpose demo` does, stage by stage. Calls the library; the nodes run as processes."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from relpose_ros.cli.demo_folder import prepare_folder
from relpose_ros.cli.map import made_text
from relpose_ros.cli.progress import progress_bar
from relpose_ros.cli.replay import start_replay
from relpose_ros.errors import DatasetError
from relpose_ros.progress import Progress, silent

if TYPE_CHECKING:
    from relpose_ros.datasets.base import PosedImage, Source
    from relpose_ros.datasets.simulate.options import SimulationOptions

SIMULATED_HZ, RECORDED_HZ = 5.0, 3.0
"""Images a second that are played to the node: what it answers on two cores without dropping any.
Photographs are larger than the images of the simulated world."""
HELD_OUT = 5
"""A source without queries lends every so many-th reference as one."""
Stretches = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class DemoOptions:
    """`source` None: a simulated world. `offline`: no nodes. `out` is replaced if a demo made it."""

    out: Path
    source: Source | None = None
    seed: int = 0
    quick: bool = False
    profile: str = "default"
    offline: bool = False


@dataclass(frozen=True)
class Material:
    """What the stages work on.

    `queries` are those of the map's place and `outside` those where the map is not; `bag` holds both,
    `stretches` says where in it the latter are (seconds from its first image), `rate` is the pace.
    """

    references: Source
    queries: Source
    outside: tuple[PosedImage, ...]
    bag: Path
    stretches: Stretches = ()
    rate: float = 1.0
    base_frame: str = ""


@dataclass
class Stages:
    """Says what is going on and how long it took."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, text: str, *, bar: bool = True) -> Iterator[Progress]:
        """One stage; yields the progress to tell. No `bar` where a process shows its own."""
        print(f"--- {text}", flush=True)
        start = time.perf_counter()
        with progress_bar(name) if bar else nullcontext(silent) as progress:
            yield progress
        self.seconds[name] = round(time.perf_counter() - start, 2)
        print(f"    {name}: {self.seconds[name]:.1f} s", flush=True)

    def summary(self) -> str:
        """All of them in a line."""
        parts = [f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items()]
        return f"time: {', '.join(parts)}; all {sum(self.seconds.values()):.1f} s"


def run_demo(options: DemoOptions) -> int:
    """All stages; everything is written into `options.out`. Returns the exit status."""
    from relpose_ros.localization.mapping import build_map
    from relpose_ros.localization.options import options_for
    from relpose_ros.maps.assemble import BuildOptions

    options_for(options.profile)  # an unknown name is refused before anything is done
    if options.source is not None:
        check_source(options.source)
    else:
        simulation_options(options)
    out, stages = prepare_folder(options.out), Stages()
    material = (simulated if options.source is None else recorded)(options, stages)
    count = len(material.references.references)
    text = f"building the map from {count} posed images of {material.references.path}"
    with stages.stage("map", text) as progress:
        build = BuildOptions(seed=options.seed, calibration_samples=16 if options.quick else 40)
        made = build_map(material.references, out / "map.relmap", build, progress)
    print(f"    {made_text(made)}".replace("\n", "\n    "))
    status = answer(options, material, stages)
    if status == 0:
        finish(out, stages)
    return status


def simulated(options: DemoOptions, stages: Stages) -> Material:
    """Render a world with its two drives as bags."""
    from relpose_ros.datasets.open import open_source
    from relpose_ros.datasets.simulate.dataset import write_simulation

    wanted = simulation_options(options)
    world = options.out / "world"
    with stages.stage(
        "world",
        f"rendering an office: {wanted.map_frames} images of a mapping drive and {wanted.query_frames} of a "
        f"query drive ({wanted.width}x{wanted.height}), recorded as rosbag2 in {world}",
    ) as progress:
        write_simulation(wanted, world, progress)
    folder, bag = open_source(world), world / "query_bag"
    outside = tuple(q for q in folder.queries if is_in_store(q))
    start = folder.queries[0].stamp
    interval = (folder.queries[-1].stamp - start) / (len(folder.queries) - 1)
    ends = [image.stamp - start for image in outside]
    stretches = ((ends[0] - interval / 2, ends[-1] + interval / 2),) if ends else ()
    inside = tuple(q for q in folder.queries if not is_in_store(q))
    queries = replace(folder, images=inside)
    mapping = open_source(world / "mapping_bag")
    return Material(mapping, queries, outside, bag, stretches, SIMULATED_HZ * interval, "base_link")


def simulation_options(options: DemoOptions) -> SimulationOptions:
    """The world of the demo: as large as two minutes on two cores allow."""
    from relpose_ros.datasets.simulate.options import SimulationOptions

    width, height, map_frames, query_frames = (320, 240, 50, 30) if options.quick else (480, 360, 100, 100)
    return SimulationOptions(
        seed=options.seed,
        width=width,
        height=height,
        map_frames=map_frames,
        query_frames=query_frames,
        depth=False,
        bags=True,
    )


def is_in_store(image: PosedImage) -> bool:
    """Whether the camera stands in the room that the mapping drive never enters: blank walls."""
    from relpose_ros.datasets.simulate.office import STORE

    assert image.map_from_camera is not None
    x, y, _ = image.map_from_camera.translation
    return bool(STORE.low[0] <= x <= STORE.high[0] and STORE.low[1] <= y <= STORE.high[1])


def check_source(source: Source) -> None:
    """Raises DatasetError unless a map can be made and something is left to localize."""
    if len(source.references) < (2 if source.queries else HELD_OUT):
        raise DatasetError(
            f"{source.path}: {len(source.references)} images with a pose and {len(source.queries)} queries "
            "are too few for a demo; it takes some dozens of posed images"
        )


def recorded(options: DemoOptions, stages: Stages) -> Material:
    """Real images: the queries of a source as a bag."""
    from relpose_ros.datasets.bag_from_source import source_to_bag

    assert options.source is not None
    source, bag = with_queries(options.source), options.out / "query_bag"
    steady = replace(source, images=tuple(replace(q, stamp=0.0) for q in source.queries))
    text = f"writing {len(steady.images)} query images as a rosbag2 at {RECORDED_HZ:g} Hz: {bag}"
    with stages.stage("bag", text):
        source_to_bag(steady, "query", bag, RECORDED_HZ, compressed=True)
    return Material(source, replace(source, images=source.queries), (), bag)


def with_queries(source: Source) -> Source:
    """The source, or with every fifth reference held out as a query where it has none."""
    if source.queries:
        return source
    print(f"{source.path}: no query images; every {HELD_OUT}th posed image is held out as one")
    held = {image.name for image in source.references[HELD_OUT // 2 :: HELD_OUT]}
    images = (replace(i, split="query") if i.name in held else i for i in source.images)
    return replace(source, images=tuple(images))


def answer(options: DemoOptions, material: Material, stages: Stages) -> int:
    """Localize the queries, by the nodes where there is ROS 2. Returns the exit status."""
    missing = [name for name in ("rclpy", "relpose_msgs") if importlib.util.find_spec(name) is None]
    if options.offline or missing:
        if missing:
            print(f"no ROS 2 here ({missing[0]} is missing; see relpose doctor): no nodes, but the same map")
        with stages.stage("evaluation", "localizing the query images in this process") as progress:
            evaluate_offline(options, material, progress)
        return 0
    replayed = {
        "map": str(options.out / "map.relmap"),
        "bag": str(material.bag),
        "out": str(options.out / "report"),
        "rate": material.rate,
        "profile": options.profile,
        "base_frame": material.base_frame,
        "outside": material.stretches,
        "allow_unscaled_map": not material.references.metric,
    }
    pace = "as recorded" if material.rate == 1 else f"{material.rate:.1f} times as fast as recorded"
    text = f"starting the localizer node, playing {material.bag} to it over DDS, {pace}"
    with stages.stage("replay", text, bar=False):
        return start_replay(replayed)


def evaluate_offline(options: DemoOptions, material: Material, progress: Progress) -> None:
    """As `relpose evaluate` does."""
    from relpose_ros.evaluation.evaluate import MapFacts, evaluate
    from relpose_ros.evaluation.table import format_table
    from relpose_ros.localization.localizer import Localizer
    from relpose_ros.maps.bundle import Map

    opened = Map.open(options.out / "map.relmap")
    facts = MapFacts(opened.info(), opened.reference_poses, opened.landmark_points)
    results = evaluate(
        Localizer(opened, options.profile),
        material.queries,
        options.out / "report",
        map_facts=facts,
        outside=material.outside,
        progress=progress,
    )
    print(format_table(results))


def finish(out: Path, stages: Stages) -> None:
    """Note how long everything took and say where the report is."""
    (out / "demo.json").write_text(json.dumps({"seconds": stages.seconds}, indent=1) + "\n")
    print(f"\n{stages.summary()}\nreport: {out / 'report' / 'report.html'}")
