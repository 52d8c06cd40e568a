"""The one-to-one networks: what they see, what they must not see, and what they refuse."""

from __future__ import annotations

import onnxruntime
import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.export import export_onnx
from relpose_ros.networks.one_to_one.candidates import SMALL, WidthReduction, nearest_order
from relpose_ros.networks.one_to_one.cnn import OneToOneCNN
from relpose_ros.networks.one_to_one.eot import EOT
from relpose_ros.networks.one_to_one.experiments import cnn_parameters, eot_parameters

NETWORKS = {
    "cnn": OneToOneCNN(SMALL),
    "nearest": OneToOneCNN(SMALL, nearest_first=True),
    "eot": EOT(SMALL),
    "eot, two poolings": EOT(SMALL, pointwise=2, second_pooling=True),
}
every = pytest.mark.parametrize("name", NETWORKS)


def pair(batch=2, candidates=6):
    generator = torch.Generator().manual_seed(3)
    context = torch.rand(batch, 16, 6, generator=generator, dtype=torch.float64) - 0.5
    return context, context[:, :candidates].clone()


def network(name):
    return NETWORKS[name].double().eval()


@every
def test_the_order_of_candidates_is_the_order_of_logits(name):
    context, candidates = pair()
    turned = candidates.flip(1)
    with torch.no_grad():
        torch.testing.assert_close(
            network(name)(context, turned)[0], network(name)(context, candidates)[0].flip(1)
        )


@every
def test_train_and_eval_are_the_same(name):
    context, candidates = pair()
    with torch.no_grad():
        evaluated = network(name).eval()(context, candidates)[0]
        assert torch.equal(network(name).train()(context, candidates)[0], evaluated)


@every
def test_a_logit_depends_on_the_other_candidates(name):
    context, candidates = pair()
    with torch.no_grad():
        all_of_them = network(name)(context, candidates)[0]
        fewer = network(name)(context, candidates[:, :3])[0]
    assert (all_of_them[:, :3] - fewer).abs().max() > 1e-6


def test_only_eot_and_the_sorted_network_do_not_mind_the_order_of_the_context():
    context, candidates = pair()
    turned = context.flip(1)
    moved = {}
    for name in NETWORKS:
        with torch.no_grad():
            before, after = (network(name)(c, candidates)[0] for c in (context, turned))
        moved[name] = float((before - after).abs().max()) > 1e-9
    assert moved == {"cnn": True, "nearest": False, "eot": False, "eot, two poolings": False}


def test_the_first_layer_is_the_convolution_of_the_published_input():
    context, candidates = pair(batch=1)
    layer = WidthReduction(5, 6, "conv2d").double()
    features = layer(context, candidates)[0]
    repeated = torch.stack([context[0].expand(6, -1, -1), candidates[0, :, None].expand(-1, 16, -1)], dim=1)
    normalised = torch.nn.functional.batch_norm(
        layer.get_submodule("conv2d")(repeated), None, None, layer.norm.weight, layer.norm.bias, training=True
    )
    torch.testing.assert_close(features.permute(2, 0, 1), torch.relu(normalised)[..., 0])


def test_nearest_order_is_by_distance_in_the_first_image():
    context = torch.zeros(1, 3, 6)
    context[0, :, 0] = torch.tensor([3.0, 0.0, 1.0])
    context[0, :, 2] = torch.tensor([0.0, 9.0, 5.0])  # the second image does not count
    order = nearest_order(context, context[:, 2:3])
    assert order[0, :, 0].tolist() == [2, 1, 0]


class Order(Network):
    input_names, output_names = ("context", "candidates"), ("order",)

    def forward(self, context, candidates):
        return (nearest_order(context, candidates),)


def test_of_equally_near_ones_the_first_comes_first_in_onnx_too(tmp_path):
    context = torch.randint(5, (2, 500, 6), generator=torch.Generator().manual_seed(1)).float()
    inputs = (context, context[:, :4].clone())
    path = export_onnx(Order(), inputs, tmp_path / "order.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"context": inputs[0].numpy(), "candidates": inputs[1].numpy()})
    assert (found == nearest_order(*inputs).numpy()).all()


@every
def test_all_parameters_learn(name):
    context, candidates = pair()
    copy = network(name).train()
    copy.zero_grad()
    copy(context, candidates)[0].square().sum().backward()
    # What precedes a last normalisation over one height, or a softmax over one point, may have none.
    silent = [n for n, p in copy.named_parameters() if p.grad is None]
    assert not silent


@every
@pytest.mark.parametrize(
    "shapes",
    [((2, 15, 6), (2, 4, 6)), ((2, 16, 4), (2, 4, 4)), ((2, 16, 6), (2, 1, 6)), ((2, 16, 6), (3, 4, 6))],
)
def test_wrong_shapes_are_refused(name, shapes):
    with pytest.raises(ConfigurationError, match="expected context"):
        network(name)(*(torch.zeros(s, dtype=torch.float64) for s in shapes))


@pytest.mark.parametrize("arguments", [{"channels": [8], "width": 6}, {"channels": [8, 8], "width": 5}])
def test_wrong_sizes_are_refused(arguments):
    with pytest.raises(ConfigurationError, match="expected width 4 or 6"):
        OneToOneCNN(**arguments)


def test_experiments():
    assert eot_parameters(21) == {
        "channels": [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072],
        "pointwise": 1,
        "second_pooling": False,
    }
    assert eot_parameters(28)["pointwise"] == 2 and eot_parameters(28)["second_pooling"]
    assert cnn_parameters(0, 512)["channels"][-1] == 2432
    for wrong in (4, 24, 99):
        with pytest.raises(ConfigurationError, match="unknown"):
            eot_parameters(wrong)
    with pytest.raises(ConfigurationError, match="unknown"):
        cnn_parameters(0, 500)
