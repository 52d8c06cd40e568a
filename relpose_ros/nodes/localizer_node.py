"""Entry point of the node to launch on a robot: images in, poses out (class: `localizer.LocalizerNode`)."""

from __future__ import annotations

import sys

from relpose_ros.nodes.runner import run


def main() -> int:
    """Run until stopped."""
    return run("relpose_ros.nodes.localizer", "LocalizerNode")


if __name__ == "__main__":
    sys.exit(main())
