"""`relpose replay`: the localizer as a process, a bag played to it over DDS, its answers scored.

Run as `python -m relpose_ros.nodes.replay` (the command line may not import ROS itself).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import ConfigurationError, RelposeError
from relpose_ros.nodes.environment import applied, dds_environment, free_domain
from relpose_ros.nodes.node_process import NodeProcess
from relpose_ros.nodes.replay_report import MemorySample, open_truth, replay_figures, write_report
from relpose_ros.nodes.runner import end_with_parent

if TYPE_CHECKING:
    from relpose_ros.nodes.bag_player import BagPlayer, CameraTopics
    from relpose_ros.nodes.collector import Collector

LOCALIZER = "/relpose_replay/localizer"
START_TIMEOUT = 60.0
"""Seconds for the node to load its map and be discovered."""
DRAIN_TIMEOUT = 5.0
"""Seconds to wait for the answer to the last image."""


@dataclass(frozen=True)
class ReplayOptions:
    """What to play to which map, and how.

    `rate` 1.0 is the pace of the recording. With `minutes` the bag is played again and again for
    that long. `pruner`, `matcher`, `scene`, `retrieval` and `relative_checkpoint`: the node's
    `features.pruner`, `features.matcher`, `scene.checkpoint`, `retrieval.checkpoint` and
    `relative.checkpoint`, which means `relative.estimator` relpose_gnn. `base_frame` names the
    frame whose pose ~/pose gives; empty: the camera's own.
    `outside`: stretches of the bag (seconds from its first image, both ends included) where the camera
    is where the map is not; any pose there is a false one. `domain`: the ROS domain that it happens in; None:
    a free one. `node` is the command of the node's process. `bag` may be another posed-image source.
    """

    map: Path
    bag: Path
    out: Path
    rate: float = 1.0
    minutes: float = 0.0
    profile: str = "default"
    pruner: str = ""
    matcher: str = ""
    scene: str = ""
    retrieval: str = ""
    relative_checkpoint: str = ""
    image_topic: str | None = None
    camera_info_topic: str | None = None
    pose_topic: str | None = None
    base_frame: str = ""
    allow_unscaled_map: bool = False
    outside: tuple[tuple[float, float], ...] = ()
    domain: int | None = None
    node: tuple[str, ...] = ("-m", "relpose_ros.nodes.localizer_node")

    def __post_init__(self) -> None:
        if not 0.01 <= self.rate <= 100 or self.minutes < 0:
            raise ConfigurationError(
                f"expected a rate from 0.01 to 100 and minutes from 0, got {self.rate} and {self.minutes}"
            )
        if self.domain is not None and not 0 <= self.domain <= 101:
            raise ConfigurationError(f"expected a ROS domain from 0 to 101, got {self.domain}")


@dataclass
class Recording:
    """What a replay has seen."""

    collector: Collector
    seconds: float = 0.0
    memory: list[MemorySample] = field(default_factory=list)


def replay(options: ReplayOptions) -> dict[str, Any]:
    """Play, collect, score. Returns the figures of the replay; everything else is in `options.out`.

    Raises DatasetError for a bag that cannot be played, ConfigurationError or MapError with the
    node's own words when it refuses to start or ends early.
    """
    from relpose_ros.nodes.bag_player import camera_topics
    from relpose_ros.nodes.replay_source import as_bag

    with as_bag(options.bag, options.out) as bag:
        played = with_changes(options, bag=bag)
        topics = camera_topics(bag, options.image_topic, options.camera_info_topic)
        source = open_truth(played, topics)  # what is wrong with the bag is said before it is played
        options.out.mkdir(parents=True, exist_ok=True)
        recording, status = _run(played, topics)
        figures = replay_figures(recording.collector, recording.seconds, recording.memory, status)
        write_report(options, source, recording.collector, figures)
    return figures


def _run(options: ReplayOptions, topics: CameraTopics) -> tuple[Recording, int]:
    """Start the node, play, end it; what was seen, and the node's exit status."""
    domain = free_domain() if options.domain is None else options.domain
    with (
        tempfile.TemporaryDirectory(prefix="relpose-replay-") as scratch,
        applied(dds_environment(domain, Path(scratch))),
        start_localizer(options, topics) as process,
    ):
        return record(options, topics, process), process.stop()


def start_localizer(options: ReplayOptions, topics: CameraTopics) -> NodeProcess:
    """The localizer under test as a process of its own."""
    log = options.out / "localizer.log"
    log.unlink(missing_ok=True)
    parameters = {
        "use_sim_time": True,
        "map": str(options.map),
        "profile": options.profile,
        "features.pruner": options.pruner,
        "features.matcher": options.matcher,
        "retrieval.checkpoint": options.retrieval,
        "scene.checkpoint": options.scene,
        "global_frame_id": _global_frame(options.scene),
        **_relative_parameters(options.relative_checkpoint),
        "base_frame_id": options.base_frame,
        "allow_unscaled_map": options.allow_unscaled_map,
        "diagnostics_period": 0.2,
        "image_transport": "compressed" if topics.is_compressed else "raw",
    }
    remappings = {"image": topics.image_base, "__ns": LOCALIZER.rsplit("/", 1)[0]}
    if topics.camera_info is not None:
        remappings["camera_info"] = topics.camera_info
    return NodeProcess(options.node, log, parameters=parameters, remappings=remappings)


def _global_frame(scene: str) -> str:
    """A bag and a map name no frame, so that of the checkpoint is taken, where there is one."""
    if not scene:
        return "map"
    from relpose_ros.checkpoints.format import read_info
    from relpose_ros.checkpoints.scene import SceneInfo

    return SceneInfo.of(read_info(scene), scene).frame


def _relative_parameters(checkpoint: str) -> dict[str, Any]:
    """Of the node, where relative poses are to be regressed."""
    named = {"relative.estimator": "relpose_gnn", "relative.checkpoint": checkpoint}
    return named if checkpoint else {}


def record(options: ReplayOptions, topics: CameraTopics, process: NodeProcess) -> Recording:
    """Play the bag once (or for `options.minutes`) and collect the answers."""
    from relpose_ros.nodes.bag_player import BagPlayer
    from relpose_ros.nodes.collector import Collector
    from relpose_ros.nodes.spinning import spinning_node

    with spinning_node("relpose_replay") as node:
        recording = Recording(Collector(node, LOCALIZER))
        frame = _global_frame(options.scene)
        player = BagPlayer(node, options.bag, topics, recording.collector.sent, frame)
        collector = recording.collector

        def all_connected() -> bool:
            return player.is_heard() and collector.is_connected() and collector.is_hearing()

        wait_until(all_connected, process, START_TIMEOUT)
        _play(options, player, process, recording)
    return recording


def _play(options: ReplayOptions, player: BagPlayer, process: NodeProcess, recording: Recording) -> None:
    started = time.monotonic()

    def go_on() -> bool:
        now = time.monotonic()
        if not recording.memory or now - recording.memory[-1].at >= 1.0:
            recording.memory.append(_sample(process))
            _check_alive(process)
            _show(recording)
        return not options.minutes or now - started < 60 * options.minutes

    while True:
        player.play(options.rate, go_on)
        if time.monotonic() - started >= 60 * options.minutes:
            break
    recording.seconds = time.monotonic() - started
    recording.memory.append(_sample(process))
    _show(recording, end=True)
    try:
        wait_until(recording.collector.is_last_answered, process, DRAIN_TIMEOUT)
        recording.memory.append(_sample(process))  # the last answer was work as well
    except TimeoutError:
        print("relpose replay: the last image was not answered", file=sys.stderr)


def _sample(process: NodeProcess) -> MemorySample:
    return MemorySample(time.monotonic(), process.memory(), process.processor_seconds())


def _show(recording: Recording, end: bool = False) -> None:
    """One line that is written over, where a person is watching."""
    if sys.stderr.isatty():
        seen = recording.collector
        text = f"replaying: {seen.images_sent} images played, {len(seen.samples)} answered"
        print("\r\x1b[K" + ("" if end else text), end="", file=sys.stderr, flush=True)


def wait_until(condition: Callable[[], bool], process: NodeProcess, timeout: float) -> None:
    """Wait for a condition while the node lives. Raises TimeoutError, or ConfigurationError if it ends."""
    deadline = time.monotonic() + timeout
    while not condition():
        _check_alive(process)
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s in vain; the node said:\n{tail(process)}")
        time.sleep(0.02)


def _check_alive(process: NodeProcess) -> None:
    status = process.status()
    if status is not None:
        raise ConfigurationError(f"the localizer ended with status {status}; it said:\n{tail(process)}")


def tail(process: NodeProcess, lines: int = 15) -> str:
    """The last lines of what the node printed."""
    return "\n".join(process.output().splitlines()[-lines:])


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: the fields of `ReplayOptions` as JSON. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("options", help="JSON object with the fields of ReplayOptions")
    end_with_parent()
    given: dict[str, Any] = json.loads(parser.parse_args(argv).options)
    given |= {key: Path(given[key]) for key in ("map", "bag", "out")}
    given["outside"] = tuple((float(a), float(b)) for a, b in given.get("outside", ()))
    try:
        replay(ReplayOptions(**given))
    except (RelposeError, OSError) as error:
        print(f"relpose: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("relpose: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
