"""Who may import whom (ARCHITECTURE), and what `relpose --help` may load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "relpose_ros"
HEAVY = {
    "torch",
    "faiss",
    "rclpy",
    "cv2",
    "pycolmap",
    "poselib",
    "matplotlib",
    "h5py",
    "rosbags",
    "scipy",
    "numpy",
}
LATE = {"torch", "faiss", "pycolmap", "poselib", "matplotlib", "h5py", "rosbags", "onnxruntime"}
"""Imported inside the function that uses them, nowhere at the top of a module."""


def run_python(code: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, *arguments, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


def top_level_imports(body: list[ast.stmt]) -> Iterator[str]:
    """The modules that importing this code imports: not those in functions or under TYPE_CHECKING."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from top_level_imports(node.orelse)
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            for name in ("body", "orelse", "finalbody"):
                yield from top_level_imports(getattr(node, name, []))
            for handler in getattr(node, "handlers", []):
                yield from top_level_imports(handler.body)


def all_imports(tree: ast.AST) -> Iterator[str]:
    """Every module that this code imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def modules_under(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def test_contracts_hold():
    result = run_python(
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " 0 broken" in result.stdout


def test_help_loads_nothing_heavy():
    code = (
        "import json, sys\n"
        "from relpose_ros.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as stop:\n    assert stop.code == 0\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    assert "relpose demo" in result.stdout
    loaded = set(json.loads(result.stdout.splitlines()[-1]))
    assert not loaded & HEAVY


@pytest.mark.parametrize("path", modules_under(PACKAGE), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_imports_are_late(path):
    at_top = {name.split(".")[0] for name in top_level_imports(ast.parse(path.read_text()).body)}
    allowed = {"torch"} if path.is_relative_to(PACKAGE / "networks") else set()
    assert not at_top & LATE - allowed


def test_rclpy_is_in_nodes_alone():
    users = {
        p
        for p in modules_under(PACKAGE)
        if "rclpy" in {n.split(".")[0] for n in all_imports(ast.parse(p.read_text()))}
    }
    assert {p.relative_to(PACKAGE).parts[0] for p in users} <= {"nodes"}


def test_one_file_calls_the_ransac_library():
    users = {
        p
        for p in modules_under(PACKAGE)
        if "poselib" in {n.split(".")[0] for n in all_imports(ast.parse(p.read_text()))}
    }
    assert {str(p.relative_to(PACKAGE)) for p in users} <= {"geometry/robust.py"}


def test_top_level_imports_sees_what_importing_runs():
    code = (
        "import a\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import b\n"
        "try:\n    import c\nexcept ImportError:\n    import d\n"
        "def f():\n    import e\n"
        "class K:\n    import g\n"
    )
    assert set(top_level_imports(ast.parse(code).body)) == {"a", "typing", "c", "d", "g"}
    assert {"b", "e"} <= set(all_imports(ast.parse(code)))
