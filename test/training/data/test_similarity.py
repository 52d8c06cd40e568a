"""How similar the views of a scene are: the table, and its file."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from scene_fixture import CENTRE, room_depth, room_images, room_shards, write_room

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.surface_overlap import surface_overlap
from relpose_ros.geometry.view_similarity import overlap_table
from relpose_training.data.seen_views import SeenView, seen_view, views_of_images, views_of_set
from relpose_training.data.similarity import SimilarityOptions, similarity_table
from relpose_training.data.similarity_table import SimilarityTable, read_table, write_table


@pytest.fixture(scope="module")
def both():
    """Ten places, each real and simulated."""
    return [*room_images(10), *room_images(10, domain="simulated")]


def seen(images, points=150, surfaces=False):
    return list(views_of_images(images, points, surfaces))


@pytest.mark.parametrize("metric", ["frustum", "surface", "distance"])
def test_the_table_is_symmetric_and_places_count_not_domains(both, metric):
    table = similarity_table(seen(both, surfaces=metric == "surface"), SimilarityOptions(metric))
    assert table.names == tuple(image.name for image in both)
    assert table.simulated.tolist() == [False] * 10 + [True] * 10
    d = table.distance
    assert np.array_equal(d, d.T) and not d.diagonal().any() and d.max() <= 100 + 1e-4
    twins = d[np.arange(10), 10 + np.arange(10)]
    assert twins.max() < 1e-3 if metric != "surface" else twins.max() < 15
    opposite = d[0, 5]
    assert opposite > 95 > 60 > d[0, 1], "the room is seen all around, neighbours overlap"


def test_overlap_is_not_symmetric_and_a_view_sees_itself(both):
    overlap = similarity_table(seen(both), SimilarityOptions("frustum")).overlap
    assert overlap.diagonal().min() > 0.99
    assert np.abs(overlap - overlap.T).max() > 0.05


def test_frustum_overlap_is_that_of_the_published_table_where_nothing_is_hidden(both):
    views = seen(both[:6], 200)
    count = min(len(v.points) for v in views)
    views = [dataclasses.replace(v, points=v.points[:count]) for v in views]
    ours = similarity_table(views, SimilarityOptions("frustum", hidden=True)).overlap
    points = np.stack([v.points for v in views])
    known = np.ones(points.shape[:2], bool)
    poses = Rigid.stack([v.map_from_camera for v in views])
    assert np.allclose(ours, overlap_table(points, known, poses, views[0].camera), atol=1e-6)


def test_surfaces_agree_as_pairs_do(both):
    views = seen(both[:4], 10**6, surfaces=True)
    ours = similarity_table(views, SimilarityOptions("surface", radius=0.2)).overlap
    assert ours[0, 1] == pytest.approx(surface_overlap(views[0].surface, views[1].surface, 0.2), abs=1e-6)


CAMERA = Camera("pinhole", 100.0, 100.0, 49.5, 39.5, 100, 80)


def wall_view(name, metres):
    depth = np.full((80, 100), metres, np.float32)
    return seen_view(name, False, CAMERA, Rigid.identity(), depth, None, 100)


def test_what_lies_behind_a_wall_is_not_seen():
    views = [wall_view("near wall", 2.0), wall_view("far wall", 5.0)]
    open_ = similarity_table(views, SimilarityOptions("frustum")).overlap
    assert open_[0, 1] == 1 and open_[1, 0] == 0
    through = similarity_table(views, SimilarityOptions("frustum", hidden=True)).overlap
    assert through.min() == 1


def test_distorted_cameras_and_other_sizes_are_compared(both):
    wide = Camera("plumb_bob", 80.0, 82.0, 70.0, 55.0, 150, 110, (-0.1, 0.02, 0.0, 0.0))
    image = both[0]
    depth = room_depth(wide, image.map_from_camera)
    other = seen_view("wide", False, wide, image.map_from_camera, depth, None, 150)
    overlap = similarity_table([*seen([image]), other], SimilarityOptions("frustum")).overlap
    assert overlap[0, 1] > 0.98 > overlap[1, 0]


def test_a_source_and_the_set_made_of_it_agree(both, tmp_path):
    write_room(tmp_path, 6, 2, domains=("real", "simulated"), shards=3)
    shards = room_shards(tmp_path)
    from_set = similarity_table(list(views_of_set(shards, 150)), SimilarityOptions())
    images = [*room_images(6), *room_images(6, domain="simulated")]
    from_source = similarity_table(seen(images), SimilarityOptions())
    assert from_set.names == from_source.names == tuple(shards.index.meta["names"])
    assert np.allclose(from_set.distance, from_source.distance, atol=0.5)


def test_points_alone_are_enough_for_overlap_but_not_for_surfaces(both):
    pose = both[0].map_from_camera
    known = pose.apply(np.array([[0.0, 0.0, 2.0], [0.1, 0.0, 3.0]]))
    view = seen_view("a", False, CAMERA, pose, None, known, 10)
    table = similarity_table([view, dataclasses.replace(view, name="b")], SimilarityOptions("frustum"))
    assert table.overlap.min() == 1
    with pytest.raises(DatasetError, match="surfaces need depth"):
        seen_view("a", False, CAMERA, pose, None, known, 10, surfaces=True)


def test_without_any_points_poses_alone_can_be_compared():
    views = [
        SeenView(str(x), False, CAMERA, Rigid(np.eye(3), np.array([x, 0.0, 0.0])), np.zeros((0, 3)))
        for x in (0.0, 1.0, 4.0)
    ]
    with pytest.raises(DatasetError, match="--weights"):
        similarity_table(views, SimilarityOptions())
    table = similarity_table(views, SimilarityOptions(weights=(0.0, 0.0, 1.0)))
    assert np.allclose(table.distance[0], [0, 25, 100])


def test_an_interrupted_table_is_taken_up_again(both, tmp_path, monkeypatch):
    views, options, part = seen(both), SimilarityOptions(), tmp_path / "part.npz"
    whole = similarity_table(views, options)
    monkeypatch.setattr("relpose_training.data.similarity.SECONDS_BETWEEN_SAVES", -1.0)

    def stop(done, total, stage=""):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        similarity_table(views, options, part, stop)
    looked_at = []
    again = similarity_table(views, options, part, lambda done, *_: looked_at.append(done))
    assert looked_at[0] == 7, "six columns were kept"
    assert np.array_equal(again.overlap, whole.overlap)
    looked_at.clear()
    similarity_table(views[:-1], options, part, lambda done, *_: looked_at.append(done))
    assert looked_at[0] == 1, "another set begins anew"
    for broken in (b"broken", part.read_bytes()[:300]):
        part.write_bytes(broken)
        assert np.array_equal(similarity_table(views, options, part).overlap, whole.overlap)


def test_reranking_keeps_neighbours_near(both):
    plain = similarity_table(seen(both), SimilarityOptions())
    ranked = similarity_table(seen(both), SimilarityOptions(rerank=(5, 2, 0.3))).distance
    assert np.array_equal(ranked, ranked.T) and not ranked.diagonal().any()
    twins = ranked[np.arange(10), 10 + np.arange(10)]
    far = ranked[plain.distance > 99]
    assert twins.max() < 0.5 * far.min()


def test_a_table_comes_back_from_its_file(both, tmp_path):
    table = similarity_table(seen(both), SimilarityOptions(rerank=(5, 2, 0.3)))
    back = read_table(write_table(tmp_path / "deep" / "table.h5", table))
    assert back.names == table.names and back.options["rerank"] == [5, 2, 0.3]
    for field in ("overlap", "distance", "metres", "degrees", "simulated"):
        assert np.array_equal(getattr(back, field), getattr(table, field))
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["table.h5"]
    with pytest.raises(DatasetError, match="expected the same"):
        back.check_names(table.names[::-1], "scene")


def test_files_that_are_no_tables_are_refused(tmp_path):
    zero = np.zeros((1, 1), np.float32)
    small = SimilarityTable(("a",), np.zeros(1, bool), zero, zero, zero, zero, {})
    with pytest.raises(DatasetError, match="expected a name"):
        write_table(tmp_path / "table.npz", small)
    with pytest.raises(DatasetError, match="no such file"):
        read_table(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    write_table(tmp_path / "cut.h5", small)
    with h5py.File(tmp_path / "cut.h5", "a") as file:
        del file["metres"]
    for name in ("text.h5", "other.h5", "cut.h5"):
        with pytest.raises(DatasetError, match=name):
            read_table(tmp_path / name)


def test_options_out_of_range_and_single_views_are_refused(both):
    for bad in ({"points": 0}, {"radius": 0.0}, {"weights": (0, 0, 0)}, {"rerank": (0, 1, 0.3)}):
        with pytest.raises(ConfigurationError):
            SimilarityOptions(**bad)
    with pytest.raises(DatasetError, match="two views"):
        similarity_table(seen(both[:1]), SimilarityOptions())
    assert CENTRE.max() == 1000, "all of this is in coordinates far from zero"
