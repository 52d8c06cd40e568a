"""Attaching a network to a map: what is kept, what is used again, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.checkpoints.graph import GraphPredictor
from relpose_ros.datasets.base import Source
from relpose_ros.errors import CheckpointError, MapError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.graph_attach import describe_references
from relpose_ros.localization.graph_road import check_fits
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.map_images import images_of
from relpose_ros.localization.mapping import add_references, attach_network, remove_references
from relpose_ros.localization.options import options_for
from relpose_ros.localization.parts import with_relative
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.notes import notes_of
from relpose_ros.retrieval.graph_images import GraphInput, graph_image

FEW = BuildOptions(calibration_samples=2, pair_neighbours=6)


@pytest.fixture(scope="module")
def attached(
    office: Map, rendered_world: Source, regressor_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Map:
    out = tmp_path_factory.mktemp("attached") / "gnn.relmap"
    return attach_network(office.path, [rendered_world], regressor_checkpoint, out, FEW)


def test_what_is_kept_is_what_the_network_says_of_the_image(
    attached: Map, rendered_world: Source, regressor_checkpoint: Path
) -> None:
    """Half precision in the file: the edges that follow move by less than a thousandth of what they say."""
    predictor, opened = GraphPredictor(regressor_checkpoint), Map.open(attached.path)
    seen = GraphInput.from_dict(opened.graph.input)
    images = images_of(opened, [rendered_world])
    fresh = np.concatenate(
        [predictor.features(graph_image(i.load(), i.camera, seen)[None]) for i in images[:5]]
    )
    np.testing.assert_allclose(opened.graph.descriptors[:5], fresh, rtol=1e-3, atol=1e-3)
    poses = opened.reference_poses[np.arange(1, 5)]
    kept = predictor.relative(fresh[0], opened.graph.descriptors[1:5], poses)
    again = predictor.relative(fresh[0], fresh[1:], poses)
    distance, angle = kept.reference_from_query.distance_to(again.reference_from_query)
    assert distance.max() < 2e-3 and angle.max() < 2e-3
    assert opened.graph.sha256 == predictor.identity and opened.graph.name == "poses.safetensors"


def test_nothing_else_of_the_map_changes(
    attached: Map, office: Map, rendered_world: Source, regressor_checkpoint: Path
) -> None:
    old, new = Map.open(office.path), Map.open(attached.path)
    assert old.graph is None and new.calibration == old.calibration
    np.testing.assert_array_equal(new.landmarks.points, old.landmarks.points)
    frame = rendered_world.queries[0].frame()
    options = with_relative(options_for("default"), regressor_checkpoint)
    answers = [Localizer(old).localize(frame), Localizer(new, options).localize(frame)]
    assert answers[0].method == answers[1].method == "structure"
    np.testing.assert_array_equal(*[a.map_from_camera.matrix for a in answers])


def test_without_training_it_is_not_believed(attached: Map) -> None:
    """Weights drawn at random: calibration on two references says that nobody knows."""
    known = attached.graph.calibration["regression"]
    assert known["samples"] < 10 or known["share_right"] < 0.8


def test_references_that_go_and_come(
    attached: Map, rendered_world: Source, regressor_checkpoint: Path, tmp_path: Path
) -> None:
    part = remove_references(attached.path, attached.reference_names[:6], tmp_path / "part.relmap")
    np.testing.assert_array_equal(part.graph.descriptors, attached.graph.descriptors[6:])
    gone = Source("back", tmp_path, rendered_world.references[:6])
    dropped = add_references(part.path, gone, tmp_path / "plain.relmap", FEW)
    note = dropped.provenance["notes"]["network"]
    assert dropped.graph is None and "poses.safetensors" in note
    assert "`relpose map attach MAP SOURCE...`" in note
    named = replace(FEW, relpose_gnn=regressor_checkpoint)
    whole = add_references(part.path, gone, tmp_path / "whole.relmap", named)
    order = [attached.reference_names.index(n) for n in whole.reference_names]
    np.testing.assert_allclose(whole.graph.descriptors, attached.graph.descriptors[order], atol=2e-3)


def test_attaching_again_takes_the_note_of_the_loss_away(
    office: Map, rendered_world: Source, regressor_checkpoint: Path, tmp_path: Path
) -> None:
    """And leaves the others, also in maps that have one note without a kind."""
    lost = "descriptors for relative poses by poses.safetensors are not in this map"
    for old in ({"notes": {"network": lost, "vlad": "few"}}, {"note": lost, "notes": {"vlad": "few"}}):
        noted = replace(office, provenance={**office.provenance, **old}).save(tmp_path / "noted.relmap")
        out = tmp_path / "again.relmap"
        again = attach_network(noted.path, [rendered_world], regressor_checkpoint, out, FEW)
        assert notes_of(again.provenance) == {"vlad": "few"}


def test_a_map_of_several_sources_is_told_what_can_be_done(
    office: Map, rendered_world: Source, regressor_checkpoint: Path
) -> None:
    with pytest.raises(MapError, match=r"relpose map attach .* SOURCE\.\.\. .*all sources"):
        check_fits(office, GraphPredictor(regressor_checkpoint))
    with pytest.raises(MapError, match=r"3 of 24 are missing .*give all sources"):
        images_of(office, [Source("some", Path("elsewhere"), rendered_world.references[3:])])


def test_a_map_of_several_sources_gets_the_images_of_all(
    office: Map, rendered_world: Source, regressor_checkpoint: Path
) -> None:
    """Of two drives whose files have the same names, one of them at the same place."""
    images = rendered_world.references
    renumbered = [replace(i, name=images[k % 12].name) for k, i in enumerate(images)]
    renumbered[12] = replace(renumbered[12], map_from_camera=images[0].map_from_camera)
    first, second = (Source(n, Path(n), tuple(renumbered[k : k + 12])) for n, k in (("a", 0), ("b", 12)))
    names = (*(i.name for i in images[:12]), *(f"{i.name}#2" for i in images[:12]))
    poses = Rigid.stack([i.map_from_camera for i in renumbered])
    both = replace(office, reference_names=names, reference_poses=poses)
    assert [id(i) for i in images_of(both, [first, second])] == [id(i) for i in renumbered]
    with pytest.raises(MapError, match=r"^a: .* from where the map .* has .*#2; give the sources"):
        images_of(both, [first])


def test_other_images_are_refused(attached: Map, rendered_world: Source) -> None:
    some = Source("some", Path("elsewhere"), rendered_world.references[3:])
    with pytest.raises(MapError, match=r"elsewhere.*3 of 24 are missing"):
        images_of(attached, [some])
    moved = [
        replace(i, map_from_camera=Rigid(i.map_from_camera.rotation, i.map_from_camera.translation + 0.5))
        for i in rendered_world.references
    ]
    with pytest.raises(MapError, match=r"stands 0\.866 map units"):
        images_of(attached, [Source("moved", Path("moved"), tuple(moved))])


def test_maps_without_scale_and_files_that_are_none_are_refused(
    office: Map, rendered_world: Source, regressor_checkpoint: Path, ratio_pruner: Path, tmp_path: Path
) -> None:
    unscaled = replace(office, metric=False).save(tmp_path / "unscaled.relmap")
    with pytest.raises(MapError, match="no scale"):
        attach_network(unscaled.path, [rendered_world], regressor_checkpoint, tmp_path / "x.relmap", FEW)
    with pytest.raises(CheckpointError, match=r"one_to_one\.ltfgc"):
        attach_network(office.path, [rendered_world], ratio_pruner, tmp_path / "x.relmap", FEW)
    assert not (tmp_path / "x.relmap").exists()


def test_a_network_that_goes_by_the_scenes_colours_gets_them(
    rendered_world: Source, regressor_checkpoint: Path
) -> None:
    predictor = GraphPredictor(regressor_checkpoint)
    own = replace(GraphInput.from_dict(predictor.graph.input), per_scene=True)
    predictor.graph = replace(predictor.graph, input=own.to_dict())
    images = rendered_world.references[:4]
    graph = describe_references(images, predictor)
    seen = GraphInput.from_dict(graph.input)
    planes = np.stack([graph_image(i.load(), i.camera, seen) for i in images])
    np.testing.assert_allclose(planes.mean(axis=(0, 2, 3)), 0, atol=1e-3)
    np.testing.assert_allclose(planes.std(axis=(0, 2, 3)), 1, atol=1e-2)
    more = describe_references(images[2:], predictor, like=graph)
    np.testing.assert_allclose(more.descriptors, graph.descriptors[2:], atol=1e-3)
