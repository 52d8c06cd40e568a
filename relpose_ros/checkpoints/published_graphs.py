"""How the published networks over graphs were fed, which their files do not say."""

from __future__ import annotations

from typing import Any

from relpose_ros.checkpoints.graph_header import GraphInfo
from relpose_ros.geometry.pose_vectors import CAMBRIDGE
from relpose_ros.geometry.relative_vectors import VectorDifference

SEVEN_SCENES = ("relpose_gnn.release", "relpose_gnn.r2", "relpose_gnn.r1")

_SHORT_SIDE = {"kind": "short_side", "width": 0, "height": 256, "focal": 0.0}


def published_graph(network: str) -> dict[str, Any]:
    """The header of imported weights of that registered name: of RelPoseGNN's; empty for others.

    Of 7-Scenes each scene by its own colours, every fifth of the ranking; Cambridge by rounded colours, the
    same for all, every third (specs of the authors' graphs; docs/networks/relpose_gnn.md).
    """
    if network in SEVEN_SCENES:
        colours = {"mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225], "per_scene": True}
        return GraphInfo({**_SHORT_SIDE, **colours}, VectorDifference(), 7, 5, True).to_dict()
    if network == "relpose_gnn.r3":
        colours = {"mean": [0.5] * 3, "deviation": [0.25] * 3, "per_scene": False}
        return GraphInfo({**_SHORT_SIDE, **colours}, VectorDifference(CAMBRIDGE), 7, 3, True).to_dict()
    return {}
