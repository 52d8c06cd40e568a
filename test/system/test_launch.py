"""The launch files, started by the real `launch`, where that is installed (it is not on PyPI)."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from relpose_msgs.msg import LocalizationResult, RelativePoses
from sensor_msgs.msg import Image

ROOT = Path(__file__).parents[2]
LAUNCHER = Path(__file__).parent / "launch_file.py"
NODES = ("localizer", "retrieval", "relative_pose", "scene_coordinate")
OTHERS = {
    "nav2_map_server": "map_server",
    "nav2_lifecycle_manager": "lifecycle_manager",
    "robot_localization": "ekf_node",
    "rviz2": "rviz2",
}
"""Packages that are not installed here -> executable."""
STAND_IN = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
print("called with", *sys.argv[1:], flush=True)
for path in (word for word in sys.argv if "launch_params" in word):
    print(open(path).read(), flush=True)
signal.pause()
"""
"""In the place of their programs: says what it was called with."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("launch_ros") is None,
        reason="launch_ros is not installed: it is not on PyPI, see docs/launch.md",
    ),
]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installed package, as colcon makes one: launch finds files and executables there."""
    out = tmp_path_factory.mktemp("prefix")
    for folder in ("launch", "config"):
        shutil.copytree(ROOT / folder, out / "share" / "relpose_ros" / folder)
    for node in NODES:
        code = f"import sys\nfrom relpose_ros.nodes.{node}_node import main\nsys.exit(main())\n"
        install(out, "relpose_ros", f"{node}_node", code)
    for package, executable in OTHERS.items():
        install(out, package, executable, STAND_IN)
    return out


def install(prefix, package, executable, code):
    """Put a program where launch looks for it."""
    index = prefix / "share" / "ament_index" / "resource_index" / "packages" / package
    script = prefix / "lib" / package / executable
    for folder in (index.parent, script.parent, prefix / "share" / package):
        folder.mkdir(parents=True, exist_ok=True)
    index.touch()
    script.write_text(f"#!{sys.executable}\n{code}")
    script.chmod(0o755)


class Launch:
    """A launch in a process of its own, as `ros2 launch` runs it."""

    def __init__(self, prefix: Path, log: Path, name: str, **arguments: str) -> None:
        self.log = log
        path = os.pathsep.join([str(prefix), os.environ.get("AMENT_PREFIX_PATH", sys.prefix)])
        words = [f"{key}:={value}" for key, value in arguments.items()]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, LAUNCHER, prefix / "share" / "relpose_ros" / "launch" / name, *words],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "AMENT_PREFIX_PATH": path},
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def pid_of(self, node: str, count: int = 1) -> int:
        """Of the node that was started last, once it has been started `count` times; else 0."""
        started = f"[INFO] [{node}_node-"
        lines = [
            line for line in self.output().splitlines() if line.startswith(started) and "with pid" in line
        ]
        return int(lines[-1].rsplit("[", 1)[1].rstrip("]")) if len(lines) >= count else 0

    def stop(self) -> int:
        """Ctrl-C. Returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def end(self) -> None:
        """Whatever happened: nothing stays behind."""
        for number in (signal.SIGINT, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, number)
                try:
                    self.process.wait(20)
                except subprocess.TimeoutExpired:
                    continue
        print(self.output())


@pytest.fixture
def launch(prefix, ros_environment, tmp_path):
    running: list[Launch] = []

    def run(name: str, **arguments: str) -> Launch:
        running.append(Launch(prefix, tmp_path / "launch.log", name, **arguments))
        return running[-1]

    yield run
    for one in running:
        one.end()


@pytest.fixture
def localized(world, make_info):
    """Sends images of the world until one is localized; its result."""
    camera = world.camera

    def run(probe):
        for query in itertools.islice(itertools.cycle(world.queries[4::4]), 30):
            info = make_info(camera.width, camera.height, k=[float(v) for v in camera.matrix.ravel()])
            pixels = query.load()
            height, width = pixels.shape[:2]
            message = Image(width=width, height=height, encoding="bgr8", step=3 * width)
            message.header.frame_id, message.data = "camera_optical_frame", pixels.tobytes()
            result = probe.answer(message, info)
            if result.state == LocalizationResult.LOCALIZED:
                return result
        return pytest.fail("no image was localized")

    return run


@pytest.fixture
def arguments(world, probe):
    """Of a launch that this probe listens to."""
    mount = [*world.mount.translation.tolist(), *world.mount.rotation_xyzw.tolist()]
    return {
        "map": str(world.map),
        "namespace": probe.namespace.strip("/"),
        "image": "image",
        "base_from_camera": " ".join(map(str, mount)),
    }


def test_one_process_is_started_again_and_ends_cleanly(launch, arguments, probe, localized, wait_for):
    running = launch("localization.launch.py", use_respawn="True", log_level="info", **arguments)
    probe.wait_for_node(timeout=60.0)
    probe.pose_of(localized(probe).header.stamp)
    assert probe.said(lifecycle="active")
    first = running.pid_of("localizer")
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: running.pid_of("localizer", 2), 30.0, what=running.output)
    probe.statuses.clear()
    probe.wait_for_node(timeout=60.0)
    probe.pose_of(localized(probe).header.stamp)
    assert running.stop() == 0
    said = running.output()
    assert said.count("process has finished cleanly") == 1 and "Traceback" not in said
    assert not Path(f"/proc/{running.pid_of('localizer')}").exists()


def test_one_process_per_node(launch, arguments, ros, probe, make_probe, localized, wait_for):
    running = launch("pipeline.launch.py", **arguments)
    heard = []
    topic = f"{probe.namespace}/relative_pose/relative_poses"
    subscription = ros.create_subscription(RelativePoses, topic, heard.append, 10)
    others = [f"{probe.namespace}/{name}" for name in ("retrieval", "relative_pose")]
    probe.wait_for_node(timeout=90.0)
    wait_for(lambda: probe.images.get_subscription_count() == 3, 90.0, what=running.output)
    stamp = localized(probe).header.stamp
    probe.pose_of(stamp)
    wait_for(lambda: any(m.relative_poses for m in heard), 30.0, what=running.output)
    ros.destroy_subscription(subscription)
    names = {f"{space}/{name}".replace("//", "/") for name, space in ros.get_node_names_and_namespaces()}
    assert {*others, probe.name} <= names
    assert running.stop() == 0
    assert running.output().count("process has finished cleanly") == 3


def test_a_replay_ends_the_launch_with_its_report(launch, world, tmp_path):
    out = tmp_path / "report"
    running = launch("replay.launch.py", map=str(world.map), bag=str(world.bag), out=str(out))
    assert running.process.wait(200) == 0, running.output()
    assert json.loads((out / "replay.json").read_text())["images_played"] == len(world.queries)
    assert json.loads((out / "results.json").read_text())["availability"] > 0


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        (
            "nav2.launch.py",
            {"occupancy_map": "office.yaml", "use_rviz": "true"},
            ("yaml_filename: office.yaml", "- map_server", "- localizer", "localization.rviz",
             "waiting for a lifecycle manager"),
        ),
        ("robot_localization.launch.py", {}, ("__node:=ekf_odom", "__node:=ekf_map", "no_such.relmap")),
    ],
)  # fmt: skip
def test_examples_start_what_they_say(launch, wait_for, name, arguments, words):
    """The programs of other packages are stand-ins: what they are called with is what is checked."""
    running = launch(f"examples/{name}", map="no_such.relmap", namespace="r1", **arguments)
    wait_for(lambda: all(word in running.output() for word in words), 60.0, what=running.output)
    assert "__ns:=/r1" in running.output()
    assert running.stop() == 0


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("localization.launch.py", {}, "missing required argument 'map'"),
        ("pipeline.launch.py", {"map": "m", "use_sim_time": "maybe"}, "use_sim_time: expected true or false"),
        ("replay.launch.py", {"map": "m", "bag": "none", "out": "."}, "there is no such file or folder"),
    ],
)
def test_what_cannot_be_launched_says_why(launch, name, arguments, reason):
    running = launch(name, **arguments)
    assert running.process.wait(60) == 1
    assert reason in running.output()
