"""Versions agree, the wheel holds what it should, the set-up tools say what is missing."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import relpose_ros

ROOT = Path(__file__).parents[1]
BUILD_FILES = ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", "LICENSE", "CMakeLists.txt")
BUILD_FOLDERS = ("relpose_ros", "training", "launch", "config", "msg")


def load(path: Path):
    """A module of tools/, which is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements() -> list[Requirement]:
    """What is needed always, for networks, and for training."""
    stated = (
        setup_cfg()["options"]["install_requires"],
        setup_cfg()["options.extras_require"]["learned"],
        setup_cfg()["options.extras_require"]["training"],
    )
    lines = "\n".join(stated).split("\n")
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def constraints() -> dict[str, str]:
    lines = (ROOT / "requirements/constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonical(name): pinned for name, pinned in pairs}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def copy_checkout(target: Path) -> Path:
    """What a build needs, copied, so that nothing is written into the checkout."""
    target.mkdir(parents=True)
    for name in BUILD_FILES:
        shutil.copy(ROOT / name, target / name)
    for name in BUILD_FOLDERS:
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_checkout(folder / "source")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        source,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


def test_versions_agree():
    roots = [ET.parse(ROOT / name).getroot() for name in ("package.xml", "msg/package.xml")]
    found = {root.findtext("name"): root.findtext("version") for root in roots}
    expected = relpose_ros.__version__
    assert found == {"relpose_ros": expected, "relpose_msgs": expected}
    assert setup_cfg()["metadata"]["version"] == expected


def test_licence_is_the_whole_apache_text():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text


def test_interface_list_is_complete():
    cmake = (ROOT / "msg/CMakeLists.txt").read_text()
    listed = set(re.findall(r"(\w+\.(?:msg|srv|action))", cmake))
    assert listed == {p.name for p in (ROOT / "msg").glob("*.*") if p.suffix in (".msg", ".srv", ".action")}


def test_console_scripts_exist():
    scripts = setup_cfg()["options.entry_points"]["console_scripts"].strip().splitlines()
    targets = [line.split("=")[1].strip().split(":") for line in scripts]
    assert len(targets) == 5
    for module, function in targets:
        path = ROOT / (module.replace(".", "/") + ".py")
        functions = {n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)}
        assert function in functions, module


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_tested_versions_are_allowed_and_installed(requirement):
    pinned = constraints()[canonical(requirement.name)]
    assert requirement.specifier.contains(pinned)
    assert version(requirement.name).split("+")[0] == pinned  # torch's CPU build is 2.13.0+cpu


def test_ros_requirements_are_pinned_and_ours_need_no_ros():
    lines = (ROOT / "requirements/ros.txt").read_text().splitlines()
    named = [Requirement(line) for line in lines if line and not line.startswith("#")]
    pins = [r for r in named if canonical(r.name).startswith("ros-")]
    assert len(pins) > 10 and all(str(r.specifier).startswith("==") for r in pins)
    assert not [r for r in requirements() if canonical(r.name).startswith(("ros-", "rcl"))]


def test_wheel_holds_the_package_and_not_the_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"relpose_ros/cli/main.py", "relpose_ros/py.typed", "relpose_training/__init__.py"} <= set(names)
    sources = {str(p.relative_to(ROOT)) for p in (ROOT / "relpose_ros").rglob("*.py")}
    assert sources <= set(names)
    assert {"relpose_training/tpu/startup.sh", "relpose_training/tpu/run.sh"} <= set(names)
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if "." not in t} == {"relpose_ros", "relpose_training"}
    assert any(name.endswith("share/relpose_ros/package.xml") for name in names)
    patterns = ("launch/*.py", "launch/examples/*.py", "config/*.*", "config/examples/*.*")
    shared = [str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)]
    assert len(shared) > 9
    assert all(any(name.endswith(f"share/relpose_ros/{path}") for name in names) for path in shared)


def test_wheel_answers_help_with_the_standard_library_alone(wheel):
    code = f"import sys; sys.path.insert(0, {str(wheel)!r})\n"
    code += "from relpose_ros.cli.main import main; main(['--help'])"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "localize" in result.stdout and not result.stderr


def test_fix_ros_wheels_mends_both_paths_once(tmp_path):
    fix = load(ROOT / "tools/fix_ros_wheels.py")
    export = tmp_path / "share/some_msgs/cmake/some_msgsExport.cmake"
    export.parent.mkdir(parents=True)
    image = "/opt/python/cp311-cp311"
    export.write_text(
        f'"{image}/include/python3.11;{image}/lib/python3.11/site-packages/numpy/_core/include"'
    )
    assert fix.mend_prefix(tmp_path, "/py/include", r"/np\include") == 1
    assert export.read_text() == r'"/py/include;/np\include"'
    assert fix.mend_prefix(tmp_path, "/py/include", r"/np\include") == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sys.version_info": (3, 9, 2)}, "3.11 or 3.12 is needed"),
        ({"platform.machine": lambda: "aarch64"}, "pip install ."),
        ({"importlib.util.find_spec": lambda name: None}, "-venv"),
        ({"sysconfig.get_path": lambda name: "/nowhere"}, "-dev"),
        ({"shutil.which": lambda name: None}, "apt install g++"),
    ],
)
def test_check_machine_names_what_is_missing(monkeypatch, change, says):
    check = load(ROOT / "tools/check_machine.py")
    for name, value in change.items():
        monkeypatch.setattr(name, value)
    problems = check.missing()
    assert len(problems) == 1 and says in problems[0]


def test_find_python_explains_when_there_is_none():
    result = subprocess.run(
        ["sh", ROOT / "tools/find_python.sh"],
        env={"PATH": os.environ["PATH"], "PYTHON": "python-that-is-not"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1 and not result.stdout
    assert "apt install" in result.stderr


def make_dry(*words: str, cwd: Path = ROOT) -> str:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-n", *words], cwd=cwd, env=clean, capture_output=True, text=True, check=True, timeout=60
    ).stdout


@pytest.mark.parametrize("target", ["demo", "test", "test-slow", "lint", "bench"])
def test_every_target_sets_itself_up(tmp_path, target):
    plan = make_dry(target, f"VENV={tmp_path / 'fresh'}")
    steps = ["find_python.sh", "ros.txt", "fix_ros_wheels.py", "build_interfaces.sh msg", "-e '.[dev]'"]
    assert not [step for step in steps if step not in plan]


def test_demo_passes_data(tmp_path):
    assert '--data "../shared/data/x"' in make_dry("demo", f"VENV={tmp_path}", "DATA=../shared/data/x")


def test_a_moved_environment_is_refused(tmp_path):
    (tmp_path / "venv/.relpose").mkdir(parents=True)
    (tmp_path / "venv/.relpose/prefix").write_text("/somewhere/else\n")
    assert "cannot be moved" in make_dry("setup", f"VENV={tmp_path / 'venv'}")


def test_ci_entry_is_executable():
    assert os.access(ROOT / ".ci/run", os.X_OK)


@pytest.mark.slow
def test_colcon_builds_both_packages(tmp_path):
    """A real `colcon build` of the checkout in a workspace, without flags."""
    copy_checkout(tmp_path / "ws/src/relpose_ros")
    prefix = sys.prefix
    env = {**os.environ, "AMENT_PREFIX_PATH": prefix, "CMAKE_PREFIX_PATH": prefix}
    env["PATH"] = f"{prefix}/bin:{env['PATH']}"
    command = [sys.executable, "-m", "colcon", "build", "--cmake-args", "-DBUILD_TESTING=OFF"]
    result = subprocess.run(
        command, cwd=tmp_path / "ws", env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    install = tmp_path / "ws/install/relpose_ros"
    nodes = {"retrieval_node", "relative_pose_node", "scene_coordinate_node", "localizer_node", "relpose"}
    assert {p.name for p in (install / "lib/relpose_ros").iterdir()} >= nodes
    for path in (
        "share/relpose_msgs/package.xml",
        "share/relpose_ros/package.xml",
        "share/relpose_ros/launch",
    ):
        assert (install / path).exists(), path
    (site,) = install.glob("lib/python3*/site-packages")
    env["PYTHONPATH"] = str(site)
    command = [install / "bin/relpose", "--version"]
    said = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert said.stdout == f"relpose {relpose_ros.__version__}\n", said.stderr


@pytest.mark.parametrize("target", ["demo", "test", "test-slow", "test-xla", "lint", "parity", "bench"])
def test_every_target_knows_how_to_make_what_it_needs(target, tmp_path):
    """As on a fresh machine: neither environment is there yet. Nothing is carried out."""
    words = ["make", "--dry-run", target, f"VENV={tmp_path / 'venv'}", f"XLA={tmp_path / 'xla'}"]
    done = subprocess.run(words, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
