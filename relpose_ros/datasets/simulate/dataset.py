"""The simulated world as a dataset: a Source in memory, or files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.datasets.simulate.bags import write_bags
from relpose_ros.datasets.simulate.folder import LICENCE, write_folder
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.errors import DatasetError

Progress = Callable[..., None]


def simulate(options: SimulationOptions | None = None) -> Source:
    """A world as a Source in memory. Images and depths are rendered each time they are loaded."""
    return simulated_source(Simulation(options or SimulationOptions()))


def simulated_source(simulation: Simulation) -> Source:
    """All shots of a simulation as a Source in memory."""
    o = simulation.options
    images = tuple(
        PosedImage(
            shot.name,
            o.lens,
            simulation.map_from_camera(shot.split, shot.time),
            shot.split,
            load=partial(simulation.image, shot),
            stamp=shot.stamp,
            load_depth=partial(simulation.depth, shot) if o.depth else None,
            load_semantics=partial(simulation.semantics, shot),
            domain=o.domain,
        )
        for shot in simulation.shots
    )
    return Source(f"simulated_{o.world}_{o.seed}{o.appearance}", Path(), images, metric=True, licence=LICENCE)


def write_simulation(options: SimulationOptions, out: str | Path, progress: Progress | None = None) -> Path:
    """Render a world into the posed folder `out`, with `options.bags` also as rosbag2; whole or not at all.

    `progress(done, total)` is called after every image. Raises DatasetError if `out` is a file or a
    folder with something in it.
    """
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise DatasetError(f"{out}: expected a new or empty folder for the simulation; choose another")
    simulation = Simulation(options)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        write_folder(simulation, temporary, progress)
        if options.bags:
            write_bags(simulation, temporary)
        temporary.chmod(0o755)
        # Renaming over an empty folder is allowed, over anything else it is refused.
        temporary.replace(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return out
