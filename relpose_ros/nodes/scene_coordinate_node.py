"""Entry point of the node of a scene-coordinate network (class: `scene_coordinate.SceneCoordinateNode`)."""

from __future__ import annotations

import sys

from relpose_ros.nodes.runner import run


def main() -> int:
    """Run until stopped."""
    return run("relpose_ros.nodes.scene_coordinate", "SceneCoordinateNode")


if __name__ == "__main__":
    sys.exit(main())
