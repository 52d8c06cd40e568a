"""`python fake_localizer_node.py --ros-args -p map:=good`: localizer_node with a fake localizer."""

import sys

from relpose_ros.nodes.runner import run

if __name__ == "__main__":
    sys.exit(run("fake_localizer", "make"))
