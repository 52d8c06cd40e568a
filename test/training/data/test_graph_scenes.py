"""Scenes of graphs as files: what is written is read, and nothing else is."""

from __future__ import annotations

import pickle

import h5py
import numpy as np
import pytest
from graph_fixture import INPUT, flat_images, flat_scene

from relpose_ros.checkpoints import format as checkpoint_format
from relpose_ros.checkpoints import predictor
from relpose_ros.datasets.colour_statistics import IMAGENET
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.retrieval.netvlad_input import netvlad_input
from relpose_training.data.graph_parts import GraphSetOptions
from relpose_training.data.graph_ranking import Descriptions, ranking_of
from relpose_training.data.graph_scenes import Ranking, read_scene, write_scene
from relpose_training.data.graphs import GraphOptions, neighbour_table


def test_what_is_written_is_read(tmp_path):
    scene = flat_scene(tmp_path / "a" / "s.h5", 20, 5)
    assert scene.counts == {"images": 25, "references": 20, "queries": 5, "ranked": 20}
    assert scene.query.tolist() == [20, 21, 22, 23, 24] and scene.role.sum() == 5
    assert scene.names[3] == "3.png" and scene.pixels[7, 0, 0].tolist() == [7, 7, 7]
    assert not isinstance(scene.pixels, h5py.Dataset) and scene.height_and_width == (12, 16)
    poses = Rigid.stack([image.map_from_camera for image in flat_images(25)])
    np.testing.assert_allclose(scene.map_from_camera.matrix, poses.matrix, atol=1e-12)
    assert (np.diff(scene.similarity, axis=1) <= 0).all()
    again = pickle.loads(pickle.dumps(scene))  # noqa: S301
    assert "pixels" not in again.__dict__ and again.pixels[7, 0, 0, 0] == 7
    np.testing.assert_allclose(scene.statistics.mean, np.full(3, np.arange(20).mean() / 255))
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["s.h5"]


def test_references_query_each_other_but_not_themselves(tmp_path):
    scene = flat_scene(tmp_path / "s.h5", 12)
    assert scene.ranked.shape == (12, 11) and not (scene.ranked == scene.query[:, None]).any()
    assert [sorted(row) for row in scene.ranked[:2].tolist()] == [[*range(1, 12)], [0, *range(2, 12)]]


def test_neighbours_drawn_once_are_those_of_the_table(tmp_path):
    drawn = GraphOptions(neighbours=3, period=2)
    scene = flat_scene(tmp_path / "s.h5", 30, options=GraphSetOptions(INPUT, ranked=5, drawn=drawn))
    assert scene.ranked.shape == (30, 5) and scene.neighbours.shape == (30, 3)
    noise = np.random.default_rng(0).random((30, 30))
    similarity = 0.2 * noise - np.abs(np.arange(30)[:, None] - np.arange(30))
    assert (scene.neighbours == neighbour_table(similarity.astype(np.float32), drawn, same=True)).all()


def test_a_query_without_references_is_refused():
    with pytest.raises(DatasetError, match="none but itself"):
        ranking_of(np.ones((1, 1)), np.array([0]), np.array([0]))
    mixed = np.ones((3, 4)), np.array([0, 1, 6]), np.arange(4)
    assert ranking_of(*mixed).ranked.shape == (3, 3)
    with pytest.raises(DatasetError, match="apart from references"):
        ranking_of(*mixed, drawn=GraphOptions(1, 1))


def test_images_of_several_sizes_or_too_few_are_refused(tmp_path):
    poses = Rigid.stack([image.map_from_camera for image in flat_images(2)])
    ranking = Ranking(np.array([0]), np.array([[1]]), np.array([[0.5]]))
    rest = poses, ["a", "b"], np.zeros(2, np.uint8), ranking, IMAGENET
    for images in (
        [np.zeros((4, 4, 3)), np.zeros((4, 5, 3))],
        [np.zeros((4, 4, 3))] * 3,
        [np.zeros((4, 4, 3))],
        [],
    ):
        with pytest.raises(DatasetError, match="expected 2 images"):
            write_scene(tmp_path / "s.h5", [image.astype(np.uint8) for image in images], *rest)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def change(name, value):
    def damage(file):
        kind = file[name].dtype if value is not None else None
        del file[name]
        if value is not None:
            file[name] = np.asarray(value, kind if np.asarray(value).dtype.kind != "f" else None)

    return damage


DAMAGES = {
    "no poses": change("map_from_camera", None),
    "nan": change("map_from_camera", np.full((12, 7), np.nan)),
    "no rotation": change("map_from_camera", np.zeros((12, 7))),
    "few poses": change("map_from_camera", np.eye(7)[:5]),
    "role": change("role", np.full(12, 7)),
    "number": change("ranked", np.full((12, 3), 12)),
    "negative": change("ranked", np.full((12, 3), -1)),
    "itself": change("ranked", np.zeros((12, 11))),
    "shape": change("ranked", np.zeros(12)),
    "type": lambda file: change("query", None)(file) or file.create_dataset("query", data=np.zeros(12)),
    "images": change("images", np.zeros((12, 4))),
    "attribute": lambda file: file.attrs.__setitem__("mean", "red"),
    "format": lambda file: file.attrs.__setitem__("format", "relpose.graphs/9"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused(tmp_path, name):
    path = flat_scene(tmp_path / "s.h5", 12).path
    with h5py.File(path, "r+") as file:
        DAMAGES[name](file)
    with pytest.raises(DatasetError, match=r"s\.h5"):
        read_scene(path)


def test_what_is_no_scene_is_refused(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"hello")
    for path in (tmp_path / "x.h5", tmp_path / "none.h5"):
        with pytest.raises(DatasetError, match="make it again"):
            read_scene(path)


def test_images_without_detail_cannot_be_ranked():
    descriptions = Descriptions()
    for image in flat_images(4):
        descriptions.add(image.load())
    with pytest.raises(DatasetError, match="0 features together"):
        descriptions.vectors(np.arange(4))


def test_the_published_netvlad_sees_what_its_authors_fed_it(monkeypatch):
    class Told:
        network = "retrieval.netvlad_vgg16_relu"

    class Means:
        def __init__(self, checkpoint, threads):
            assert checkpoint == "netvlad.safetensors"

        def __call__(self, planes):
            assert planes.shape == (1, 3, 192, 256)
            return (planes.mean((2, 3)),)

    monkeypatch.setattr(checkpoint_format, "read_info", lambda path: Told)
    monkeypatch.setattr(predictor, "Predictor", Means)
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    descriptions = Descriptions("netvlad.safetensors", published=True)
    descriptions.add(image)
    np.testing.assert_allclose(descriptions.vectors(np.arange(1))[0], netvlad_input(image).mean((1, 2)))


def test_alike_images_rank_first(wall):
    descriptions = Descriptions(keypoints=300)
    images = [image.load() for image in wall(6, depth=False)]
    for image in [*images, images[2]]:
        descriptions.add(image)
    vectors = descriptions.vectors(np.arange(6))
    assert ranking_of(vectors[6:] @ vectors[:6].T, np.array([6]), np.arange(6)).ranked[0, 0] == 2
    assert descriptions.name == "VLAD of the scene's own rootsift64"
