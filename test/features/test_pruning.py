"""Matches judged by networks whose weights are set by hand, and by untrained ones of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, load_network, write_checkpoint
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.features.pruning import MIN_MATCHES, Judgement, Pruner, size_for
from relpose_ros.networks.one_to_one.synthetic import synthetic_correspondences
from relpose_ros.networks.registry import ARCHITECTURES, build_network, load_class

SIZE = 256


def matches(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (n, 4), ratios and mutuals of an invented pair; half of them wrong."""
    drawn = synthetic_correspondences(1, count, torch.Generator().manual_seed(seed))[0].numpy()
    return drawn[:, :4].astype(float), drawn[:, 4], drawn[:, 5] > 0


def untrained(name: str, folder: Path, **parameters: object) -> Path:
    """A checkpoint with drawn weights; batch norms as if they had seen data."""
    torch.manual_seed(0)
    network = build_network(name, **parameters)
    return write_checkpoint(
        folder / f"{name}.safetensors", network.state_dict(), CheckpointInfo(name, dict(parameters))
    )


@pytest.fixture(scope="module")
def by_ratio(ratio_pruner: Path, onnx_cache: Path) -> Pruner:
    return Pruner(ratio_pruner, SIZE, backend="onnxruntime")


@pytest.fixture(scope="module")
def contextual(tmp_path_factory: pytest.TempPathFactory, onnx_cache: Path) -> Pruner:
    """Its judgement of a match depends on all the others."""
    path = untrained("one_to_one.ltfgc", tmp_path_factory.mktemp("contextual"), blocks=2)
    return Pruner(path, SIZE, backend="onnxruntime")


@pytest.mark.parametrize("count", [MIN_MATCHES, 100, SIZE - 1, SIZE, SIZE + 1, 1000])
def test_right_ones_are_kept_and_wrong_ones_dropped_however_many_there_are(by_ratio: Pruner, count: int):
    points, ratio, mutual = matches(count)
    judged = by_ratio.judge(points, ratio, mutual)
    np.testing.assert_array_equal(judged.keep, ratio < 0.7)
    np.testing.assert_allclose(judged.weights, 1 / (1 + np.exp(-100 * (0.7 - ratio))), atol=1e-4)


def test_the_threshold_decides(ratio_pruner: Path, onnx_cache: Path):
    points, ratio, mutual = matches(200)
    for threshold, limit in ((0.0, 2.0), (0.27, 0.71), (0.73, 0.69)):
        judged = Pruner(ratio_pruner, SIZE, threshold).judge(points, ratio, mutual)
        clear = np.abs(ratio - limit) > 0.001
        np.testing.assert_array_equal(judged.keep[clear], (ratio < limit)[clear])


def direct(pruner: Pruner, checkpoint: Path, count: int) -> tuple[Judgement, np.ndarray]:
    """By the pruner, and the weights by the network alone on the set as it is."""
    points, ratio, mutual = matches(count)
    network, _ = load_network(checkpoint)
    values = torch.from_numpy(np.column_stack([points, ratio, mutual])[None]).float()
    with torch.inference_mode():
        logits = network(values)[-1][0].numpy()
    return pruner.judge(points, ratio, mutual), 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize(("count", "tolerance"), [(64, 1e-5), (SIZE, 1e-5), (100, 0.02), (SIZE - 20, 0.02)])
def test_padding_does_not_change_the_answer(contextual: Pruner, count: int, tolerance: float):
    """Not at all where all are repeated as often; else one repetition more or less does not matter."""
    judged, expected = direct(contextual, contextual._predict.checkpoint, count)
    np.testing.assert_allclose(judged.weights, expected, atol=tolerance)
    assert expected.std() > 0.02, "or nothing was tested"


@pytest.mark.parametrize("count", [MIN_MATCHES, 100, SIZE - 1, SIZE])
def test_all_are_repeated_as_often_up_to_one(by_ratio: Pruner, monkeypatch: pytest.MonkeyPatch, count: int):
    seen: list[np.ndarray] = []
    real = by_ratio._predict
    monkeypatch.setattr(by_ratio, "_predict", lambda values: (seen.append(values), real(values))[1])
    points, ratio, mutual = matches(count)
    by_ratio.judge(points, ratio, mutual)
    ((values,),) = seen
    assert values.shape == (SIZE, 6)
    _, often = np.unique(values, axis=0, return_counts=True)
    assert len(often) == count and set(often) <= {SIZE // count, -(-SIZE // count)}


def test_the_order_does_not_matter(contextual: Pruner):
    points, ratio, mutual = matches(128)
    order = np.random.default_rng(1).permutation(128)
    judged = contextual.judge(points, ratio, mutual).weights
    again = contextual.judge(points[order], ratio[order], mutual[order]).weights
    np.testing.assert_allclose(again, judged[order], atol=1e-5)


def test_one_file_serves_all_counts(ratio_pruner: Path, tmp_path: Path):
    pruner = Pruner(ratio_pruner, 64, backend="onnxruntime", cache=tmp_path)
    assert len(list(tmp_path.glob("*.onnx"))) == 1, "made at construction"
    for count in (9, 64, 200):
        pruner.judge(*matches(count))
    assert len(list(tmp_path.glob("*.onnx"))) == 1


def test_a_match_that_is_not_finite_is_dropped_and_not_shown(contextual: Pruner):
    points, ratio, mutual = matches(129)
    points[77, 2] = np.nan
    judged, rest = contextual.judge(points, ratio, mutual), np.arange(129) != 77
    assert judged.weights[77] == 0 and not judged.keep[77]
    alone = contextual.judge(points[rest], ratio[rest], mutual[rest])
    np.testing.assert_array_equal(judged.weights[rest], alone.weights)


@pytest.mark.parametrize("count", [0, 1, MIN_MATCHES - 1])
def test_too_few_to_judge_are_kept(by_ratio: Pruner, count: int):
    points, _, mutual = matches(8)
    judged = by_ratio.judge(points[:count], np.ones(count, np.float32), mutual[:count])
    assert judged.keep.shape == judged.weights.shape == (count,) and judged.keep.all()


SETS = [n for n in ARCHITECTURES if n.startswith("one_to_one.") and "eot" not in n and "cnn" not in n]


@pytest.mark.parametrize("name", SETS)
def test_every_network_of_whole_sets_can_judge(name: str, tmp_path: Path):
    parameters = load_class(name).small_parameters()
    pruner = Pruner(untrained(name, tmp_path, **parameters), 64, backend="torch")
    points, ratio, mutual = matches(50)
    weights = pruner.judge(points, ratio, mutual).weights
    assert weights.shape == (50,) and (weights >= 0).all() and (weights <= 1).all() and weights.std() > 0
    other = pruner.judge(points, 1 - ratio, mutual).weights
    sees_ratio = ARCHITECTURES[name].parameters.get("width", 6) == 6 and not name.endswith(
        ("convmatch", "convmatch_plus", "clnet")
    )
    assert np.array_equal(other, weights) != sees_ratio


def test_clnet_keeps_what_lies_near_its_epipolar_lines(tmp_path: Path):
    pruner = Pruner(untrained("one_to_one.clnet", tmp_path), 64, backend="torch")
    points, ratio, mutual = matches(64)
    network, _ = load_network(pruner._predict.checkpoint)
    with torch.inference_mode():
        distances = network(torch.from_numpy(points[None]).float())[-1][0].numpy()
    np.testing.assert_array_equal(pruner.judge(points, ratio, mutual).keep, distances <= 1e-4)


def test_another_network_is_refused_with_both_names(foreign_checkpoint: Path):
    with pytest.raises(
        CheckpointError, match=r"eot\.safetensors.*one_to_one\.ltfgc.*got one of one_to_one\.eot_21"
    ):
        Pruner(foreign_checkpoint)


def test_a_network_that_this_software_lacks_is_refused(tmp_path: Path):
    info = CheckpointInfo("one_to_one.of_tomorrow")
    path = write_checkpoint(tmp_path / "new.safetensors", {"a": torch.zeros(1)}, info)
    with pytest.raises(CheckpointError, match=r"got one of one_to_one\.of_tomorrow"):
        Pruner(path)


def test_weights_of_another_network_under_this_name_are_refused(tmp_path: Path):
    weights = build_network("one_to_one.oanet", blocks=1, clusters=16).state_dict()
    path = write_checkpoint(tmp_path / "x.safetensors", weights, CheckpointInfo("one_to_one.ltfgc"))
    with pytest.raises(CheckpointError, match="do not fit"):
        Pruner(path, cache=tmp_path)


def test_no_file_and_no_sense_are_refused(ratio_pruner: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match="found no file"):
        Pruner(tmp_path / "absent.safetensors")
    for wrong in ({"size": 16}, {"threshold": 1.5}, {"threshold": -0.1}):
        with pytest.raises(ConfigurationError, match="size of 32 or more and a threshold of 0 to 1"):
            Pruner(ratio_pruner, **wrong)


def test_sizes_are_powers_of_two_that_hold_the_features():
    assert [size_for(n) for n in (1, 256, 257, 500, 1500, 2048, 3000)] == [
        256,
        256,
        512,
        512,
        2048,
        2048,
        4096,
    ]
