"""`relpose test matcher`: contenders on invented pairs, dials set on others, and the files that it leaves."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.cli.main import main
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.registry import build_network
from relpose_training.data.matching_pairs import ImageFeatures, PosedPair, read_pairs, write_pairs
from relpose_training.recipes.matcher.contenders import Iterative, Nearest, OneShot
from relpose_training.recipes.matcher.examination import Examiner, Setting, choose_setting, default_setting
from relpose_training.recipes.matcher.start import start_as_nearest_neighbours
from relpose_training.recipes.matcher.summary import summarise

SIZE = 16


def invented_pair(seed: int, noise: float = 0.05, sizes: bool = True) -> PosedPair:
    """60 points seen by both cameras, 30 by one of them; descriptors differ by `noise`."""
    from scipy.spatial.transform import Rotation

    generator = np.random.default_rng(seed)
    points = generator.uniform((-1.5, -1.2, 3), (1.5, 1.2, 6), (120, 3))
    second_from_first = Rigid(
        Rotation.from_rotvec(generator.uniform(-0.1, 0.1, 3)).as_matrix(), generator.normal(size=3)
    )
    unit = second_from_first.translation / np.linalg.norm(second_from_first.translation)
    moved = points @ second_from_first.rotation.T + 0.5 * unit
    matrix = np.array([[500.0, 0, 319.5], [0, 480.0, 239.5], [0, 0, 1]])
    descriptors = generator.normal(size=(120, SIZE))

    def image(at, seen) -> ImageFeatures:
        pixels = (at[seen] / at[seen, 2:]) @ matrix.T
        described = descriptors[seen] + noise * generator.normal(size=(len(seen), SIZE))
        scores = generator.random((len(seen), 1))
        return ImageFeatures(
            np.hstack([pixels[:, :2], scores]).astype(np.float32), described.astype(np.float32)
        )

    return PosedPair(
        (image(points, np.arange(90)), image(moved, np.r_[0:60, 90:120])),
        (matrix, matrix),
        (f"a{seed}.jpg", f"b{seed}.jpg"),
        Rigid(second_from_first.rotation, unit),
        ((640, 480), (640, 480)) if sizes else None,
    )


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = build_network("imp.adagmn", iterations=5, descriptor_size=SIZE, n_min_tokens=8)
    start_as_nearest_neighbours(made)
    return made.eval()


def test_sizes_survive_the_file_and_are_guessed_where_it_has_none(tmp_path):
    write_pairs(tmp_path / "with.hdf5", [invented_pair(0)])
    write_pairs(tmp_path / "without.hdf5", [invented_pair(0, sizes=False)])
    assert next(read_pairs(tmp_path / "with.hdf5")).sizes == ((640, 480), (640, 480))
    without = next(read_pairs(tmp_path / "without.hdf5"))
    assert without.sizes is None
    assert without.image_sizes == ((640, 480), (640, 480))


@pytest.mark.parametrize("estimator", ["poselib", "magsac", "opencv"])
def test_good_matches_give_good_poses(network, estimator):
    examiner = Examiner(estimator)
    for contender in (Nearest(), OneShot("eimp", network), Iterative("eimp_iterative", network)):
        results = examiner.examine(
            contender, default_setting(contender), [invented_pair(1), invented_pair(2)]
        )
        metrics = summarise(results)
        assert metrics["auc_5"] > 0.9, contender.name
        assert metrics["precision"] > 0.9
        assert 0.4 < metrics["matching_score"] < 0.75, "60 of 90 keypoints have a partner"
        assert metrics["no_pose"] == 0


def test_wrong_matches_are_seen_in_the_table(network):
    """The control: descriptors that say nothing give no pose worth the name."""
    contender = OneShot("eimp", network)
    pairs = [invented_pair(seed, noise=30.0) for seed in range(3)]
    metrics = summarise(Examiner().examine(contender, Setting(0.0, 1.0), pairs))
    assert metrics["auc_10"] < 0.3
    assert metrics["precision"] < 0.3


def test_dials_are_set_by_the_validation_pairs():
    """Descriptors so noisy that a strict ratio leaves too few matches: the choice is a laxer one."""
    contender, examiner = Nearest(settings=(0.3, 0.95)), Examiner()
    pairs = [invented_pair(seed, noise=0.6) for seed in range(4)]
    chosen = choose_setting(examiner, contender, pairs, errors_px=(1.0,))
    assert chosen == Setting(0.95, 1.0)
    scores = [
        summarise(examiner.examine(contender, Setting(dial, 1.0), pairs))["auc_10"] for dial in (0.3, 0.95)
    ]
    assert scores[1] > scores[0]


def test_an_image_without_keypoints_is_a_failure_and_no_crash(network):
    full = invented_pair(0)
    empty = ImageFeatures(np.zeros((0, 3), np.float32), np.zeros((0, SIZE), np.float32))
    pair = PosedPair((full.features[0], empty), full.matrices, full.image_paths, full.second_from_first)
    for contender in (Nearest(), OneShot("eimp", network), Iterative("eimp_iterative", network)):
        result = Examiner().ask(contender, default_setting(contender), pair)
        assert result.matches == 0
        assert np.isinf(result.error_deg)


def test_the_command_from_beginning_to_end(network, tmp_path, capsys):
    checkpoint = tmp_path / "eimp.safetensors"
    parameters = {"iterations": 5, "descriptor_size": SIZE, "n_min_tokens": 8}
    write_checkpoint(checkpoint, network.state_dict(), CheckpointInfo("imp.adagmn", parameters=parameters))
    write_pairs(tmp_path / "test.hdf5", [invented_pair(seed) for seed in range(3)])
    write_pairs(tmp_path / "val.hdf5", [invented_pair(seed) for seed in (7, 8)])
    words = ["--checkpoint", str(checkpoint), "--data", str(tmp_path / "test.hdf5"), "--threshold", "1.5"]
    words += ["--validation", str(tmp_path / "val.hdf5"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["test", "matcher", *words]) == 0
    printed = capsys.readouterr().out
    assert "eimp_iterative" in printed
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert set(found["methods"]) == {"nearest", "eimp", "eimp_iterative"}
    assert found["settings"]["eimp"]["max_error_px"] == 1.5
    assert "val.hdf5" in found["settings"]["nearest"]["chosen"]
    assert len(found["pairs"]["eimp"]) == 3
    assert (tmp_path / "out/errors.png").stat().st_size > 1000


def test_what_is_no_matcher_is_refused(tmp_path, capsys):
    from relpose_ros.networks.registry import build_network as build

    network = build("one_to_one.ltfgc", blocks=1)
    path = write_checkpoint(
        tmp_path / "other.safetensors",
        network.state_dict(),
        CheckpointInfo("one_to_one.ltfgc", parameters={"blocks": 1}),
    )
    write_pairs(tmp_path / "test.hdf5", [invented_pair(0)])
    words = ["--checkpoint", str(path), "--data", str(tmp_path / "test.hdf5"), "--out", str(tmp_path / "out")]
    assert main(["test", "matcher", *words]) != 0
    assert "expected a matcher (imp.*), got one_to_one.ltfgc" in capsys.readouterr().err
