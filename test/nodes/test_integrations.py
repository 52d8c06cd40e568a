"""docs/integrations and the examples: every parameter of ours that they name exists, their recipes work."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from relpose_ros.datasets.open import open_source
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes import camera_node, localizer

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "integrations").glob("*.md"))
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))
LAUNCH = sorted((ROOT / "launch" / "examples").glob("*.py"))
ROWS = {row.name: row for row in (*camera_node.PARAMETERS, *localizer.PARAMETERS)}
THEIRS = {"ekf_odom", "ekf_map", "lifecycle_manager_localization"}


def snippets(kind):
    """(page, text) of the code blocks of a language."""
    blocks = re.compile(rf"^```{kind}\n(.*?)^```$", re.M | re.S)
    return [(page.name, text) for page in PAGES for text in blocks.findall(page.read_text())]


def texts():
    return [(path.name, path.read_text()) for path in EXAMPLES] + snippets("yaml")


@pytest.mark.parametrize(("name", "text"), texts())
def test_parameters_exist_and_are_of_their_types(name, text):
    sections = yaml.safe_load(text)
    assert sections
    for section, content in sections.items():
        node = section.removeprefix("/**/")
        assert node == "localizer" or node in THEIRS, section
        if node != "localizer":
            continue
        for parameter, value in content["ros__parameters"].items():
            row = ROWS[parameter]
            assert type(value) is type(row.default), parameter
            assert not row.problem(value)
            assert row.range is None or row.range[0] <= value <= row.range[1]


def test_the_pages_say_what_the_examples_say():
    """A snippet is a part of its example, so that a page does not age alone."""
    said = {}
    for path in EXAMPLES:
        for section, content in yaml.safe_load(path.read_text()).items():
            said.setdefault((path.stem.split("_")[0], section), {}).update(content["ros__parameters"])
    for page, text in snippets("yaml"):
        for section, content in yaml.safe_load(text).items():
            example = said[page.removesuffix(".md").split("_")[0], section]
            assert content["ros__parameters"].items() <= example.items(), (page, section)


def test_filters_are_told_what_they_read():
    filters = yaml.safe_load((ROOT / "config/examples/robot_localization.yaml").read_text())
    for section in ("/**/ekf_odom", "/**/ekf_map"):
        parameters = filters[section]["ros__parameters"]
        assert all(len(v) == 15 for k, v in parameters.items() if k.endswith(("_config", "_covariance")))
        wheels = parameters["odom0_config"]
        assert not any(wheels[:6])  # velocities alone: two filters may not both have the wheels' place
    fused = np.flatnonzero(parameters["pose0_config"])
    assert fused.tolist() == [0, 1, 5] and parameters["pose0"] == "localizer/pose"
    first = np.array(parameters["initial_estimate_covariance"])
    assert (first[fused] >= np.pi**2).all()
    from scipy.stats import chi2

    assert parameters["pose0_rejection_threshold"] == pytest.approx(
        chi2.ppf(0.999, len(fused)) ** 0.5, abs=0.01
    )
    assert filters["/**/localizer"]["ros__parameters"]["tf_broadcast"] is False


def test_filters_of_one_namespace_do_not_share_topics_of_their_own():
    """robot_localization's names are relative: without this one message would move both filters."""
    example = (ROOT / "launch/examples/robot_localization.launch.py").read_text()
    remapped = {
        pair.elts[0].value: ast.unparse(pair.elts[1])
        for pair in ast.walk(ast.parse(example))
        if isinstance(pair, ast.Tuple) and len(pair.elts) == 2 and isinstance(pair.elts[0], ast.Constant)
    }
    assert "{name}/" in remapped["odometry/filtered"] and "{name}/" in remapped["set_pose"]
    assert "`ekf_map/set_pose`" in (ROOT / "docs/integrations/robot_localization.md").read_text()


@pytest.mark.parametrize("path", LAUNCH, ids=lambda p: p.name)
def test_examples_give_our_launch_file_arguments_that_it_has(path):
    from relpose_ros.nodes.launching import FRAMES, INPUTS, MODELS, PROCESS

    known = {*INPUTS, *MODELS, *FRAMES, *PROCESS, "managed_nodes", "occupancy_map"}
    tree = ast.parse(path.read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    declared = {
        call.args[0].value for call in calls if getattr(call.func, "id", "") == "DeclareLaunchArgument"
    }
    assert "map" in declared and declared <= known
    files = re.findall(r"config\", \"examples\", \"([\w.]+)\"", path.read_text())
    assert files and all((ROOT / "config" / "examples" / name).is_file() for name in files)


def test_links_of_the_pages_lead_somewhere():
    for page in (*PAGES, ROOT / "docs" / "launch.md"):
        for target, anchor in re.findall(r"\]\(([\w./-]+\.md)(#[\w-]+)?\)", page.read_text()):
            path = (page.parent / target).resolve()
            assert path.is_file(), (page.name, target)
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
            slugs = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
            assert not anchor or anchor[1:] in slugs, (page.name, target, anchor)


QUATERNION = np.array([-0.5, 0.5, -0.5, 0.5])


def write_calibration(path, fx):
    """As rtabmap writes it; raw camera and distortion are not those of the images."""
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    matrices = {
        "camera_matrix": (3, [33.0, 0, 14, 0, 34, 10, 0, 0, 1]),
        "distortion_coefficients": (1, [-0.3, 0.1, 0.0, 0.0, 0.0]),
        "projection_matrix": (3, [fx, 0, 15.5, 0, 0, 31.0, 11.5, 0, 0, 0, 1, 0]),
    }
    for key, (rows, data) in matrices.items():
        file.startWriteStruct(key, cv2.FileNode_MAP)
        file.write("rows", rows)
        file.write("cols", len(data) // rows)
        file.startWriteStruct("data", cv2.FileNode_SEQ + cv2.FileNode_FLOW)
        for value in data:
            file.write("", float(value))
        file.endWriteStruct()
        file.endWriteStruct()
    file.release()


@pytest.fixture
def export(tmp_path):
    """An export of three nodes, the second without an image, as rtabmap's sources write it."""
    out = tmp_path / "export"
    for name in ("office_rgb", "office_calib"):
        (out / name).mkdir(parents=True)
    lines = ["#timestamp x y z qx qy qz qw id"]
    for number in (3, 5, 8):
        row = (1_700_000_000.25 + number, 0.5 * number, -1.0, 0.3, *QUATERNION)
        lines.append(" ".join(f"{v:f}" for v in row) + f" {number}")
        if number != 5:
            pixels = np.full((24, 32, 3), 9 * number, np.uint8)
            cv2.imwrite(str(out / "office_rgb" / f"{number}.jpg"), pixels)
            write_calibration(out / "office_calib" / f"{number}.yaml", 30.0 + number)
    (out / "office_camera_poses.txt").write_text("\n".join(lines) + "\n")
    return out


def test_what_rtabmap_exports_becomes_a_source(export, monkeypatch):
    monkeypatch.chdir(export.parent)
    ((_, script),) = snippets("python")
    exec(compile(script, "rtabmap.md", "exec"), {})
    source = open_source(export.parent / "office")
    assert [i.name for i in source.images] == ["3.jpg", "8.jpg"] and source.metric
    last = source.images[1]
    expected = Rigid.from_quaternion(QUATERNION, [4.0, -1.0, 0.3])
    assert last.map_from_camera.error_to(expected) == pytest.approx(np.zeros(6), abs=1e-6)
    assert (last.camera.fx, last.camera.fy, last.camera.cx, last.camera.cy) == (38.0, 31.0, 15.5, 11.5)
    assert not any(last.camera.distortion) and last.stamp == pytest.approx(1_700_000_008.25, abs=1e-3)
