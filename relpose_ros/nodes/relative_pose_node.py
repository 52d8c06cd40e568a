"""Entry point of the node that measures relative poses (class: `relative_pose.RelativePoseNode`)."""

from __future__ import annotations

import sys

from relpose_ros.nodes.runner import run


def main() -> int:
    """Run until stopped."""
    return run("relpose_ros.nodes.relative_pose", "RelativePoseNode")


if __name__ == "__main__":
    sys.exit(main())
