"""The configurations that come with the project fit, and settings that would be ignored are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import load_config
from relpose_training.recipes.relpose_gnn.config import RelposeGnnConfig

FOLDER = Path(__file__).parents[4] / "config" / "training"
FILES = sorted(FOLDER.glob("relpose_gnn_*.yaml"))
PUBLISHED = [file for file in FILES if file.stem != "relpose_gnn_robot"]
NEEDED = ("data=graphs", "out=run")
COMPAT = ("convention", "loss", "translation_weight", "rotation_weight", "compat")


def load(*words: str, file: Path | None = None) -> RelposeGnnConfig:
    return load_config(RelposeGnnConfig, file, (*NEEDED, *words))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_configurations_of_the_project_fit(file):
    assert load(file=file).steps > 1000


def test_there_are_four_published_configurations_and_one_for_a_robot():
    assert len(FILES) == 5 and len(PUBLISHED) == 4


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_published_configurations_take_drawn_references(file):
    """Their period stays: a robot that uses the checkpoint goes by it."""
    own = yaml.safe_load(file.read_text())["period"]
    assert load("fixed=true", file=file).period == own


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_published_configurations_without_compat_lines_learn_an_uncertainty(file, tmp_path):
    values = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key not in COMPAT}
    plain = tmp_path / "plain.yaml"
    plain.write_text(yaml.safe_dump(values))
    assert load(file=plain).loss == "laplace"


def test_a_robot_is_trained_on_graphs_like_its_own():
    config = load(file=FOLDER / "relpose_gnn_robot.yaml")
    assert config.network == "robot" and config.period == 1 and not config.halving


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("network=r1", "rounds=3"), "rounds is no setting of network=r1, but of: robot, release, r3, r2"),
        (("network=release", "cell=16"), "cell is no setting of network=release, but of: robot"),
        (("network=r3", "channels=[8, 8, 8, 8]"), "channels is no setting of network=r3"),
        (("network=r2", "keys=12"), "keys is no setting of network=r2"),
        (("network=release", "values=4"), "values is no setting of network=release"),
        (("loss=l1", "beta=0.25"), "beta is no setting of loss=l1, but of: laplace, gaussian"),
        (("loss=laplace", "translation_weight=1.0"), "translation_weight is no setting of loss=laplace"),
        (("loss=gaussian", "rotation_weight=-2.0"), "rotation_weight is no setting of loss=gaussian"),
        (("fixed=true", "halving=false"), "halving is no setting of fixed=true"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(words, said):
    with pytest.raises(ConfigurationError, match=said):
        load(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("network=release", "rounds=2"),
        ("network=robot", "rounds=2", "cell=16", "keys=12", "values=4", "channels=[8, 8, 8, 8]"),
        ("loss=gaussian", "beta=0.25"),
        ("loss=l1", "translation_weight=1.0", "rotation_weight=-2.0"),
        ("fixed=false", "halving=false"),
    ],
)
def test_settings_that_are_used_are_taken(words):
    load(*words)
