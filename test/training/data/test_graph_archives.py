"""Published graphs and frame lists: read without their classes, and hostile ones not at all."""

from __future__ import annotations

import io
import os
import pickle
import sys
import tarfile
import types

import cv2
import numpy as np
import pytest
import torch

from relpose_ros.datasets.colour_statistics import SEVEN_SCENES
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.pose_vectors import PoseVectors
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.graph_archives import Archive, holds_graphs, read_graph
from relpose_training.data.graph_conversion import convert_graphs
from relpose_training.data.graph_dataset import GraphScenes, read_graphs
from relpose_training.data.graph_frames import FramesSequence, holds_frames, read_frames
from relpose_training.data.graphs import GraphOptions

WIDE = 20
NODES = [[0, 1, 2, 3], [4, 2, 0, 5], [5, 3, 1, 2]]
"""Which of six images each of three graphs has."""


class Pictures:
    """Six images and poses, and graphs of them as the authors wrote them."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (6, 256, WIDE, 3)).astype(np.uint8)
        self.poses = Rigid.from_rotation_vector(rng.normal(0, 0.5, (6, 3)), rng.normal(0, 2, (6, 3)))
        heads = SEVEN_SCENES["heads"]
        planes = np.stack([heads.normalise(np.ascontiguousarray(image[..., ::-1])) for image in self.pixels])
        vectors = PoseVectors().write(self.poses).astype(np.float32)
        self.graphs = [(planes[nodes].reshape(4, -1), vectors[nodes]) for nodes in NODES]


PICTURES = Pictures()


@pytest.fixture
def geometric(monkeypatch):
    """Stand-ins for torch_geometric's classes, pickled as versions 1 and 2 do; gone when a file is read."""

    def save(x, y, old=False):
        data = types.ModuleType("torch_geometric.data.data")
        storage = types.ModuleType("torch_geometric.data.storage")
        kinds = {}
        for module, name in ((data, "Data"), (storage, "GlobalStorage")):
            kinds[name] = type(name, (), {"__module__": module.__name__})
            setattr(module, name, kinds[name])
        packages = {"torch_geometric": types.ModuleType("torch_geometric"),
                    "torch_geometric.data": types.ModuleType("torch_geometric.data")}  # fmt: skip
        fields = {"x": torch.from_numpy(x), "y": torch.from_numpy(y),
                  "edge_index": torch.zeros(2, 56, dtype=torch.int64), "edge_attr": None}  # fmt: skip
        graph = kinds["Data"]()
        if old:
            vars(graph).update(fields, pos=None)
        else:
            store = kinds["GlobalStorage"]()
            vars(store).update(_mapping=fields, _parent=graph)
            vars(graph).update(_store=store)
        out = io.BytesIO()
        with monkeypatch.context() as patched:
            for name, module in {**packages, data.__name__: data, storage.__name__: storage}.items():
                patched.setitem(sys.modules, name, module)
            torch.save(graph, out)
        assert "torch_geometric" not in sys.modules
        return out.getvalue()

    return save


@pytest.fixture
def archive(tmp_path, geometric):
    folder = tmp_path / "heads_fc8_sp5_test" / "processed"
    folder.mkdir(parents=True)
    for number, (x, y) in enumerate(PICTURES.graphs):
        (folder / f"data_{number:06d}.pt").write_bytes(geometric(x, y))
    (folder / "pre_filter.pt").write_bytes(b"nothing that is read")
    return folder.parent


@pytest.mark.parametrize("old", [True, False])
def test_a_graph_of_either_version(geometric, old):
    x, y = PICTURES.graphs[1]
    graph = read_graph(geometric(x, y, old), "a/data_000012.pt")
    assert graph.number == 12 and graph.images.shape == (4, 3, 256, WIDE)
    assert (graph.images.reshape(4, -1) == x).all() and (graph.poses == y).all()


def test_an_archive_becomes_a_scene(archive, tmp_path):
    assert holds_graphs(archive) and holds_graphs(archive / "processed") and not holds_graphs(tmp_path)
    said = []
    assert convert_graphs([archive / "processed"], tmp_path / "g", report=said.append) == {"test": 3}
    assert said == ["heads, test: 3 graphs of 6 images"]
    split = read_graphs(tmp_path / "g", "test")
    scene = split.scenes[0]
    assert split.names == ("heads",) and split.input.kind == "short_side" and split.input.per_scene
    assert scene.counts == {"images": 6, "references": 5, "queries": 3, "ranked": 3}
    assert (scene.pixels == PICTURES.pixels).all(), "to the last bit; numbered as they come"
    np.testing.assert_allclose(scene.map_from_camera.matrix, PICTURES.poses.matrix, atol=1e-5)
    data = GraphScenes(split, GraphOptions(3), fixed=True)
    assert [data.nodes(scene, k).tolist() for k in range(3)] == NODES
    x = PICTURES.graphs[2][0]
    np.testing.assert_allclose(
        data.sample(0, 2, np.random.default_rng(0))["images"].reshape(4, -1), x, atol=1e-6
    )
    assert sorted(p.name for p in (tmp_path / "g").iterdir()) == ["test", "test.json"]


def test_a_tar_in_any_order(archive, tmp_path):
    packed = tmp_path / "heads_fc8_sp5_test.tar"
    with tarfile.open(packed, "w:gz") as out:
        for file in sorted((archive / "processed").iterdir(), reverse=True):
            out.add(file, f"heads_fc8_sp5_test/processed/{file.name}")
    assert holds_graphs(packed)
    convert_graphs([packed], tmp_path / "tar")
    convert_graphs([archive], tmp_path / "folder")
    tables = []
    for name in ("tar", "folder"):
        scene = read_graphs(tmp_path / name, "test").scenes[0]
        nodes = np.concatenate([scene.query[:, None], scene.neighbours], axis=1)
        tables.append(scene.pixels[nodes][:, :, 0, 0])
    assert (tables[0] == tables[1]).all()
    packed.write_bytes(packed.read_bytes()[:5000])
    with pytest.raises(DatasetError):
        convert_graphs([packed], tmp_path / "cut")


class Hostile:
    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_graph_runs_nothing(tmp_path, zipped):
    hostile = Hostile()
    hostile.path = str(tmp_path / "made")
    out = io.BytesIO()
    torch.save({"x": hostile}, out, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DatasetError, match="Nothing of it was executed"):
        read_graph(out.getvalue(), "data_000000.pt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [{}, {"x": torch.zeros(4, 7), "y": torch.zeros(4, 6)}, {"x": torch.zeros(4, 768), "y": torch.zeros(5, 6)},
     {"x": torch.full((4, 768), float("nan")), "y": torch.zeros(4, 6)},
     {"x": torch.zeros(0, 768), "y": torch.zeros(0, 6)}, 3],
)  # fmt: skip
def test_what_is_no_graph_is_refused(content):
    out = io.BytesIO()
    torch.save(content, out)
    for data in (out.getvalue(), out.getvalue()[:-300], b""):
        with pytest.raises(DatasetError, match="data_1"):
            read_graph(data, "data_1.pt")


def test_archives_that_cannot_be_placed(archive, tmp_path):
    other = archive.rename(tmp_path / "heads_fc8_sp5")
    with pytest.raises(ConfigurationError, match="Say --split"):
        convert_graphs([other], tmp_path / "g")
    assert convert_graphs([other], tmp_path / "g", "val") == {"val": 3}
    with pytest.raises(DatasetError, match="expected a scene of 7-Scenes"):
        convert_graphs([other.rename(tmp_path / "attic_fc8_sp5_test")], tmp_path / "g")
    assert Archive(tmp_path / "ShopFacade_fc8_sp3_train.tar").scene == "ShopFacade"


def frames(count=3, **changes):
    poses = PICTURES.poses.inverse().matrix.astype(np.float32)
    return [
        {"file_name": f"heads/seq-01/frame-{k:06d}.color.png", "id": k, "extrinsic_Tcw": poses[k, :3],
         "camera_intrinsic": np.array([585, 585, 320, 240, 0, 0], np.float32), "timestamp": float(k),
         "frame_dim": (480, 640), "tag": None, "depth_file_name": "x", **changes}
        for k in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_frame_lists_are_a_source(tmp_path, protocol):
    scene = tmp_path / "lists" / "heads"
    scene.mkdir(parents=True)
    (scene / "train_frames.bin").write_bytes(pickle.dumps(frames(), protocol))
    (scene / "test_frames.bin").write_bytes(pickle.dumps(frames(1), protocol))
    file = tmp_path / "raw" / "heads" / "seq-01" / "frame-000002.color.png"
    file.parent.mkdir(parents=True)
    cv2.imwrite(str(file), np.full((480, 640, 3), 9, np.uint8))
    assert holds_frames(scene) and not holds_frames(tmp_path)
    sequence = FramesSequence(scene, tmp_path / "raw")
    images = sequence.images()
    assert [image.split for image in images] == ["map"] * 3 + ["query"] and sequence.name == "heads"
    np.testing.assert_allclose(images[2].map_from_camera.matrix, PICTURES.poses[2].matrix, atol=1e-5)
    assert images[2].load().shape == (480, 640, 3) and images[2].camera.fx == 585 and images[2].stamp == 2


@pytest.mark.parametrize(
    "change",
    [{"file_name": "../../etc/passwd"}, {"extrinsic_Tcw": np.zeros((3, 4))}, {"extrinsic_Tcw": np.eye(4)},
     {"extrinsic_Tcw": np.eye(4)[:3] * np.nan}, {"frame_dim": None}, {"camera_intrinsic": np.zeros(2)}],
)  # fmt: skip
def test_broken_frames_are_refused(tmp_path, change):
    (tmp_path / "train_frames.bin").write_bytes(pickle.dumps(frames(**change)))
    with pytest.raises(DatasetError, match=r"train_frames\.bin"):
        FramesSequence(tmp_path, tmp_path).images()


def test_a_hostile_frame_list_runs_nothing(tmp_path):
    hostile = Hostile()
    hostile.path = str(tmp_path / "made")
    for content in ([hostile], {"a": 1}, [1, 2]):
        (tmp_path / "train_frames.bin").write_bytes(pickle.dumps(content))
        with pytest.raises(DatasetError):
            read_frames(tmp_path / "train_frames.bin")
    assert not (tmp_path / "made").exists()
