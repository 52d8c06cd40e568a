"""What `relpose doctor` looks at: Python packages, ROS 2, shared memory, cores, GPU."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROFILES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Finding:
    """One line. `state`: ok, missing, broken (there, but of no use), or hint (works, could be better)."""

    group: str
    name: str
    state: str
    found: str = ""
    advice: str = ""
    required: bool = False


@dataclass(frozen=True)
class Piece:
    """A Python module, the distribution that brings it, and what it gives."""

    module: str
    distribution: str
    gives: str
    get: str = ""


REQUIRED = (
    Piece("numpy", "numpy", "all arithmetic"),
    Piece("scipy", "scipy", "rotations and optimisation"),
    Piece("cv2", "opencv-python-headless", "images and SIFT"),
    Piece("poselib", "poselib", "robust pose solvers"),
    Piece("pycolmap", "pycolmap", "triangulation, COLMAP models"),
    Piece("h5py", "h5py", "map files"),
    Piece("yaml", "pyyaml", "camera files"),
    Piece("rich", "rich", "progress bars"),
    Piece("matplotlib", "matplotlib", "plots of the report"),
    Piece("rosbags", "rosbags", "reading and writing bags"),
    Piece("threadpoolctl", "threadpoolctl", "one thread where more would only wait for each other"),
)

ROS = (
    Piece("rclpy", "ros-rclpy", "the ROS 2 nodes, `relpose replay`", "source a ROS 2, or `make setup`"),
    Piece("relpose_msgs", "", "the nodes' messages", "colcon build, or `make setup`"),
    Piece("tf2_msgs", "", "poses on /tf", "apt install ros-$ROS_DISTRO-tf2-msgs, or `make setup`"),
    Piece(
        "tf2_ros", "", "camera mounts from TF buffers", "apt install ros-$ROS_DISTRO-tf2-ros-py (not on PyPI)"
    ),
    Piece("cv_bridge", "", "the robot's own image conversion (ours is used without it)", "apt, not PyPI"),
)

LEARNED = "pip install 'relpose_ros[learned]'"
TRAINING = "pip install 'relpose_ros[learned,training]'"

OPTIONAL = (
    Piece("torch", "torch", "networks, import of weights, training", LEARNED),
    Piece("safetensors", "safetensors", "checkpoints", LEARNED),
    Piece("onnxruntime", "onnxruntime", "networks on a CPU, without torch once exported", LEARNED),
    Piece("openvino", "openvino", "most networks on a CPU, faster", LEARNED),
    Piece("onnxscript", "onnxscript", "exporting networks to ONNX", LEARNED),
    Piece("pydantic", "pydantic", "training", TRAINING),
    Piece("faiss", "faiss-cpu", "cluster centres (training)", TRAINING),
)


def examine() -> list[Finding]:
    """Everything, in the order of the printed table. Imports every piece it finds: takes seconds."""
    import relpose_ros

    head = [
        Finding(
            "this package",
            "relpose_ros",
            "ok",
            f"{relpose_ros.__version__}  {Path(relpose_ros.__file__).parent}",
        ),
        Finding("this package", "Python", "ok", f"{platform.python_version()}  {sys.executable}"),
    ]
    packages = [_examine(piece, "required", required=True) for piece in REQUIRED]
    ros = [_examine(piece, "ROS 2", required=False) for piece in ROS]
    optional = [_examine(piece, "optional", required=False) for piece in OPTIONAL]
    return [*head, *packages, *ros, *transport(), *optional, graphics(), cores()]


def _examine(piece: Piece, group: str, *, required: bool) -> Finding:
    get = piece.get or f"pip install {piece.distribution}"
    if importlib.util.find_spec(piece.module) is None:
        return Finding(group, piece.module, "missing", "", f"would give: {piece.gives} ({get})", required)
    try:
        module = importlib.import_module(piece.module)
    except Exception as error:  # noqa: BLE001 (a broken installation raises anything; saying so is the point)
        text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return Finding(group, piece.module, "broken", text, f"needed for: {piece.gives} ({get})", required)
    return Finding(group, piece.module, "ok", _version(piece, module), "", required)


def _version(piece: Piece, module: object) -> str:
    try:
        return version(piece.distribution) if piece.distribution else ""
    except PackageNotFoundError:  # from apt, or another distribution of the same module
        return str(getattr(module, "__version__", ""))


def transport() -> list[Finding]:
    """Whether images get through: Fast DDS loses best-effort images above its 512 KiB of shared memory."""
    findings = []
    profile = next((os.environ[name] for name in PROFILES if os.environ.get(name)), "")
    builtin = os.environ.get("FASTDDS_BUILTIN_TRANSPORTS", "")
    if profile and not Path(profile).is_file():
        findings.append(Finding("ROS 2", "Fast DDS profile", "broken", profile, "the file does not exist"))
    elif profile or builtin.startswith("LARGE_DATA"):
        findings.append(Finding("ROS 2", "Fast DDS profile", "ok", profile or builtin))
    else:
        advice = f"best-effort images above 512 KiB get lost: export {_profile_to_set()}"
        findings.append(Finding("ROS 2", "Fast DDS profile", "hint", "none", advice))
    if SHARED_MEMORY.is_dir():
        usage = shutil.disk_usage(SHARED_MEMORY)
        found = f"{usage.total / 2**20:.0f} MiB, {usage.free / 2**20:.0f} MiB free"
        small = usage.free < 256 * 2**20
        advice = "small for 32 MiB segments (docker run --shm-size=1g); `fastdds shm clean` removes old ones"
        findings.append(
            Finding("ROS 2", str(SHARED_MEMORY), "hint" if small else "ok", found, advice if small else "")
        )
    return findings


def _profile_to_set() -> str:
    """The variable that lets images through: our own profile where it lies, else a built-in one."""
    checkout, name = Path(__file__).parents[2], "config/fastdds_shm.xml"
    ours = next(
        (p for p in (checkout / name, Path(sys.prefix, "share/relpose_ros", name)) if p.is_file()), None
    )
    return f"{PROFILES[0]}={ours}" if ours else "FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA"


def graphics() -> Finding:
    """The GPU, as the driver's tool names it."""
    tool = shutil.which("nvidia-smi")
    gives = "would give: fast learned features and training; nothing here needs it"
    if tool is None:
        return Finding("machine", "GPU", "missing", "", gives)
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("machine", "GPU", "broken", str(error), "nvidia-smi does not answer")
    return Finding("machine", "GPU", "ok", answer.replace("\n", "; "))


def cores() -> Finding:
    """How many cores this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    advice = "" if count >= 2 else "with one core, frames are dropped while others are localized"
    return Finding("machine", "cores", "ok" if count >= 2 else "hint", str(count), advice)
