"""Published containers of every system become checkpoints that load with nothing missing and nothing left."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import load_network, read_info
from relpose_ros.checkpoints.importing import ImportOptions, import_checkpoint
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.one_to_one.oanet_keys import to_original
from relpose_ros.networks.registry import build_network


def weights(name, **parameters):
    torch.manual_seed(1)
    return build_network(name, **parameters).state_dict()


def parallel(state):
    return {f"module.{key}": value for key, value in state.items()}


CONTAINERS = {
    "openibl": ("model_best.pth.tar", "retrieval.netvlad_vgg16", {},
                lambda s: {"state_dict": parallel(s), "epoch": 4, "best_recall5": np.float64(0.9)}),
    "pytorch-netvlad": ("netvlad_vgg16.tar", "retrieval.netvlad_vgg16_relu", {}, lambda s: {"state_dict": s}),
    "relpose-gnn": ("relpose_gnn__multi_39.pth.tar", "relpose_gnn.release", {"dimension": 32},
                    lambda s: {"epoch": 39, "model_state_dict": s, "optim_state_dict": {"state": {}},
                               "criterion_state_dict": {"sax": torch.zeros(1), "saq": torch.zeros(1)}}),
    "imp": ("eimp_sift.pth", "imp.adagmn_sift", {}, lambda s: {"epoch": 1, "iteration": 2, "model": s,
                                                               "min_loss": 0.5}),
    "one-to-one": ("model.pth.tar", "one_to_one.oanet_iter", {},
                   lambda s: {"epoch": 0, "chunk": 1, "model_state_dict": s,
                              "success_checkpoint": np.zeros((2, 3, 2, 4))}),
    "oanet": ("model_best.pth", "one_to_one.oanet_iter", {},
              lambda s: {"epoch": 9, "state_dict": to_original(s), "optimizer": {"state": {}}}),
    "dsacstar": ("chess.net", "scene_coordinates.dsacstar_tiny", {}, lambda s: s),
    "transpose": ("model.net", "scene_coordinates.coord_tiny", {}, lambda s: s),
    "crossloc": ("model.net", "scene_coordinates.coord_tiny", {}, parallel),
    "kfnet": ("scoordnet.pth", "scene_coordinates.scoordnet", {}, lambda s: s),
}  # fmt: skip


@pytest.mark.parametrize("system", CONTAINERS)
def test_a_published_container_is_imported(system, tmp_path):
    file, name, parameters, wrap = CONTAINERS[system]
    state = weights(name, **parameters)
    torch.save(wrap(state), tmp_path / file)
    info = import_checkpoint(system, [tmp_path / file], tmp_path / "out.safetensors")
    assert info == read_info(tmp_path / "out.safetensors")
    assert info.network == name and file in info.origin and "sha256:" in info.origin
    assert info.licence != "not stated"
    network, _ = load_network(tmp_path / "out.safetensors")
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_matching_networks_that_cannot_be_told_apart_are_asked_for(tmp_path):
    torch.save(weights("imp.dgnns_sift"), tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match=r"imp\.dgnns.*imp\.adagmn.*--network"):
        import_checkpoint("imp", [tmp_path / "mine.pth"], tmp_path / "out.safetensors")
    options = ImportOptions(network="imp.adagmn_sift", parameters={"sinkhorn_iterations": 9}, licence="mine")
    info = import_checkpoint("imp", [tmp_path / "mine.pth"], tmp_path / "out.safetensors", options)
    assert (info.network, info.licence) == ("imp.adagmn_sift", "mine")
    assert info.parameters["sinkhorn_iterations"] == 9


@pytest.mark.parametrize("named", [None, "scene_coordinates.dsacstar_tiny"])
def test_what_is_missing_or_unexpected_is_said_and_nothing_is_written(tmp_path, named):
    state = weights("scene_coordinates.dsacstar_tiny")
    del state["fc3.bias"]
    state["fc4.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "broken.net")
    with pytest.raises(CheckpointError, match=r"1 missing: fc3\.bias; 1 unexpected: fc4\.bias"):
        import_checkpoint(
            "dsacstar", [tmp_path / "broken.net"], tmp_path / "out.safetensors", ImportOptions(network=named)
        )
    assert not (tmp_path / "out.safetensors").exists()


UNUSABLE = {
    "not a number": lambda v: torch.full_like(v, float("nan")),
    "sparse": lambda v: v.to_sparse(),
    "without data": lambda v: v.to("meta"),
    "of one number repeated": lambda v: torch.zeros(1).expand(v.shape),
    "nested": lambda v: torch.nested.nested_tensor([v, v]),
}


@pytest.mark.parametrize("change", UNUSABLE.values(), ids=UNUSABLE)
def test_tensors_that_are_no_dense_finite_numbers_are_refused(tmp_path, change):
    state = weights("scene_coordinates.dsacstar_tiny")
    torch.save({**state, "fc3.bias": change(state["fc3.bias"])}, tmp_path / "x.net")
    with pytest.raises(CheckpointError, match=r"expected dense tensors of finite numbers.*fc3\.bias"):
        import_checkpoint("dsacstar", [tmp_path / "x.net"], tmp_path / "out.safetensors")


def test_integers_as_weights_are_refused(tmp_path):
    state = {k: v.long() for k, v in weights("scene_coordinates.dsacstar_tiny").items()}
    torch.save(state, tmp_path / "x.net")
    with pytest.raises(CheckpointError, match="33 tensors of another kind"):
        import_checkpoint("dsacstar", [tmp_path / "x.net"], tmp_path / "out.safetensors")


@pytest.mark.parametrize("shape", [(), (0,), (1,), (0, 0, 0, 0), (2, 3, 4, 5)], ids=str)
@pytest.mark.parametrize(
    ("system", "network"),
    [
        ("openibl", "retrieval.netvlad_vgg16"),
        ("relpose-gnn", "relpose_gnn.release"),
        ("imp", "imp.dgnns"),
        ("one-to-one", "one_to_one.oanet_iter"),
        ("one-to-one", "one_to_one.eot_21"),
        ("one-to-one", "one_to_one.cnn_0"),
        ("oanet", "one_to_one.oanet"),
    ],
)
def test_right_names_with_absurd_shapes_are_refused(tmp_path, system, network, shape):
    with torch.device("meta"):
        names = list(build_network(network).state_dict())
    if system == "oanet":
        names = ["weights_init.conv1.weight", "weights_iter.0.conv1.weight"]
    torch.save({name: torch.zeros(shape) for name in names}, tmp_path / "x.pth")
    for named in (None, network):
        with pytest.raises((CheckpointError, ConfigurationError)):
            import_checkpoint(
                system, [tmp_path / "x.pth"], tmp_path / "o.safetensors", ImportOptions(network=named)
            )
    assert not (tmp_path / "o.safetensors").exists()


def test_parameters_that_do_not_fit_the_tensors_are_refused(tmp_path):
    torch.save(weights("scene_coordinates.dsacstar_tiny"), tmp_path / "x.net")
    for parameters, error in (({"tiny": False}, CheckpointError), ({"colour": 1}, ConfigurationError)):
        with pytest.raises(error):
            import_checkpoint(
                "dsacstar",
                [tmp_path / "x.net"],
                tmp_path / "out.safetensors",
                ImportOptions(parameters=parameters),
            )
    assert not (tmp_path / "out.safetensors").exists()


def test_a_dict_that_holds_itself_is_refused(tmp_path):
    content: dict = {}
    content["state_dict"] = content
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="expected a state dict"):
        import_checkpoint("imp", [tmp_path / "x.pth"], tmp_path / "out.safetensors")


@pytest.mark.parametrize("lams", [np.ones(5), -np.ones(6)], ids=["too few", "negative"])
def test_a_pca_that_contradicts_itself_is_refused(tmp_path, small_retriever, pca_file, lams):
    torch.save(small_retriever, tmp_path / "model.pth")
    with h5py.File(pca_file, "a") as file:
        del file["lams"]
        file["lams"] = lams
    with pytest.raises(CheckpointError, match="expected a PCA"):
        import_checkpoint("openibl", [tmp_path / "model.pth", pca_file], tmp_path / "o.safetensors")


def test_an_unknown_system_or_network_is_said(tmp_path):
    torch.save({"w": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(ConfigurationError, match="unknown system 'superglue'"):
        import_checkpoint("superglue", [tmp_path / "x.pth"], tmp_path / "out.safetensors")
    with pytest.raises(ConfigurationError, match="is no network of imp"):
        import_checkpoint(
            "imp", [tmp_path / "x.pth"], tmp_path / "o.safetensors", ImportOptions("one_to_one.oanet")
        )
    with pytest.raises(ConfigurationError, match="unknown network"):
        import_checkpoint(
            "imp", [tmp_path / "x.pth"], tmp_path / "out.safetensors", ImportOptions(network="imp.x")
        )


@pytest.mark.parametrize("content", [{}, {"epoch": 3}, [1, 2], {"weights": {"a": "text"}}])
def test_a_file_without_weights_says_what_it_has(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="expected a state dict"):
        import_checkpoint("imp", [tmp_path / "x.pth"], tmp_path / "out.safetensors")


@pytest.fixture(scope="module")
def small_retriever():
    return weights("retrieval.netvlad_vgg16", channels=[8, 8, 16, 16, 32], clusters=4)


@pytest.fixture
def trunk_file(tmp_path, small_retriever):
    """As converted from MatConvNet: bare layer numbers."""
    prefix = "base_model.base."
    trunk = {k.removeprefix(prefix): v for k, v in small_retriever.items() if k.startswith(prefix)}
    torch.save(trunk, tmp_path / "vd16_offtheshelf_conv5_3_max.pth")
    return tmp_path / "vd16_offtheshelf_conv5_3_max.pth"


@pytest.fixture
def centres_file(tmp_path):
    generator = np.random.default_rng(0)
    with h5py.File(tmp_path / "vgg16_pitts_4_desc_cen.hdf5", "w") as file:
        centres = generator.standard_normal((4, 32)).astype(np.float32)
        file["centroids"] = centres
        file["descriptors"] = (
            np.repeat(centres, 5, axis=0) / np.linalg.norm(centres, axis=1).repeat(5)[:, None]
        )
    return tmp_path / "vgg16_pitts_4_desc_cen.hdf5"


@pytest.fixture
def pca_file(tmp_path):
    generator = np.random.default_rng(1)
    basis = np.linalg.qr(generator.standard_normal((128, 6)))[0]
    mean = generator.standard_normal((128, 1))
    with h5py.File(tmp_path / "pca_params_model_best.h5", "w") as file:
        file["U"], file["mu"] = basis.astype(np.float32), mean.astype(np.float32)
        file["lams"], file["Utmu"] = (
            np.arange(6, 0, -1, dtype=np.float32),
            (basis.T @ mean).astype(np.float32),
        )
    return tmp_path / "pca_params_model_best.h5"


def test_a_trunk_and_cluster_centres_become_an_initial_netvlad(tmp_path, trunk_file, centres_file):
    out = tmp_path / "initial.safetensors"
    info = import_checkpoint("openibl", [centres_file, trunk_file], out)
    assert info.network == "retrieval.netvlad_vgg16"
    network, _ = load_network(out)
    with h5py.File(centres_file) as file:
        np.testing.assert_allclose(network.state_dict()["net_vlad.centroids"], file["centroids"][()])


def test_a_trunk_alone_becomes_the_max_pooling_network(tmp_path, trunk_file):
    assert import_checkpoint("openibl", [trunk_file], tmp_path / "o.safetensors").network.startswith(
        "retrieval.max_pool"
    )


def test_a_model_and_its_pca_become_the_one_step_model(tmp_path, small_retriever, pca_file):
    torch.save({"state_dict": parallel(small_retriever)}, tmp_path / "model_best.pth.tar")
    out = tmp_path / "white.safetensors"
    info = import_checkpoint("openibl", [tmp_path / "model_best.pth.tar", pca_file], out)
    assert info.network.startswith("retrieval.netvlad_vgg16_pca")
    network, _ = load_network(out)
    plain = build_network("retrieval.netvlad_vgg16", channels=[8, 8, 16, 16, 32], clusters=4).eval()
    plain.load_state_dict(small_retriever)
    images = plain.example_inputs(2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        descriptor, vlad = network(*images)[0].numpy(), plain(*images)[1].numpy().astype(np.float64)
    with h5py.File(pca_file) as file:
        basis, lams, mean = (file[k][()].astype(np.float64) for k in ("U", "lams", "mu"))
    white = ((vlad - mean.T) @ basis) / np.sqrt(lams)
    np.testing.assert_allclose(descriptor, white / np.linalg.norm(white, axis=1, keepdims=True), atol=2e-5)


def test_parts_that_make_no_network_are_refused(tmp_path, pca_file, centres_file):
    for files in ([pca_file], [centres_file], [pca_file, centres_file]):
        with pytest.raises(CheckpointError, match="cannot make a network of"):
            import_checkpoint("openibl", files, tmp_path / "o.safetensors")


def test_two_files_are_refused_where_weights_are_one(tmp_path, pca_file):
    with pytest.raises(CheckpointError, match="one file, got 2"):
        import_checkpoint("imp", [pca_file, pca_file], tmp_path / "o.safetensors")
