"""Settings that do not fit are refused before anything is loaded; the files of config/ are settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import describe_config, load_config
from relpose_training.recipes.scene_coordinates.config import SceneCoordinatesConfig

ROOT = Path(__file__).parents[4]
STAGES = ("init", "end_to_end", "uncertainty")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"stage": "end_to_end"}, "start_from"),
        ({"stage": "uncertainty", "start_from": "a.safetensors"}, "isotropic or anisotropic"),
        ({"supervision": "rgb", "loss": "crossloc"}, "no labels"),
        ({"supervision": "depth", "loss": "transpose"}, "three dimensions"),
        ({"uncertainty": "isotropic"}, "no likelihood"),
        ({"network": "scoordnet", "loss": "kfnet"}, "uncertainty=isotropic"),
        ({"canvas": (48, 60)}, "multiples of 8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_together_is_refused(configured, wrong, says):
    with pytest.raises(ConfigurationError, match=says):
        configured(**wrong)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_file_that_is_a_configuration(stage):
    file = ROOT / "config" / "training" / f"scene_coordinates_{stage}.yaml"
    config = load_config(SceneCoordinatesConfig, file, ["data=x", "out=y", "start_from=a.safetensors"])
    assert config.stage == stage and config.clip_norm == 1.0


def test_every_setting_has_a_meaning():
    assert all(meaning for _, _, meaning in describe_config(SceneCoordinatesConfig))


def test_the_estimator_takes_metres_of_a_depth_camera(configured):
    assert configured(threshold=None).inlier_threshold == 10.0
    assert configured(threshold=None, supervision="depth").inlier_threshold == 0.1
