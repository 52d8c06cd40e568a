"""The benchmark from simulated to real images: what its table says of made-up runs, and what the runs are."""

from __future__ import annotations

import pytest

from benchmarks.sim_to_real import HEADER, encoders, table
from benchmarks.sim_to_real_runs import RUNS, Outcome, make_recipe

GOOD = {
    "median_coordinate_m": 0.4567,
    "within_10px": 0.25,
    "median_translation_m": 0.123,
    "median_rotation_deg": 4.567,
    "failures": 0.2,
}
LOST = {**GOOD, "median_translation_m": 1000.9, "median_rotation_deg": 180.0, "failures": 0.8}


def outcome(recipe, metrics):
    return Outcome("name", recipe, "simulated only", 7, 61.4, 122.6, metrics)


def test_every_network_of_coordinates_has_a_row_and_an_encoder_a_line():
    rows = [outcome("scene_cells", GOOD), outcome("mid_level", {"absolute_relative": 0.25})]
    lines = table([*rows, outcome("scene_coordinates", LOST)]).splitlines()
    cells = [[word.strip() for word in line.strip("|").split("|")] for line in lines]
    assert cells[0] == list(HEADER)
    expected = ["simulated only", "45.7", "25.0", "12.3 cm, 4.57°", "20.0", "7", "61", "123"]
    assert cells[2] == ["cells", *expected]
    assert cells[3] == ["coord_tiny", *expected[:3], "-", "80.0", *expected[5:]], "no median of failures"
    assert len(cells) == 4
    assert "25.0 % on the test images" in encoders(rows) and len(encoders(rows).splitlines()) == 1


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_runs_of_a_family_differ_in_what_they_compare_alone(run, tmp_path):
    """Same steps, seed, images; and encoders are trained before they are needed."""
    encoder = tmp_path / "depth.safetensors" if run.encoder else None
    config = make_recipe(run, tmp_path, tmp_path / "out", 5, 3, encoder).config
    assert (config.steps, config.seed, config.height) == (5, 3, 120)
    assert config.validate_every > config.steps, "looked at once, after the last step"
    first = next(other for other in RUNS if other.recipe == run.recipe)
    reference = make_recipe(first, tmp_path, tmp_path / "out", 5, 3, None).config
    different = {k for k, v in vars(config).items() if v != getattr(reference, k)}
    allowed = {"data", "encoders", "fusion", "similarity"}
    assert {
        name for name in different if not name.startswith(("contr", "posit", "negat", "near", "far"))
    } <= allowed
    names = [other.name for other in RUNS]
    assert run.encoder is None or names.index(run.encoder) < names.index(run.name)
