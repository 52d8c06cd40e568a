"""docs/failures.md explains every text that a node, a tracker or a localizer on a robot can say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "relpose_ros"
PAGE = ROOT / "docs" / "failures.md"

SAYS = (
    "nodes/*.py",
    "localization/tracking/*.py",
    *(f"localization/{name}.py" for name in (
        "arbiter", "describing", "graph_agreement", "graph_road", "hint", "localizer", "options", "parts",
        "query", "rig", "rivals", "scene_evidence", "scene_road",
    )),
)  # fmt: skip
"""Modules of which every phrase is said, unless it is one of `PIECES`."""

RAISES = (
    "maps/storage.py", "maps/seal.py", "maps/blocks.py", "maps/bundle.py", "geometry/camera_info.py",
    "geometry/cameras.py", "geometry/covariance.py", "datasets/camera_files.py", "datasets/image_messages.py",
    "images.py", "types.py", "features/registry.py", "features/graph_matching.py", "features/pruning.py",
    "checkpoints/format.py", "checkpoints/predictor.py", "evaluation/files.py", "nodes/launching.py",
)  # fmt: skip
"""Modules of which what they raise is said: at start, at `~/load_map`, or of a message."""

ELSEWHERE = ("bag_player", "collector", "launching", "replay", "replay_report", "replay_source")
"""Modules of nodes/ that no node runs, but `relpose replay` and launch files (see RAISES for those)."""

PIECES = {
    "a message", "the parameters", "the topic odom", "the hint", "one of:", "numbers with decimal points",
    "no matches", "…x… pixels, …", "… m, … rad", "; … stays in use", "got … numbers",
    "one standard deviation is … m and … deg", "in metres", "without scale", "fed otherwise (…)",
    "relpose map attach … SOURCE... --relpose-gnn … --out NEW.relmap, with all sources that it was made of",
    "mask of …", "a list of words", "expected x y z yaw, or x y z qx qy qz qw, got … numbers",
    "expected standard deviations above 0, got … and … degrees",
    "ellipse 95 % m", "heading 95 % deg", "bad camera info", "camera info", "seconds since …", "… per second",
    "wrong or missing: …", "not YAML: …", "scene checkpoint", "checkpoint sha256", "scene bounds m",
}  # fmt: skip
"""Parts of other texts, which never stand alone, and names in diagnostics."""

COUNTS = ("count", "note", "solved", "report", "mention", "refuse")
"""Calls whose first argument is the name of a counter or problem (docs/nodes/localizer.md has those)."""

WORD = re.compile(r"[A-Za-z]")


def plain(text: str) -> str:
    """Without backticks, with single spaces and one ellipsis for whatever varies."""
    return re.sub(r"…+", "…", " ".join(text.replace("`", "").split()))


def template(node: ast.AST) -> str | None:
    """A string of the code with … for whatever is put into it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
    return None


def is_call_of(node: ast.AST, *names: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    return name.endswith(names)


def not_said(tree: ast.Module) -> set[int]:
    """Docstrings, descriptions of parameters, pieces of f-strings, what rclpy and argparse are told."""
    out: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            out.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            out.update(id(value) for value in node.values)
        elif is_call_of(node, *COUNTS):
            out.update(id(argument) for argument in node.args[:1])
        elif is_call_of(node, "Parameter", "_row", "add_argument", "ArgumentParser"):
            out.update(id(inner) for inner in ast.walk(node))
    return out


def texts(path: Path, raised: bool) -> Iterator[tuple[str, str]]:
    """Text and where it stands, of two words or more."""
    tree = ast.parse(path.read_text())
    skipped = not_said(tree)
    roots: list[ast.AST] = [tree]
    if raised:
        roots = [n for n in ast.walk(tree) if isinstance(n, ast.Raise) or is_call_of(n, "Error")]
    for root in roots:
        for node in ast.walk(root):
            text = None if id(node) in skipped else template(node)
            if text and sum(bool(WORD.search(word)) for word in text.split()) >= 2:
                yield plain(text), f"{path.relative_to(ROOT)}:{node.lineno}"


@cache
def said() -> dict[str, str]:
    """Every text -> the first place where it stands."""
    out: dict[str, str] = {}
    for patterns, raised in ((SAYS, False), (RAISES, True)):
        for path in (p for pattern in patterns for p in sorted(PACKAGE.glob(pattern))):
            if raised or path.stem not in ELSEWHERE:
                for text, place in texts(path, raised):
                    out.setdefault(text, place)
    return {text: place for text, place in out.items() if text not in PIECES}


def explained() -> set[str]:
    """The texts in the first column of the page's tables."""
    rows = re.findall(r"^\| (`.+?`) \| .*\|$", PAGE.read_text(), re.M)
    spans = [span for row in rows for span in re.findall(r"``(.+?)``(?!`)|`([^`]+)`", row)]
    return {plain(double or single) for double, single in spans}


def test_every_text_is_explained():
    known = explained()
    missing = [f"{place}: {text}" for text, place in said().items() if text not in known]
    assert not missing, "not in docs/failures.md:\n" + "\n".join(missing)


def test_nothing_is_explained_that_nobody_says():
    assert explained() - set(said()) == set()


def test_the_collector_finds_texts_of_each_kind():
    found = said()
    assert "no reference was retrieved" in found, "a plain string"
    assert "ambiguous: … matches speak for one place and … for another that looks alike" in found, "joined"
    assert "no image on … (… publishers)" in found, "a complaint"
    assert any(text.startswith("…: no such map") for text in found), "an error of another room"
    assert not any("path of the map bundle" in text for text in found), "no description of a parameter"
