"""`relpose train`: explains itself, refuses early, rehearses without a trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from relpose_ros.cli.main import main
from relpose_training.recipes import RECIPES

TOY = "toy_recipe:LineRecipe"


@pytest.fixture(autouse=True)
def path(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "engine")


def leave(*words):
    """The status that a command leaves with by itself."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code


def test_help_teaches_and_lists_recipes(capsys):
    assert leave("train", "--help") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in (*RECIPES, "state.pt", "--dry-run", "torchrun"))


def test_without_a_recipe_the_help_goes_to_stderr(capsys):
    assert leave("train") == 2
    assert "recipes: one_to_one" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help", "one_to_one"], ["one_to_one", "-h"]])
def test_a_recipe_explains_every_setting(capsys, words):
    from relpose_training.recipes.lookup import find_recipe

    assert leave("train", *words) == 0
    text = capsys.readouterr().out
    assert "learning_rate=" in text
    assert "Folder of this run" in text
    for name in find_recipe("one_to_one").config_class.__dataclass_fields__:
        assert f"\n  {name}=" in text


def test_the_help_imports_nothing_heavy():
    program = (
        "import sys, atexit; from relpose_ros.cli.main import main; heavy = {'torch', 'pydantic', 'numpy'}; "
        "atexit.register(lambda: print('HEAVY', heavy & sys.modules.keys())); main(['train', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "HEAVY set()" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing", "out=x"], "'nothing' is no recipe; there are: one_to_one"),
        (["no_such_module:Recipe", "out=x"], "no module 'no_such_module'"),
        (["toy_recipe:Nothing", "out=x"], "has no Nothing"),
        ([TOY], "out is needed"),
        ([TOY, "out=x", "stepz=4"], "did you mean steps?"),
        ([TOY, "out=x", "device=cuda:7"], "device="),
        ([TOY, "out=x", "--config", "no_such.yaml"], "no_such.yaml"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_made(capsys, monkeypatch, tmp_path, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("relpose_training.engine.device.TorchDevice", lambda *_: pytest.fail("too late"))
    assert main(["train", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_data_there_is_no_folder_afterwards(capsys, tmp_path):
    out, nowhere = tmp_path / "runs/first", tmp_path / "nowhere"
    assert main(["train", "one_to_one", f"out={out}", "device=cpu", f"data={nowhere}"]) == 2
    assert str(nowhere) in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_rehearsal_says_what_would_be_and_writes_nothing(capsys, tmp_path):
    run = tmp_path / "run"
    words = [f"out={run}", "device=cpu", "accumulate=3", "batch_size=2", f"backup={tmp_path / 'copy'}"]
    assert main(["train", TOY, *words, "--dry-run"]) == 0
    settings, facts = capsys.readouterr().out.split("\n\n", 1)
    assert yaml.safe_load(settings)["learning_rate"] == 0.001
    rows = dict(line.split("  ", 1) for line in facts.strip().splitlines())
    assert rows["parameters"].strip() == "41, of which 41 are trained"
    assert rows["training shards"].strip() == "2 (12 samples)"
    assert rows["samples a step"].strip() == "6"
    assert {"one step", "memory", "first step", "out", "device"} <= rows.keys()
    assert not list(tmp_path.iterdir())


def test_a_run_says_where_the_weights_are_and_how_good(capsys, tmp_path):
    words = [f"out={tmp_path / 'run'}", "device=cpu", "steps=20", "validate_every=10"]
    (tmp_path / "c.yaml").write_text("learning_rate: 1e-2\n")
    assert main(["train", TOY, *words[:2], "--config", str(tmp_path / "c.yaml"), *words[2:]]) == 0
    text = capsys.readouterr().out
    assert "best.safetensors: validation/error" in text
    assert "(step " in text
    written = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert (written["learning_rate"], written["steps"]) == (0.01, 20)
    assert (tmp_path / "run/curves.png").exists()
