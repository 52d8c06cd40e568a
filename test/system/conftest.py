"""Real node processes over real DDS, in a domain of this test session alone."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from relpose_msgs.msg import LocalizationResult, NodeState
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from relpose_ros.datasets.bag_writer import BagFrame, BagLayout, write_bag
from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.simulate.options import SensorOptions, SimulationOptions
from relpose_ros.datasets.simulate.simulation import Shot, Simulation
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.environment import applied, dds_environment, free_domain
from relpose_ros.nodes.messages import time_message
from relpose_ros.nodes.node_process import NodeProcess
from relpose_ros.nodes.spinning import spinning_node

sys.path.append(str(Path(__file__).parent))  # driving_robot
FAKE = str(Path(__file__).parents[1] / "nodes" / "fake_localizer_node.py")
DISCOVERY = 60.0
START_NS = 1_700_000_000_000_000_000
WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope="session")
def ros_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A free ROS domain for this session; processes that tests start inherit it."""
    with applied(dds_environment(free_domain(), tmp_path_factory.mktemp("ros_log"))):
        yield


@pytest.fixture(scope="module")
def ros(ros_environment: None) -> Iterator[Any]:
    """A node of the test's own process, spinning in a thread."""
    with spinning_node("test_probe") as node:
        yield node


@pytest.fixture
def start(ros: Any, tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Starts node processes and ends them after the test."""
    yield from _starter(tmp_path)


@pytest.fixture(scope="module")
def start_shared(ros: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., NodeProcess]]:
    """Starts node processes that the tests of a module share."""
    yield from _starter(tmp_path_factory.mktemp("shared"))


def _starter(folder: Path) -> Iterator[Callable[..., NodeProcess]]:
    processes: list[NodeProcess] = []

    def run(
        command: tuple[str, ...] = (FAKE,),
        remap: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        **parameters: Any,
    ) -> NodeProcess:
        log = folder / f"node{len(processes)}.log"
        parameters.setdefault("diagnostics_period", 0.1)
        processes.append(
            NodeProcess(command, log, parameters=parameters, remappings=remap, environment=environment)
        )
        return processes[-1]

    yield run
    for process in processes:
        process.stop()
        print(process.output())  # pytest shows it when the test fails


@pytest.fixture(scope="module")
def make_probe(ros: Any) -> Iterator[Callable[..., Probe]]:
    """Makes probes, of a node's name, that live as long as the module."""
    probes: list[Probe] = []

    def make(name: str = "localizer") -> Probe:
        probes.append(Probe(ros, f"/test{next(_numbers)}", name))
        return probes[-1]

    yield make
    for probe in probes:
        probe.close()


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[str, Any]]:
    """What the tests of a file share: a `robot`, closed after the last of them, and its `process`."""
    kept: dict[str, Any] = {}
    yield kept
    kept["robot"].close()


@pytest.fixture
def probe(ros: Any) -> Iterator[Probe]:
    """Talks to the node under test in a namespace of its own."""
    out = Probe(ros, f"/test{next(_numbers)}")
    yield out
    out.close()


_numbers = itertools.count()


def wait(condition: Callable[[], Any], timeout: float = DISCOVERY, what: Any = "a condition") -> Any:
    """The first true value of a condition; fails the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout} s in vain for {what() if callable(what) else what}")
        time.sleep(0.01)
    return value


class Probe:
    """Publishes images and camera infos, and remembers what comes back."""

    def __init__(self, node: Any, namespace: str, name: str = "localizer") -> None:
        self.node, self.namespace, self.name = node, namespace, f"{namespace}/{name}"
        self.results: list[LocalizationResult] = []
        self.poses: list[PoseWithCovarianceStamped] = []
        self.statuses: list[Any] = []
        self.states: list[NodeState] = []
        self._stamp = START_NS
        self.images = node.create_publisher(Image, f"{namespace}/image", 5)
        self.compressed = node.create_publisher(CompressedImage, f"{namespace}/image/compressed", 5)
        self.infos = node.create_publisher(CameraInfo, f"{namespace}/camera_info", 5)
        latched = QoSProfile(depth=50, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._latched = node.create_subscription(NodeState, f"{self.name}/state", self.states.append, latched)
        self._subscriptions = [
            node.create_subscription(LocalizationResult, f"{self.name}/result", self.results.append, 50),
            node.create_subscription(PoseWithCovarianceStamped, f"{self.name}/pose", self.poses.append, 50),
            node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50),
        ]

    def close(self) -> None:
        for subscription in (*self._subscriptions, self._latched):
            self.node.destroy_subscription(subscription)
        for publisher in (self.images, self.compressed, self.infos):
            self.node.destroy_publisher(publisher)

    @property
    def remap(self) -> dict[str, str]:
        """Puts a node into the namespace of this probe."""
        return {"__ns": self.namespace}

    def wait_for_node(self, images: Any = None, timeout: float = DISCOVERY) -> None:
        """Until the node and this probe have found each other, in both directions."""

        def found() -> bool:
            heard = [v for key, v in self.values().items() if key.endswith(" publishers")]
            return (
                bool(heard and "0" not in heard)
                and (images or self.images).get_subscription_count() > 0
                and self.infos.get_subscription_count() > 0
                and all(s.get_publisher_count() for s in self._subscriptions)
            )

        wait(found, timeout, lambda: f"the node {self.name}; diagnostics: {self.values()}")

    def next_stamp(self, step_ns: int = 100_000_000) -> Any:
        self._stamp += step_ns
        return time_message(self._stamp)

    def send(self, message: Any = None, info: Any = None) -> Any:
        """Publish a camera info (None: a good one, False: none) and an image (None: a good one)."""
        message = image() if message is None else message
        if not message.header.stamp.sec:
            message.header.stamp = self.next_stamp()
        if info is not False:
            info = camera_info() if info is None else info
            info.header.stamp = message.header.stamp
            self.infos.publish(info)
        (self.compressed if isinstance(message, CompressedImage) else self.images).publish(message)
        return message.header.stamp

    def answer(self, message: Any = None, info: Any = None) -> LocalizationResult:
        """Send an image and wait for its result."""
        stamp = self.send(message, info)

        def look() -> LocalizationResult | None:
            return next((r for r in self.results if r.header.stamp == stamp), None)

        return wait(look, what=lambda: f"a result; diagnostics: {self.values()}")

    def pose_of(self, stamp: Any) -> PoseWithCovarianceStamped:
        return wait(lambda: next((p for p in self.poses if p.header.stamp == stamp), None), what="a pose")

    def diagnosed(self, key: str, value: str | None = None) -> dict[str, str]:
        """Wait until diagnostics have a key (with a value); all their values."""

        def look() -> dict[str, str] | None:
            values = self.values()
            return values if key in values and value in (None, values[key]) else None

        return wait(look, 10.0, lambda: f"{key}={value}; last: {self.status()}")

    def said(self, **fields: Any) -> NodeState:
        """Wait until the newest ~/state has these fields."""

        def look() -> NodeState | None:
            last = self.states[-1] if self.states else None
            return last if last and all(getattr(last, k) == v for k, v in fields.items()) else None

        return wait(look, 30.0, lambda: f"~/state with {fields}; last: {self.states[-1:]}")

    def values(self) -> dict[str, str]:
        status = self.status()
        return {v.key: v.value for v in status.values} if status else {}

    def status(self) -> Any:
        return self.statuses[-1] if self.statuses else None

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.statuses += [s for s in message.status if s.name == self.name]


def image(width: int = WIDTH, height: int = HEIGHT, value: int = 100, **fields: Any) -> Image:
    """A grey image message; `fields` replace what is right by what the test wants."""
    out = Image(width=width, height=height, encoding="mono8", step=width)
    out.header.frame_id = "camera_optical_frame"
    out.data = np.full(width * height, value, np.uint8).tobytes()
    for name, wrong in fields.items():
        setattr(out, name, wrong)
    return out


def camera_info(width: int = WIDTH, height: int = HEIGHT, **fields: Any) -> CameraInfo:
    """The camera of `image`."""
    out = CameraInfo(width=width, height=height, distortion_model="plumb_bob", d=[0.0] * 5)
    out.k = [50.0, 0.0, width / 2, 0.0, 50.0, height / 2, 0.0, 0.0, 1.0]
    out.header.frame_id = "camera_optical_frame"
    for name, wrong in fields.items():
        setattr(out, name, wrong)
    return out


@dataclass(frozen=True)
class World:
    """A small world: its map, query images with truth, and the same queries as bags."""

    map: Path
    queries: tuple[PosedImage, ...]
    camera: Camera
    mount: Rigid
    bag: Path
    fast_bag: Path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The first metres of the simulated mapping drive; queries lie between the references."""
    from relpose_ros.localization.mapping import build_map

    folder = tmp_path_factory.mktemp("world")
    options = SimulationOptions(width=320, height=240, depth=False, sensor=SensorOptions(exposure_s=0.0))
    simulation = Simulation(options)

    def posed(split: Split, number: int, seconds: float) -> PosedImage:
        shot = Shot(f"{split}{number:03d}.png", split, number, seconds)
        pixels = simulation.image(Shot(shot.name, "map", 100 * (split == "query") + number, seconds))
        pose = simulation.map_from_camera("map", seconds)
        return PosedImage(shot.name, options.lens, pose, split, lambda: pixels, START_NS / 1e9 + seconds)

    references = tuple(posed("map", n, 0.4 * n) for n in range(24))
    queries = tuple(posed("query", n, 0.3 + 0.2 * n) for n in range(40))
    build_map(Source("world", folder, references), folder / "world.relmap")
    layout = BagLayout(base_from_camera=options.base_from_camera)
    bags = []
    for name, rate in (("bag", 5.0), ("fast_bag", 30.0)):
        shots = [
            BagFrame(START_NS / 1e9 + n / rate, q.load(), q.camera, q.map_from_camera)
            for n, q in enumerate(queries)
        ]
        bags.append(write_bag(folder / name, shots, layout=layout))
    return World(folder / "world.relmap", queries, options.lens, options.base_from_camera, *bags)


@pytest.fixture
def call(ros: Any) -> Callable[..., Any]:
    """Calls a service and waits for its answer."""

    def run(kind: Any, name: str, **fields: Any) -> Any:
        client = ros.create_client(kind, name)
        try:
            wait(client.service_is_ready, what=lambda: f"the service {name}")
            future = client.call_async(kind.Request(**fields))
            wait(future.done, 60.0, what=lambda: f"an answer of {name}")
            return future.result()
        finally:
            ros.destroy_client(client)

    return run


@pytest.fixture
def fake() -> tuple[str, ...]:
    """The command of a localizer node with a fake localizer."""
    return (FAKE,)


@pytest.fixture
def make_image() -> Callable[..., Image]:
    return image


@pytest.fixture
def make_info() -> Callable[..., CameraInfo]:
    return camera_info


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return wait
