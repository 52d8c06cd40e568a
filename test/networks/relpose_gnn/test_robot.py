"""The small network: what it compares, what it refuses, that it says an uncertainty."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.relpose_gnn.cell_trunk import CellTrunk
from relpose_ros.networks.relpose_gnn.comparison import CellComparison, attend, cell_centres
from relpose_ros.networks.relpose_gnn.graph_network import LOG_VARIANCE, bounded_log_variance
from relpose_ros.networks.relpose_gnn.robot import RobotRelPoseGNN


def network(**parameters) -> RobotRelPoseGNN:
    torch.manual_seed(0)
    made = RobotRelPoseGNN(**{**RobotRelPoseGNN.small_parameters(), **parameters}).eval()
    torch.nn.init.normal_(made.pose.weight)  # begins at 0, which would make all of these tests pass
    return made


def images(graphs=1, nodes=4, seed=0) -> torch.Tensor:
    return torch.randn(graphs, nodes, 3, 32, 48, generator=torch.Generator().manual_seed(seed))


def test_cached_descriptors_give_the_same_as_images():
    net, given = network(), images(2)
    descriptors = net.features(given.flatten(0, 1)).reshape(2, 4, -1)
    assert descriptors.shape[2] == net.descriptor_size
    found = net.edge_poses(descriptors)
    relative, log_variance, edges = net(given)
    assert torch.equal(found.relative, relative) and torch.equal(found.edges, edges)
    assert torch.equal(found.log_variance, log_variance)


def test_references_may_come_in_any_order():
    """Edges into the query go with their reference."""
    net, given = network(), images()
    order = [0, 3, 1, 2]
    relative, _, edges = net(given)
    turned, _, _ = net(given[:, order])
    into = {int(s): relative[0, k] for k, (s, t) in enumerate(edges[0].T) if t == 0}
    for k, (source, target) in enumerate(edges[0].T):
        if target == 0:
            torch.testing.assert_close(turned[0, k], into[order[int(source)]], rtol=1e-4, atol=1e-5)


def test_it_begins_by_saying_that_nothing_moved():
    torch.manual_seed(0)
    relative, log_variance, _ = RobotRelPoseGNN(**RobotRelPoseGNN.small_parameters())(images())
    assert not relative.any()
    assert log_variance.abs().max() < 0.05


def test_all_but_the_last_nodes_get_a_gradient():
    net = network().train()
    torch.nn.init.normal_(net.uncertainty.weight)
    relative, log_variance, _ = net(images())
    (relative.square().sum() + log_variance.square().sum()).backward()
    assert {n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()} == {
        "trunk.blocks.0.conv1.weight", "trunk.blocks.0.norm1.weight", "trunk.blocks.0.norm1.bias",
        "trunk.blocks.0.conv2.weight", "trunk.blocks.1.conv1.weight", "trunk.blocks.1.norm1.weight",
        "trunk.blocks.1.norm1.bias", "trunk.blocks.1.conv2.weight", "trunk.blocks.2.conv1.weight",
        "trunk.blocks.2.norm1.weight", "trunk.blocks.2.norm1.bias", "trunk.blocks.2.conv2.weight",
    }, "blocks begin as their shortcuts alone"  # fmt: skip


def test_an_image_does_not_depend_on_others_in_training_either():
    trunk = CellTrunk((8, 8, 16, 16), 3, 2).train()
    given = images()[0]
    torch.testing.assert_close(trunk(given)[:1], trunk(given[:1]), rtol=1e-4, atol=1e-5)


def test_a_cell_is_found_where_it_went():
    """One-hot cells that moved by one column: each finds itself, the one that left finds nothing."""
    rows, columns = 2, 4
    comparison = CellComparison(8, 1, 8)
    comparison.scale.data.fill_(5.0)
    centres = cell_centres(rows, columns)
    key = torch.eye(8).reshape(rows, columns, 8)
    moved = torch.zeros_like(key)
    moved[:, 1:] = key[:, :-1]
    value = torch.arange(8.0).reshape(rows, columns, 1)
    target = torch.cat([moved, value], dim=2).reshape(1, 1, 8, 9)
    found = comparison.look_for(key.reshape(1, 1, 8, 8), target, centres)[0, 0]
    stayed = torch.arange(8) % columns < columns - 1
    torch.testing.assert_close(found[stayed, 0], torch.ones(6), atol=1e-3, rtol=0)
    assert found[~stayed, 0].max() < 1e-3
    step = torch.tensor([2 / columns, 0.0])
    torch.testing.assert_close(found[stayed, 1:3], centres[stayed] + step, atol=2e-3, rtol=0)
    torch.testing.assert_close(found[stayed, 4], value.reshape(8)[stayed] + 1, atol=1e-2, rtol=0)


def test_attention_is_a_softmax_whatever_the_widths():
    generator = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(2, n, d, generator=generator) for n, d in ((5, 4), (7, 4), (7, 9)))
    torch.testing.assert_close(attend(q, k, v), torch.softmax(q @ k.transpose(1, 2), -1) @ v)


def test_centres_of_cells():
    assert cell_centres(2, 4).tolist() == [
        [-0.75, -0.25], [-0.25, -0.25], [0.25, -0.25], [0.75, -0.25],
        [-0.75, 0.25], [-0.25, 0.25], [0.25, 0.25], [0.75, 0.25],
    ]  # fmt: skip


def test_log_variances_are_what_was_said_within_bounds():
    low, high = LOG_VARIANCE
    torch.testing.assert_close(bounded_log_variance(torch.tensor([-3.0, 0.0])), torch.tensor([-3.0, 0.0]),
                               atol=0.02, rtol=0)  # fmt: skip
    wild = bounded_log_variance(torch.tensor([-1e4, 1e4]))
    torch.testing.assert_close(wild, torch.tensor([low, high]), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "parameters",
    [{"height": 40}, {"width": 0}, {"channels": [8, 8, 8]}, {"channels": [8, 8, 8, 12]}, {"dimension": 12}],
)
def test_parameters_that_make_no_sense_are_refused(parameters):
    with pytest.raises(ConfigurationError, match="expected"):
        network(**parameters)


def test_larger_cells_are_fewer():
    net = network(height=64, width=96, cell=16)
    assert net.descriptor_size == network().descriptor_size
    assert net.features(torch.zeros(1, 3, 64, 96)).shape == (1, net.descriptor_size)
    with pytest.raises(ConfigurationError, match="8 or 16"):
        network(cell=4)


def test_images_of_another_size_are_refused():
    with pytest.raises(ConfigurationError, match="48x32"):
        network()(torch.zeros(1, 2, 3, 32, 32))
    with pytest.raises(ConfigurationError, match=r"\(B, K, 3, H, W\)"):
        network()(torch.zeros(2, 3, 32, 48))
