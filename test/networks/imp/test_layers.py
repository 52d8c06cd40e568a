"""Normalisation, attention and the keypoint encoder, each alone."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.imp.attention import MultiHeadAttention, join_heads, split_heads
from relpose_ros.networks.imp.keypoint_encoder import KeypointEncoder
from relpose_ros.networks.imp.keypoint_normalisation import normalise_keypoints
from relpose_ros.networks.imp.layers import InstanceNorm, activation_layer, norm_layer


def random(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_instance_norm_is_torchs():
    x = 5 + 3 * random(2, 6, 40)
    torch.testing.assert_close(InstanceNorm()(x), torch.nn.InstanceNorm1d(6, eps=1e-3)(x))


def test_instance_norm_of_one_point_is_zero():
    assert torch.equal(InstanceNorm()(random(2, 6, 1)), torch.zeros(2, 6, 1, dtype=torch.float64))


def test_instance_norm_is_float32_under_autocast():
    x = 300 + random(1, 4, 64).float()
    with torch.autocast("cpu", torch.bfloat16):
        assert InstanceNorm()(x.bfloat16()).dtype == torch.float32
        torch.testing.assert_close(InstanceNorm()(x), InstanceNorm()(x - 300), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda kind: norm_layer(kind, 3), "ln", "'in' or 'bn', got 'ln'"),
        (activation_layer, "swish", "'relu', 'gelu' or 'lrelu', got 'swish'"),
    ],
)
def test_an_unknown_layer_is_refused(make, kind, said):
    with pytest.raises(ConfigurationError, match=said):
        make(kind)


def test_leaky_slope():
    assert activation_layer("lrelu")(torch.tensor(-2.0)) == pytest.approx(-0.2)


def test_channel_c_belongs_to_head_c_mod_4():
    channels = torch.arange(12.0).reshape(1, 12, 1).expand(1, 12, 5)
    heads = split_heads(channels)
    assert heads.shape == (1, 4, 5, 3)
    assert heads[0, 1, 0].tolist() == [1, 5, 9]
    assert torch.equal(join_heads(heads), channels)


@pytest.fixture
def attention() -> MultiHeadAttention:
    torch.manual_seed(1)
    return MultiHeadAttention(16).double()


def test_the_fused_kernel_gives_the_same_message(attention):
    x, source = random(2, 16, 7), random(2, 16, 9, seed=4)
    keep = torch.ones(2, 9, dtype=torch.bool)
    keep[1, [0, 3]] = False
    for mask in (None, keep):
        fused, nothing = attention(x, source, mask, with_probabilities=False)
        explicit, probabilities = attention(x, source, mask, with_probabilities=True)
        assert nothing is None and probabilities.shape == (2, 4, 7, 9)
        torch.testing.assert_close(fused, explicit)


def test_masked_points_get_no_attention(attention):
    x, source = random(1, 16, 7), random(1, 16, 9, seed=4)
    keep = torch.ones(1, 9, dtype=torch.bool)
    keep[0, [2, 8]] = False
    message, probabilities = attention(x, source, keep, with_probabilities=True)
    assert (probabilities[..., ~keep[0]] == 0).all()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(1, 4, 7, dtype=torch.float64))
    without, _ = attention(x, source[:, :, keep[0]], None, with_probabilities=True)
    torch.testing.assert_close(message, without)


def test_the_encoder_ends_without_bias():
    encoder = KeypointEncoder(32, "in", "relu")
    assert (encoder.encoder[12].bias == 0).all()
    assert encoder(torch.rand(2, 9, 2), torch.rand(2, 9)).shape == (2, 32, 9)


def test_keypoints_are_centred_on_the_longest_side():
    corners = torch.tensor([[0.0, 0.0], [640.0, 480.0], [320.0, 240.0]])
    found = normalise_keypoints(corners, (640, 480))
    expected = torch.tensor([[-320.0, -240.0], [320.0, 240.0], [0.0, 0.0]]) / 448
    torch.testing.assert_close(found, expected)
    upright = normalise_keypoints(corners.flip(1), (480, 640))
    torch.testing.assert_close(upright, expected.flip(1))


def test_training_keypoints_are_half_a_pixel_off():
    keypoints = torch.tensor([[100.0, 50.0]])
    difference = normalise_keypoints(keypoints, (640, 480)) - normalise_keypoints(keypoints, (640, 480), True)
    torch.testing.assert_close(difference, torch.full((1, 2), 0.5 / 448))


def test_the_misread_layout_is_only_there_on_request():
    keypoints = torch.tensor([[100.0, 50.0]])
    found = normalise_keypoints(keypoints, (640, 480), layout_bug_compat=True)
    torch.testing.assert_close(found, torch.tensor([[98.5, 50.0 - 320.0]]) / 448)


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (33, 65), (300, 517)])
def test_attention_without_gradients_is_that_with_them(queries, keys):
    """Without, its probabilities are written over the logits."""
    torch.manual_seed(0)
    attention, x, source = MultiHeadAttention(16), torch.randn(2, 16, queries), torch.randn(2, 16, keys)
    expected = attention(x, source, None, True)
    with torch.inference_mode():
        found = attention(x, source, None, True)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-6, atol=1e-6)
