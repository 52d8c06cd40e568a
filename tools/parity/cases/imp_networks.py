"""IMP and EIMP: keypoint normalisation, assignment and the three networks, at every iteration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.geometry.cameras import Camera
from relpose_ros.networks.imp.adagmn import AdaGMN
from relpose_ros.networks.imp.assignment import dual_softmax, sinkhorn
from relpose_ros.networks.imp.dgnns import DGNNS
from relpose_ros.networks.imp.graph_matcher import GM
from relpose_ros.networks.imp.keypoint_normalisation import normalise_keypoints
from relpose_ros.networks.imp.matcher import Matcher
from relpose_ros.networks.imp.mutual import mutual_matches
from tools.parity.case import Deviation, deviation, exact, golden, load, path_of
from tools.parity.weights import rule_module

Arrays = dict[str, NDArray[Any]]

VALUES = 2e-5
"""Tolerance of goldens/imp/README.md for what a network computes."""

VARIANTS: dict[str, Callable[[], Matcher]] = {
    "GM_L9_spp_in": lambda: GM(iterations=9),
    "GM_L15_spp_in": GM,
    "GM_L9_spp_bn": lambda: GM(iterations=9, norm_fn="bn"),
    "DGNNS_L15_spp_in": DGNNS,
    "DGNNS_L15_sift_in": lambda: DGNNS(descriptor_size=128),
    "AdaGMN_L15_spp_in": lambda: AdaGMN(n_min_tokens=64),
    "AdaGMN_L15_sift_in": lambda: AdaGMN(n_min_tokens=64, descriptor_size=128),
}


def filled(network: Matcher, profile: str) -> Matcher:
    """The network in eval mode with the weights of the rule."""
    rule_module("imp", "param_rule.py").fill(network, profile)
    return network.eval()


def document(file: str) -> Any:
    """A golden .json file."""
    return json.loads(path_of("imp", file).read_text())


def tensors(file: str) -> dict[str, Tensor]:
    """A golden .npz file."""
    return {name: torch.from_numpy(value) for name, value in load("imp", file).items()}


def network_inputs(file: str, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """What `Matcher.encode` takes, batch of one."""
    given = {name: value.to(dtype) for name, value in tensors(file).items()}
    width, height = (int(x) for x in given["size"])
    keypoints = (normalise_keypoints(given[f"kpts{i}"], (width, height)) for i in (0, 1))
    others = (given[name] for name in ("scores0", "scores1", "desc0", "desc1"))
    return tuple(x.unsqueeze(0) for x in (*keypoints, *others))


@golden("imp", "state-dict names and shapes of all variants", "keys.json")
def keys() -> Iterator[Deviation]:
    for name, reference in document("keys.json").items():
        state = VARIANTS[name]().state_dict()
        parameters = sum(p.numel() for p in VARIANTS[name]().parameters())
        yield exact(name, {key: list(value.shape) for key, value in state.items()}, reference["keys"])
        yield exact(f"{name} parameters", parameters, reference["n_params"])


@golden(
    "imp",
    "weights by rule, before any network",
    *(f"param_checksums_DGNNS_L15_spp_in_{profile}.json" for profile in ("mild", "matcher")),
)
def checksums() -> Iterator[Deviation]:
    for profile in ("mild", "matcher"):
        state = filled(DGNNS(), profile).state_dict()
        for key, expected in document(f"param_checksums_DGNNS_L15_spp_in_{profile}.json").items():
            ours = state[key].double().flatten()
            yield exact(f"{key} shape", list(state[key].shape), expected["shape"])
            yield deviation(f"{profile} {key} sum", ours.sum(), expected["sum"], 1e-6)
            yield deviation(f"{profile} {key} first values", ours[:3], expected["first"], 0.0)


@golden("imp", "keypoint normalisation, four kinds", "normalisation.npz")
def normalisation() -> Iterator[Deviation]:
    ref = load("imp", "normalisation.npz")
    points, size = torch.from_numpy(ref["kpts"]).double(), (int(ref["W"]), int(ref["H"]))
    yield deviation("test", normalise_keypoints(points, size), ref["superglue_norm"], 1e-6)
    training = normalise_keypoints(points, size, training=True)
    yield deviation("training", training, ref["train_norm"], 1e-6)
    yield deviation("validation", training, ref["eval_yfcc_full_norm"], 1e-6)
    misread = normalise_keypoints(points, size, layout_bug_compat=True)
    yield deviation("iterative, as shipped", misread, ref["as_shipped_iterative"], 1e-6)
    (fx, _, cx), (_, fy, cy) = ref["K"][:2]
    rays = Camera("pinhole", fx, fy, cx, cy, *size).rays(points.numpy())
    yield deviation("rays", rays, ref["intrinsic_norm"], 1e-6)


@golden("imp", "Sinkhorn, dual softmax and mutual matches", "assignment_and_loss.npz")
def assignment() -> Iterator[Deviation]:
    ref = load("imp", "assignment_and_loss.npz")
    similarity, bin_score = torch.from_numpy(ref["M"]), torch.from_numpy(ref["bin_score"])
    for iterations in (3, 20):
        ours = sinkhorn(similarity, bin_score, iterations)
        yield deviation(f"Sinkhorn {iterations}", ours, ref[f"sinkhorn{iterations}"], 1e-5)
    yield deviation("dual softmax", dual_softmax(similarity, bin_score), ref["dual_softmax"], 1e-5)
    for kind, stored in (("sk", "sinkhorn20"), ("ds", "dual_softmax")):
        found = mutual_matches(torch.from_numpy(ref[stored]), 0.2)
        yield exact(f"{kind} matches0", found.indices0, ref[f"{kind}_matches0"])
        yield exact(f"{kind} matches1", found.indices1, ref[f"{kind}_matches1"])
        yield deviation(f"{kind} scores0", found.scores0, ref[f"{kind}_ms0"], 1e-5)
        yield deviation(f"{kind} scores1", found.scores1, ref[f"{kind}_ms1"], 1e-5)


def _produced(network: Matcher, source: str, ref: Arrays, report: Any) -> Iterator[Deviation]:
    """Matches of every iteration in float32 and float64; kept points; counts."""
    inputs = network_inputs(source)
    counts, sizes = [], []
    for i, (state, scores) in enumerate(network.iterate(*inputs)):
        matches = network.match(scores)
        yield exact(f"indices0 it {i}", matches.indices0[0], ref["indices0"][i])
        yield deviation(f"mscores0 it {i}", matches.scores0[0], ref["mscores0"][i], VALUES)
        counts.append(int((matches.indices0 >= 0).sum()))
        if state.keep0 is not None and state.keep1 is not None:
            sizes.append([int(state.keep0.sum()), int(state.keep1.sum())])
        else:
            sizes.append([state.descriptors0.shape[2], state.descriptors1.shape[2]])
    yield exact("number of matches", counts, report["n_matches"])
    yield exact("sizes", sizes if report["score_shapes"] else [], report["score_shapes"])
    pairs = network.double().iterate(*network_inputs(source, torch.float64))
    ours = torch.cat([network.match(scores).scores0 for _, scores in pairs])
    yield deviation("mscores0 float64", ours, ref["mscores0_f64"], 1e-9)


def _half_excess(ours: Tensor, reference: NDArray[Any]) -> NDArray[Any]:
    """Difference beyond what storing the reference as float16 explains."""
    stored = reference.astype(np.float64)
    excess = np.abs(ours.double().numpy() - stored) - 2.0**-11 * np.abs(stored)
    return np.asarray(np.maximum(excess, 0.0))


def _trace(network: Matcher, inputs: tuple[Tensor, ...], ref: Arrays, report: Any) -> Iterator[Deviation]:
    """Descriptors on the way and the last scores, no point dropped."""
    yield deviation("kenc0", network.kenc(inputs[0], inputs[2])[0, :, :48], ref["kenc0"], VALUES)
    yield deviation("kenc1", network.kenc(inputs[1], inputs[3])[0, :, :48], ref["kenc1"], VALUES)
    state = network.encode(*inputs)
    recorded = {1: ("it1", 48), 4: ("it4", 16), network.iterations: ("last", 16)}
    for done in range(1, network.iterations + 1):
        state = network.step(state)
        if done in recorded:
            name, points = recorded[done]
            for i, ours in enumerate((state.descriptors0, state.descriptors1)):
                reference = ref[f"desc{i}_{name}_slice"]
                yield deviation(f"desc{i} {name}", ours[0, :, :points], reference, VALUES)
    yield deviation("dist", network.similarity(state)[0, :24], ref["dist_last_slice"], VALUES)
    scores = network.scores(state)[0]
    if ref["score_last"].dtype == np.float16:
        yield deviation("score", _half_excess(scores, ref["score_last"]), np.zeros(scores.shape), VALUES)
    else:
        yield deviation("score", scores, ref["score_last"], VALUES)
    yield deviation(
        "spread of descriptors", state.descriptors0.std(correction=0), report["desc_std_last"], VALUES
    )


def _compare(name: str, profile: str, source: str) -> Iterator[Deviation]:
    ref, inputs = load("imp", f"model_{name}_{profile}.npz"), network_inputs(source)
    report = document("report_models.json")[f"{name}|{profile}"]
    network = filled(VARIANTS[name](), profile)
    with torch.no_grad():
        yield from _trace(network, inputs, ref, report)
        yield from _produced(network, source, ref, report)
    last = torch.from_numpy(ref["indices0"][-1].astype(np.int64))
    true = tensors(source)["gt"]
    yield exact("right at the end", int((last[true[:, 0]] == true[:, 1]).sum()), report["correct_last"])


def _register(name: str, profile: str) -> None:
    source = "inputs_small_sift.npz" if "sift" in name else "inputs_small.npz"
    files = (f"model_{name}_{profile}.npz", source, "report_models.json")
    golden("imp", f"{name} {profile}", *files)(lambda: _compare(name, profile, source))


for _variant, _profile in (
    ("GM_L9_spp_in", "mild"),
    ("GM_L9_spp_in", "matcher"),
    ("GM_L9_spp_bn", "mild"),
    ("DGNNS_L15_spp_in", "mild"),
    ("DGNNS_L15_spp_in", "matcher"),
    ("DGNNS_L15_sift_in", "mild"),
    ("DGNNS_L15_sift_in", "matcher"),
    ("AdaGMN_L15_spp_in", "matcher"),
    ("AdaGMN_L15_sift_in", "matcher"),
):
    _register(_variant, _profile)


@golden(
    "imp",
    "DGNNS with dual softmax, last iteration",
    "model_DGNNS_L15_spp_in_matcher_dual_softmax.npz",
    "inputs_small.npz",
)
def with_dual_softmax() -> Iterator[Deviation]:
    ref = load("imp", "model_DGNNS_L15_spp_in_matcher_dual_softmax.npz")
    network = filled(DGNNS(with_sinkhorn=False), "matcher")
    with torch.no_grad():
        matches, scores, _ = network(*network_inputs("inputs_small.npz"))
    yield exact("indices0", matches[0], ref["indices0"])
    yield deviation("mscores0", scores[0], ref["mscores0"], VALUES)


@golden("imp", "GM fed as SGMNet feeds it", "model_GM_L9_run_mode1.npz", "inputs_small.npz")
def sgmnet_feed() -> Iterator[Deviation]:
    ref, inputs = tensors("model_GM_L9_run_mode1.npz"), network_inputs("inputs_small.npz")
    keypoints = (ref[name][..., :2] for name in ("x1", "x2"))
    scores = (ref[name][..., 2] for name in ("x1", "x2"))
    network = filled(GM(iterations=9), "matcher")
    with torch.no_grad():
        ours = network.last(*keypoints, *scores, *inputs[4:])
    yield deviation("p", ours, ref["p"].numpy(), VALUES)
