"""A matcher's iterations in ONNX Runtime: what torch says, and torch where they cannot be had."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_matchers import SIZE, drawn_checkpoint, invented  # type: ignore[import-not-found]

from relpose_ros.cli.main import main
from relpose_ros.errors import ConfigurationError, DependencyError
from relpose_ros.features.graph_matching import GraphMatcher, MatchedImage
from relpose_ros.features.onnx_iterations import OnnxIterations, export_iterations
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions
from relpose_ros.geometry.two_view import robust_estimator
from relpose_ros.networks.imp.state import MatchingState


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EIMP of five iterations whose layers do something, and which soon takes keypoints out."""
    path = tmp_path_factory.mktemp("drawn") / "net.safetensors"
    return drawn_checkpoint(path, "imp.adagmn", n_min_tokens=20)


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphMatcher]:
    """The matcher in ONNX Runtime; its files are in the cache as long as the fixture lives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield GraphMatcher(checkpoint, backend="onnxruntime")


def test_matches_are_those_of_torch_with_keypoints_taken_out_between_the_pieces(exported, checkpoint):
    plain = GraphMatcher(checkpoint, backend="torch")
    query, references = invented(200, 120, 1), [invented(n, 100, n) for n in (180, 150, 180)]
    for ours, theirs in zip(exported.match(query, references), plain.match(query, references), strict=True):
        assert len(ours.pairs) > 50
        np.testing.assert_array_equal(ours.pairs, theirs.pairs)
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)


def test_the_loop_with_the_pose_is_that_of_torch(exported, checkpoint, point_world):
    pose, camera = point_world.pose(0.0, 0.0, 2.0), point_world.camera
    moved = Rigid.from_rotation_vector([0, 0.1, 0], [0.6, 0.0, 0.2])
    sides = [point_world.features(p, seed=i) for i, p in enumerate((pose, pose @ moved))]
    first, second = (MatchedImage(f.keypoints, f.descriptors, SIZE) for f in sides)
    estimate = robust_estimator(camera, camera, RansacOptions(1.5, 50, 1000, 0))
    ours, theirs = (
        matcher.match_until_posed(first, second, estimate)
        for matcher in (exported, GraphMatcher(checkpoint, backend="torch"))
    )
    assert (ours.matches, ours.iterations) == (theirs.matches, theirs.iterations)
    np.testing.assert_array_equal(ours.pairs, theirs.pairs)


@pytest.mark.parametrize(("pairs", "first", "second"), [(1, 1, 2), (3, 40, 25), (2, 300, 300)])
def test_a_piece_takes_any_number_of_pairs_and_keypoints(exported, checkpoint, pairs, first, second):
    iterations = OnnxIterations(exported.network, checkpoint, 5, threads=1)
    generator = torch.Generator().manual_seed(first)
    descriptors = [torch.randn(pairs, 64, n, generator=generator) for n in (first, second)]
    with torch.inference_mode():
        ours, theirs = (do(MatchingState(*descriptors), 4) for do in (iterations, exported.network.advance))
        assert ours.iteration == theirs.iteration == 4
        chosen = [exported.network.mask(s, exported.network.scores(s)) for s in (ours, theirs)]
    torch.testing.assert_close(ours.descriptors0, theirs.descriptors0, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.descriptors1, theirs.descriptors1, rtol=1e-4, atol=1e-4)
    assert torch.equal(chosen[0].keep0, chosen[1].keep0) and torch.equal(chosen[0].keep1, chosen[1].keep1)


def test_files_are_made_once_and_shorter_dials_share_their_beginning(exported, checkpoint, monkeypatch):
    network = exported.network
    whole, short = export_iterations(network, checkpoint, 5), export_iterations(network, checkpoint, 4)
    assert len(whole) == 2 and short == whole[:1]
    monkeypatch.setattr("relpose_ros.networks.export.export_onnx", pytest.fail)
    export_iterations(network, checkpoint, 5)


def test_the_command_says_where_the_files_are(exported, checkpoint, capsys):
    assert main(["checkpoint", "export", str(checkpoint)]) == 0
    said = capsys.readouterr().out
    assert "iterations 1 to 4: " in said and "iterations 5 to 5: " in said
    files = export_iterations(exported.network, checkpoint, 5)
    assert all(str(path) in said for path in files)


def test_by_itself_it_is_onnx_runtime_where_the_files_are(exported, checkpoint, tmp_path, monkeypatch):
    assert isinstance(GraphMatcher(checkpoint)._advance, OnnxIterations)
    with monkeypatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        made = GraphMatcher(checkpoint)
        assert made._advance == made.network.advance
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name)
    )
    made = GraphMatcher(checkpoint)
    assert made._advance == made.network.advance
    with pytest.raises(DependencyError, match="it is not installed"):
        GraphMatcher(checkpoint, backend="onnxruntime")


def test_what_it_does_not_have_is_refused(exported, checkpoint):
    with pytest.raises(ConfigurationError, match="unknown backend 'tpu'"):
        GraphMatcher(checkpoint, backend="tpu")
    nothing = MatchingState(torch.zeros(1, 64, 3), torch.zeros(1, 64, 3))
    with pytest.raises(ConfigurationError, match=r"expected iterations .*got those of \(0, 2\)"):
        exported._advance(nothing, 2)
