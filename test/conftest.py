"""What every test run says and shares."""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from relpose_ros.datasets.base import Source
from relpose_ros.features.base import Features
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.landmarks import Reference

SLOW = pytest.StashKey[int]()


def pytest_deselected(items):
    """Count the slow tests that this run leaves out."""
    slow = sum(item.get_closest_marker("slow") is not None for item in items)
    if items and slow:
        config = items[0].config
        config.stash[SLOW] = config.stash.get(SLOW, 0) + slow


def pytest_sessionfinish(session):
    """A worker of xdist, each of which collects all tests, tells its count to the one that prints it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["slow"] = session.config.stash.get(SLOW, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """The count of a worker of xdist."""
    told = getattr(node, "workeroutput", {}).get("slow", 0)
    node.config.stash[SLOW] = max(node.config.stash.get(SLOW, 0), told)


def pytest_terminal_summary(terminalreporter, config):
    """Say how many there were and how to run them."""
    count = config.stash.get(SLOW, 0)
    if count:
        terminalreporter.write_line(f"{count} slow tests were not run; `make test-slow` runs them")
    if config.args == config.getini("testpaths"):
        files = Path(__file__).parent.glob("xla/test_*.py")
        count = sum(file.read_text().count("\ndef test_") for file in files)
        terminalreporter.write_line(f"{count} test functions need XLA and were not run: `make test-xla`")


@pytest.fixture(scope="session")
def goldens() -> Path:
    """The folder of reference results (`RELPOSE_GOLDENS` overrides it)."""
    folder = Path(os.environ.get("RELPOSE_GOLDENS", Path(__file__).parents[2] / "shared" / "goldens"))
    if not folder.is_dir():
        pytest.skip(f"parity with the goldens was NOT checked: no folder {folder}; set RELPOSE_GOLDENS")
    return folder


@pytest.fixture(scope="session")
def rendered_world() -> Source:
    """A simulated office, 24 references and 12 queries of 320x240; every image is rendered once."""
    from relpose_ros.datasets.simulate.dataset import simulate
    from relpose_ros.datasets.simulate.options import SimulationOptions

    options = SimulationOptions(seed=3, width=320, height=240, map_frames=24, query_frames=12, depth=False)
    source = simulate(options)
    return replace(source, images=tuple(replace(i, load=cache(i.load)) for i in source.images))


class FileServer:
    """Files by path; knows Range; may break off after some bytes, ignore Range, or change its ETag."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.break_after: int | None = None
        self.know_range = True
        self.wrong_start = False
        self.etag = '"v1"'
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}{path}"

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        body = self.files.get(request.path)
        self.ranges.append(request.headers.get("Range"))
        if body is None:
            request.send_error(404)
            return
        start = 0
        wanted = request.headers.get("Range")
        if wanted and self.know_range and request.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                request.send_error(416)
                return
            request.send_response(206)
            told = 0 if self.wrong_start else start
            request.send_header("Content-Range", f"bytes {told}-{len(body) - 1}/{len(body)}")
        else:
            request.send_response(200)
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("ETag", self.etag)
        request.end_headers()
        rest = body[start:]
        request.wfile.write(rest if self.break_after is None else rest[: self.break_after])

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[FileServer]:
    running = FileServer()
    yield running
    running.close()


class PointWorld:
    """Random points with random descriptors on the walls of a hall: features without images.

    Everything that can be tested without pixels is tested here, where the truth is known.
    """

    camera = Camera("pinhole", 240.0, 236.0, 161.0, 118.0, 320, 240)

    def __init__(self, seed: int = 0, points: int = 3000) -> None:
        generator = np.random.default_rng(seed)
        self.points = generator.uniform([-8, -2, -8], [8, 2, 8], (points, 3))
        wall = generator.integers(0, 4, points)
        side, sign = wall % 2 * 2, np.where(wall < 2, 8.0, -8.0)
        self.points[np.arange(points), side] = sign + generator.normal(0, 0.3, points)
        self.descriptors = self.unit(generator.normal(size=(points, 64)))

    @staticmethod
    def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Rows of length 1."""
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def features(
        self,
        map_from_camera: Rigid,
        camera: Camera | None = None,
        noise_px: float = 0.3,
        clutter: int = 60,
        seed: int = 0,
    ) -> Features:
        """What a camera sees: points and `clutter` keypoints that are nowhere else."""
        camera = camera or self.camera
        generator = np.random.default_rng(seed)
        pixels = camera.project(map_from_camera.inverse().apply(self.points))
        pixels = pixels + generator.normal(0, noise_px, pixels.shape)
        seen = np.flatnonzero(camera.contains(pixels))
        size = [camera.width - 1, camera.height - 1]
        keypoints = np.concatenate([pixels[seen], generator.uniform(0, size, (clutter, 2))])
        noisy = self.descriptors[seen] + generator.normal(0, 0.03, (len(seen), 64))
        descriptors = np.concatenate([noisy, generator.normal(size=(clutter, 64))])
        order = generator.permutation(len(keypoints))
        scales = np.full(len(keypoints), 4, np.float32)
        return Features(keypoints[order].astype(np.float32), scales, self.unit(descriptors[order]))

    @staticmethod
    def pose(turn: float, x: float = 0.0, z: float = 0.0) -> Rigid:
        """A level camera at (x, 0, z) that is turned by `turn` radians from +z towards +x."""
        return Rigid.from_rotation_vector([0, turn, 0], [x, 0, z])

    def drive(self, count: int = 16, turns: float = 1.0) -> list[Rigid]:
        """Poses round a circle of 2 m, looking outwards."""
        angle = 2 * np.pi * turns * np.arange(count) / count
        return [self.pose(a, 2 * np.sin(a), 2 * np.cos(a)) for a in angle.tolist()]

    def references(self, count: int = 16, turns: float = 1.0, prefix: str = "r") -> list[Reference]:
        """The drive as references."""
        return [
            Reference(f"{prefix}{i:02d}", self.camera, pose, self.features(pose, seed=1000 + i))
            for i, pose in enumerate(self.drive(count, turns))
        ]


@pytest.fixture(scope="session")
def point_world() -> PointWorld:
    return PointWorld()


@pytest.fixture(scope="session")
def other_point_world() -> PointWorld:
    """Nothing of it is in `point_world`."""
    return PointWorld(seed=99)


@pytest.fixture(scope="session")
def ratio_pruner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a PointCN whose weights are set by hand: a match is right if its ratio is below 0.7."""
    import torch

    from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
    from relpose_ros.networks.registry import build_network

    name, parameters = "one_to_one.ltfgc", {"blocks": 1}
    network = build_network(name, **parameters)
    with torch.no_grad():
        for weight in network.parameters():  # batch norms too: the residual block adds nothing
            weight.zero_()
        network.get_parameter("layer_1.Conv2d.weight")[0, 0, 0, 4] = 1.0
        network.get_parameter("layer_last.weight")[0, 0] = -100.0
        network.get_parameter("layer_last.bias")[0] = 70.0
    path = tmp_path_factory.mktemp("pruner") / "ratio.safetensors"
    return write_checkpoint(path, network.state_dict(), CheckpointInfo(name, parameters))


@pytest.fixture(scope="session")
def make_matcher(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes checkpoints of graph matchers that do about what mutual nearest neighbours do."""
    import torch

    from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
    from relpose_ros.networks.imp.matcher import Matcher
    from relpose_ros.networks.registry import build_network
    from relpose_training.recipes.matcher.start import start_as_nearest_neighbours

    def make(name: str = "imp.adagmn", **parameters: object) -> Path:
        torch.manual_seed(0)
        given = {"iterations": 6, "descriptor_size": 64, **parameters}
        network = build_network(name, **given)
        assert isinstance(network, Matcher)
        start_as_nearest_neighbours(network)
        path = tmp_path_factory.mktemp("matcher") / f"{name}.safetensors"
        return write_checkpoint(path, network.state_dict(), CheckpointInfo(name, given))

    return make


@pytest.fixture(scope="session")
def nearest_matcher(make_matcher: Callable[..., Path]) -> Path:
    """Such a checkpoint of EIMP, small, for the features of `point_world` and of our SIFT."""
    return make_matcher()


@pytest.fixture(scope="session")
def foreign_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a network that judges no matches."""
    from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
    from relpose_ros.networks.registry import build_network

    name, parameters = "one_to_one.eot_21", {"channels": [8, 16, 16, 24, 24]}
    path = tmp_path_factory.mktemp("foreign") / "eot.safetensors"
    weights = build_network(name, **parameters).state_dict()
    return write_checkpoint(path, weights, CheckpointInfo(name, parameters))


@pytest.fixture(scope="session")
def make_scene_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes checkpoints of a small network of scene coordinates that was never trained.

    It says a deviation too; the arguments are fields of SceneInfo.
    """
    import torch

    from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
    from relpose_ros.checkpoints.scene import SceneInfo
    from relpose_ros.networks.registry import build_network

    name, parameters = "scene_coordinates.dsacstar_tiny", {"uncertainty": "isotropic"}

    def make(**fields: object) -> Path:
        scene = {"height": 64, "bounds": ((-5.0, -5.0, -5.0), (5.0, 5.0, 5.0)), **fields}
        torch.manual_seed(0)
        info = CheckpointInfo(name, parameters, scene=SceneInfo(**scene).to_dict())
        path = tmp_path_factory.mktemp("scene") / "untrained.safetensors"
        return write_checkpoint(path, build_network(name, **parameters).state_dict(), info)

    return make


@pytest.fixture(scope="session")
def scene_checkpoint(make_scene_checkpoint: Callable[..., Path]) -> Path:
    """An untrained one of a scene in the frame `map`."""
    return make_scene_checkpoint()


@pytest.fixture(scope="session")
def make_retrieval_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes checkpoints of a small NetVLAD that was never trained; others for other seeds.

    The arguments are fields of RetrievalInfo.
    """
    import torch

    from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
    from relpose_ros.checkpoints.retrieval import RetrievalInfo
    from relpose_ros.networks.registry import build_network

    name = "retrieval.netvlad_vgg16"
    parameters = {"channels": [4, 6, 6, 8, 8], "clusters": 4}

    def make(seed: int = 0, **fields: object) -> Path:
        torch.manual_seed(seed)
        known = {"dimension": 32, "height": 48, "width": 64, "output": "vlad", **fields}
        retrieval = RetrievalInfo(**known).to_dict()
        info = CheckpointInfo(name, parameters, licence="CC0-1.0", origin="a test", retrieval=retrieval)
        path = tmp_path_factory.mktemp("retrieval") / f"places{seed}.safetensors"
        return write_checkpoint(path, build_network(name, **parameters).state_dict(), info)

    return make


@pytest.fixture(scope="session")
def retrieval_checkpoint(make_retrieval_checkpoint: Callable[..., Path]) -> Path:
    """An untrained one: it tells images apart, though not as a trained one would."""
    return make_retrieval_checkpoint()


@pytest.fixture(scope="session")
def onnx_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The ONNX files that a test run makes, away from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder / "relpose"


@dataclass(frozen=True)
class SmallWorld:
    """A simulated drive on disk and its map.

    `folder` is a posed-image folder of 24 references and 12 queries between them (320x240 PNG),
    `map` the map of its references, `camera_file` its camera.
    """

    folder: Path
    map: Path
    camera_file: Path

    def query(self, number: int) -> Path:
        """The file of a query image, 0 to 11."""
        return self.folder / "images" / f"query{number:03d}.png"


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> SmallWorld:
    """The first metres of the simulated mapping drive; nothing may write into it."""
    from relpose_ros.datasets.open import open_source
    from relpose_ros.localization.mapping import build_map
    from relpose_ros.maps.assemble import BuildOptions

    folder = tmp_path_factory.mktemp("small_world")
    _write_drive(folder / "drive")
    path = folder / "small.relmap"
    build_map(open_source(folder / "drive"), path, BuildOptions(calibration_samples=12))
    return SmallWorld(folder / "drive", path, folder / "drive" / "camera.yaml")


@pytest.fixture(scope="session")
def learned_map(small_world: SmallWorld, retrieval_checkpoint: Path, onnx_cache: Path) -> Path:
    """A map of the same references whose global descriptors are those of `retrieval_checkpoint`."""
    from relpose_ros.datasets.open import open_source
    from relpose_ros.localization.mapping import build_map
    from relpose_ros.maps.assemble import BuildOptions

    path = small_world.map.with_name("learned.relmap")
    options = BuildOptions(calibration_samples=12, retrieval=retrieval_checkpoint)
    build_map(open_source(small_world.folder), path, options)
    return path


def _write_drive(folder: Path) -> None:
    """References every 0.4 s of the mapping drive, queries between them."""
    import cv2

    from relpose_ros.datasets.camera_files import write_camera
    from relpose_ros.datasets.simulate.options import SensorOptions, SimulationOptions
    from relpose_ros.datasets.simulate.simulation import Shot, Simulation

    sensor = SensorOptions(exposure_s=0.0)
    simulation = Simulation(SimulationOptions(width=320, height=240, depth=False, sensor=sensor))
    shots = [Shot(f"map{n:03d}.png", "map", n, 0.4 * n) for n in range(24)]
    shots += [Shot(f"query{n:03d}.png", "map", 100 + n, 0.3 + 0.7 * n) for n in range(12)]
    (folder / "images").mkdir(parents=True)
    poses, splits = [], []
    for shot in shots:
        cv2.imwrite(str(folder / "images" / shot.name), simulation.image(shot))
        pose = simulation.map_from_camera("map", shot.time)
        numbers = [repr(float(v)) for v in (*pose.translation, *pose.rotation_xyzw)]
        poses.append(" ".join([shot.name, *numbers]))
        splits.append(f"{shot.name} {'query' if shot.name.startswith('query') else 'map'}")
    (folder / "poses.txt").write_text("\n".join(poses) + "\n")
    (folder / "split.txt").write_text("\n".join(splits) + "\n")
    write_camera(simulation.options.lens, folder / "camera.yaml")
    lens = simulation.options.lens
    (folder / "intrinsics.txt").write_text(
        f"{lens.fx!r} {lens.fy!r} {lens.cx!r} {lens.cy!r} {lens.width} {lens.height}\n"
    )


@pytest.fixture(scope="session")
def regressor_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a small network over graphs that was not trained."""
    import torch

    from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
    from relpose_ros.checkpoints.graph_header import GraphInfo
    from relpose_ros.networks.registry import build_network, load_class
    from relpose_ros.retrieval.graph_images import GraphInput

    name, parameters = "relpose_gnn.robot", load_class("relpose_gnn.robot").small_parameters()
    torch.manual_seed(0)
    network = build_network(name, **parameters)
    seen = GraphInput(width=48, height=32, focal=40.0)
    graph = GraphInfo(seen.to_dict(), neighbours=4, period=2).to_dict()
    path = tmp_path_factory.mktemp("regressor") / "poses.safetensors"
    return write_checkpoint(path, network.state_dict(), CheckpointInfo(name, parameters, graph=graph))
