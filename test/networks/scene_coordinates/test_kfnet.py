"""KFNet: padding as TensorFlow's, the filter's algebra, and cells that the last frame did not see."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.networks.scene_coordinates.kalman import fuse, gate, normalised_innovation
from relpose_ros.networks.scene_coordinates.kfnet import UNSEEN_SCALE, KfNet, sample_cells
from relpose_ros.networks.scene_coordinates.oflownet import WINDOW, SameTransposed, cost_volume
from relpose_ros.networks.scene_coordinates.scoordnet import SameConvolution


def test_stride_two_pads_after_and_not_before():
    layer = SameConvolution(1, 1, 3, 2, bias=False)
    torch.nn.init.zeros_(layer.weight)
    layer.weight.data[0, 0, 0, 0] = 1.0  # the first tap reads the first pixel, unpadded
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    torch.testing.assert_close(layer(image)[0, 0], image[0, 0, ::2, ::2])


@pytest.mark.parametrize("size", [5, 6, 7, 8])
def test_same_convolutions_give_the_rounded_up_half_and_back_the_double(size):
    image = torch.zeros(1, 1, size, size)
    assert SameConvolution(1, 1, 3, 2)(image).shape[2] == -(-size // 2)
    assert SameTransposed(1, 1, 3, 2)(image).shape[2] == 2 * size


def test_the_cost_volume_is_zero_where_a_cell_meets_itself():
    features = torch.randn(2, 5, 6, 7)
    volume = cost_volume(features, features).reshape(2, 6, 7, 5, WINDOW, WINDOW)
    assert volume[..., WINDOW // 2, WINDOW // 2].abs().max() == 0
    # A row down in the window is a row down in the last frame; outside counts as zero.
    expected = features[:, :, :-1] - features[:, :, 1:]
    torch.testing.assert_close(volume[:, :-1, :, :, 5, 4], expected.permute(0, 2, 3, 1))
    torch.testing.assert_close(volume[:, -1, :, :, 5, 4], features[:, :, -1].permute(0, 2, 1))


def test_fusing_is_the_product_of_two_gaussians():
    a, b = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2)
    s, r = 0.1 + torch.rand(1, 1, 2, 2), 0.1 + torch.rand(1, 1, 2, 2)
    coordinates, scale = fuse(a, s, b, r)
    precision = s**-2 + r**-2
    torch.testing.assert_close(scale, precision**-0.5)
    torch.testing.assert_close(coordinates, (a * s**-2 + b * r**-2) / precision)


def test_the_gate_takes_the_measurement_where_the_prediction_contradicts_it():
    near, far = torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), 5.0)
    one = torch.ones(1, 1, 1, 1)
    for predicted, taken in ((near, "fused"), (far, "measured")):
        fused, _ = fuse(predicted, one, near, one)
        out = gate(normalised_innovation(predicted, one, near, one), fused, near)
        assert torch.equal(out, {"fused": fused, "measured": near}[taken])


def test_flow_carries_coordinates_and_says_what_left_the_image():
    cells = torch.arange(12.0).reshape(1, 1, 3, 4)
    flow = torch.zeros(1, 2, 3, 4)
    flow[:, 0] = 0.5
    values, seen = sample_cells(cells, flow)
    torch.testing.assert_close(values[..., :3], cells[..., :3] + 0.5)
    assert seen[..., :3].all() and not seen[..., 3].any()


@pytest.mark.parametrize("compat", [False, True])
def test_what_the_last_frame_did_not_see_is_measured_anew(compat):
    network = KfNet(compat=compat, width=8).eval()
    inward = torch.full((1, 2, 3, 4), -10.0)
    small = torch.full((1, 1, 3, 4), 0.01)
    last = torch.ones(1, 3, 3, 4)
    predicted, scale = network.predict(inward, small, last, small)
    measured = torch.full((1, 3, 3, 4), 7.0)
    fused, fused_scale = fuse(predicted, scale, measured, torch.ones(1, 1, 3, 4))
    if compat:  # sure of the origin, to a centimetre
        assert predicted.abs().max() == 0 and scale.max() == pytest.approx(0.01)
        assert fused.max() < 0.01
    else:
        assert scale.min() == UNSEEN_SCALE
        torch.testing.assert_close(fused, measured)
        torch.testing.assert_close(fused_scale, torch.ones_like(fused_scale))
