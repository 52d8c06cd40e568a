"""Writes the parameter tables of docs/nodes/*.md out of the nodes' own tables.

    python tools/document_nodes.py            # writes what is stale
    python tools/document_nodes.py --check    # exit status 1, and the pages' names, if anything is

Each page keeps its table between two marks; what is around them is written by hand. Needs rclpy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relpose_ros.nodes.parameters import Parameter

PAGES = Path(__file__).parents[1] / "docs" / "nodes"

BEGIN = "<!-- parameters: written by `python tools/document_nodes.py`, do not edit -->"
END = "<!-- end of parameters -->"

HEADER = (
    "| parameter | type | default | allowed | read | |",
    "|---|---|---|---|---|---|",
)


def tables() -> dict[str, tuple[Parameter, ...]]:
    """Page -> all parameters of its node."""
    from relpose_ros.nodes import camera_node, loading, localizer, scene_coordinate

    common = camera_node.PARAMETERS
    return {
        "localizer.md": (*localizer.PARAMETERS, *common),
        "retrieval.md": (*loading.MAP_PARAMETERS, *loading.RETRIEVAL_PARAMETERS, *common),
        "relative_pose.md": (
            *loading.MAP_PARAMETERS,
            *loading.MATCHING_PARAMETERS,
            *loading.RELATIVE_PARAMETERS,
            *common,
        ),
        "scene_coordinate.md": (*scene_coordinate.PARAMETERS, *common),
    }


def table(parameters: Sequence[Parameter]) -> str:
    """Markdown, a row a parameter."""
    return "\n".join([*HEADER, *(_row(parameter) for parameter in parameters)])


def with_table(page: str, parameters: Sequence[Parameter]) -> str:
    """The page with its table renewed. Raises ValueError where the marks are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected a line {BEGIN!r} and a line {END!r}")
    return f"{before}{begin}\n\n{table(parameters)}\n\n{end}{after}"


def stale(folder: Path = PAGES) -> dict[Path, str]:
    """Pages that are not as they should be, and what they should hold."""
    out = {}
    for name, parameters in tables().items():
        text = (folder / name).read_text()
        wanted = with_table(text, parameters)
        if wanted != text:
            out[folder / name] = wanted
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check. The exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, say what is stale")
    args = parser.parse_args(arguments)
    found = stale()
    for path, text in found.items():
        print(f"{path}: {'stale' if args.check else 'written'}")
        if not args.check:
            path.write_text(text)
    return 1 if args.check and found else 0


def _row(parameter: Parameter) -> str:
    cells = (
        f"`{parameter.name}`",
        _type(parameter),
        _default(parameter.default),
        _allowed(parameter),
        "any time" if parameter.live else "process start" if parameter.fixed else "configure",
        parameter.description.replace("|", "\\|"),
    )
    return f"| {' | '.join(cells)} |"


def _type(parameter: Parameter) -> str:
    if parameter.words:
        return "string[]"
    names = {bool: "bool", int: "int", float: "double", str: "string", list: "double[]"}
    return names[type(parameter.default)]


def _default(default: object) -> str:
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default!r}`" if default in ("", []) else f"`{default}`"


def _allowed(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    if parameter.range is not None:
        low, high = parameter.range
        return f"{low:g} to {high:g}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
