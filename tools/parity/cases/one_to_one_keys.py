"""State-dict names, shapes, sizes and rule weights of the networks of whole sets, by registry name.

Those of ConvMatch, CLNet and the one-to-one networks: one_to_one_candidates.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from relpose_ros.networks.registry import build_network
from tools.parity.case import Deviation, deviation, exact, golden
from tools.parity.cases.one_to_one_n_to_n import SYSTEM, document, filled

REGISTERED = {
    "LTFGC_w6": "one_to_one.ltfgc",
    "LTFGC_w4": "one_to_one.ltfgc_w4",
    "OANET_w6": "one_to_one.oanet",
    "OANET_w4": "one_to_one.oanet_w4",
    "OANET_Iter_w6": "one_to_one.oanet_iter",
    "OANET_Iter_w4": "one_to_one.oanet_iter_w4",
    "MS2DGNET_w6": "one_to_one.ms2dgnet",
    "MS2DGNET_w4": "one_to_one.ms2dgnet_w4",
}
"""Published name -> ours."""

ELSEWHERE = ("convmatch", "CLNet", "model_CNN_cont", "model_EOT")


@golden(SYSTEM, "names and shapes: PointCN, OANet, MS2DG-Net", "keys.json")
def keys() -> Iterator[Deviation]:
    stored = document("keys.json")
    yield exact("networks", {n for n in stored if not n.startswith(ELSEWHERE)}, set(REGISTERED))
    for name, ours in REGISTERED.items():
        with torch.device("meta"):
            network = build_network(ours)
        shapes = {key: list(value.shape) for key, value in network.state_dict().items()}
        yield exact(f"{name}: names and shapes", shapes, stored[name]["keys"])
        count = sum(parameter.numel() for parameter in network.parameters())
        yield exact(f"{name}: parameters", count, stored[name]["n_params"])


@golden(
    SYSTEM,
    "weights by rule: PointCN, OANet",
    *("param_checksums_LTFGC_w6_plain.json", "param_checksums_OANET_Iter_w6_plain.json"),
)
def weights() -> Iterator[Deviation]:
    for name in ("LTFGC_w6", "OANET_Iter_w6"):
        state = filled(build_network(REGISTERED[name])).state_dict()
        for key, stored in document(f"param_checksums_{name}_plain.json").items():
            flat = state[key].double().flatten()
            ours = [float(flat.sum()), *flat[:3].tolist()]
            yield exact(f"{key}: shape", list(state[key].shape), stored["shape"])
            yield deviation(key, ours, [stored["sum"], *stored["first"]], 1e-7)
