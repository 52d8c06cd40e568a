"""`python exact_scene_node.py`: scene_coordinate_node with a network that is always right."""

import sys

from relpose_ros.nodes.runner import run

if __name__ == "__main__":
    sys.exit(run("exact_scene", "make"))
