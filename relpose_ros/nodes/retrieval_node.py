"""Entry point of the node that finds similar references (class: `retrieval.RetrievalNode`)."""

from __future__ import annotations

import sys

from relpose_ros.nodes.runner import run


def main() -> int:
    """Run until stopped."""
    return run("relpose_ros.nodes.retrieval", "RetrievalNode")


if __name__ == "__main__":
    sys.exit(main())
