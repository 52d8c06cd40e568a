"""A pruned map on disk: smaller, still good for what went, and honest about the price."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relpose_ros.cli.map_field import pruned_text
from relpose_ros.errors import MapError
from relpose_ros.localization.prune import prune_map
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.redundancy import PruneOptions


@pytest.fixture(scope="module")
def dense(point_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Map:
    """A hall that was driven round twice, a little beside."""
    references = [*point_world.references(12), *point_world.references(12, turns=1.02, prefix="s")]
    made = assemble(references, "hall", True, BuildOptions(), {"source": "points"})
    return made.save(tmp_path_factory.mktemp("dense") / "dense.relmap")


def test_it_is_smaller_and_says_what_it_lost(dense: Map, tmp_path: Path) -> None:
    pruned = prune_map(dense.path, tmp_path / "thin.relmap", PruneOptions(max_loss=0.3))
    thin = Map.open(tmp_path / "thin.relmap")
    assert len(pruned.redundant) >= 3 and not pruned.useless
    assert len(thin) == len(dense) - len(pruned.gone) == pruned.references[1]
    assert set(thin.reference_names) == set(dense.reference_names) - set(pruned.gone)
    assert pruned.landmarks == (len(dense.landmarks), len(thin.landmarks))
    assert 0 < pruned.worst_loss <= 0.3 and pruned.worst_view in dense.reference_names
    assert pruned.found == pruned.tried == len(pruned.redundant) and pruned.median_error < 0.05
    assert thin.calibration == dense.calibration and thin.provenance["pruned"]["at"] == 24


def test_twins_are_counted(dense: Map, tmp_path: Path) -> None:
    """Those of a reference that goes are lost; another pair of near views stays."""
    names = prune_map(dense.path, None, PruneOptions(max_loss=0.3)).redundant
    lonely = dense.index_of(names[:1])[0]
    twins = np.array([sorted((lonely, (lonely + 6) % 12))], np.int32)
    doubted = replace(dense, twins=twins).save(tmp_path / "doubted.relmap")
    pruned = prune_map(doubted.path, tmp_path / "thin.relmap", PruneOptions(max_loss=0.3))
    assert pruned.twin_pairs == (1, 1) and names[0] not in pruned.gone
    assert "twin pairs  1" in pruned_text(pruned)


def test_a_dry_run_says_the_same_and_writes_nothing(dense: Map, tmp_path: Path) -> None:
    before = dense.path.read_bytes()
    wet = prune_map(dense.path, tmp_path / "thin.relmap", PruneOptions(max_loss=0.3))
    dry = prune_map(dense.path, None, PruneOptions(max_loss=0.3))
    assert dry.gone == wet.gone and dry.landmarks == wet.landmarks and dry.worst_loss == wet.worst_loss
    assert dense.path.read_bytes() == before and list(tmp_path.iterdir()) == [tmp_path / "thin.relmap"]


def test_nothing_to_spare(dense: Map, tmp_path: Path) -> None:
    pruned = prune_map(dense.path, tmp_path / "same.relmap", PruneOptions(max_loss=0.0, view_change=0.0))
    assert not pruned.gone and pruned.tried == 0 and pruned.median_error is None and pruned.worst_loss == 0
    assert len(Map.open(tmp_path / "same.relmap")) == len(dense)


def test_a_wrong_out_is_refused_before_the_work(dense: Map, tmp_path: Path) -> None:
    with pytest.raises(MapError, match="does not exist"):
        prune_map(dense.path, tmp_path / "none" / "thin.relmap")
