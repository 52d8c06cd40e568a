"""One world, photographed and rendered: the same geometry, another look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.datasets.open import open_source
from relpose_ros.datasets.simulate.dataset import simulate, write_simulation
from relpose_ros.datasets.simulate.grading import GROUPS
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.datasets.simulate.surfaces import Label
from relpose_ros.errors import ConfigurationError

REAL = SimulationOptions(width=160, height=120, map_frames=3, query_frames=0)
SIMULATED = replace(REAL, domain="simulated")


@pytest.fixture(scope="module")
def pairs():
    """The same shots in both domains."""
    return list(zip(simulate(REAL).images, simulate(SIMULATED).images, strict=True))


def test_depth_pose_and_classes_are_the_same(pairs):
    for real, simulated in pairs:
        np.testing.assert_array_equal(real.load_depth(), simulated.load_depth())
        np.testing.assert_array_equal(real.load_semantics(), simulated.load_semantics())
        np.testing.assert_array_equal(real.map_from_camera.matrix, simulated.map_from_camera.matrix)
        assert (real.domain, simulated.domain) == ("real", "simulated") and real.camera == simulated.camera


def test_what_they_show_is_the_same_and_how_is_not(pairs):
    for real, simulated in pairs:
        one, other = real.load().astype(float), simulated.load().astype(float)
        assert np.abs(one - other).mean() > 15
        slopes = [np.abs(np.diff(image.mean(axis=2), axis=1))[:-1].ravel() for image in (one, other)]
        assert np.corrcoef(*slopes)[0, 1] > 0.5  # edges are where they were
        np.testing.assert_array_equal(simulated.load(), simulated.load())


def test_the_rendered_look_has_no_noise_and_its_own_tint(pairs):
    real, simulated = (np.stack([image.load() for image in images]) for images in zip(*pairs, strict=True))
    fine = [np.abs(np.diff(images.astype(int), n=2, axis=2)).mean() for images in (real, simulated)]
    assert fine[1] < 0.6 * fine[0]
    other = simulate(replace(SIMULATED, seed=1)).images[0].load()
    assert not np.allclose(other.mean((0, 1)), simulated[0].mean((0, 1)), atol=3)


def test_classes_are_few_and_cover_every_label(pairs):
    assert set(GROUPS) == set(Label) - {Label.NOTHING} and set(GROUPS.values()) == {1, 2, 3, 4, 5}
    found = {int(c) for real, _ in pairs for c in np.unique(real.load_semantics())}
    assert {1, 2} <= found <= {1, 2, 3, 4, 5}


def test_a_folder_remembers_its_domain(tmp_path):
    write_simulation(SIMULATED, tmp_path / "world")
    assert {image.domain for image in open_source(tmp_path / "world").images} == {"simulated"}
    (tmp_path / "world/source.yaml").write_text("domain: dream\n")
    with pytest.raises(Exception, match="real or simulated"):
        open_source(tmp_path / "world")
    with pytest.raises(ConfigurationError, match="domain must be one of real, simulated"):
        SimulationOptions(domain="dream")
