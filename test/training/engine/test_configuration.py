"""Typed settings: what fits is taken, everything else is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import config_hash, describe_config, dump_config, load_config


@pytest.fixture
def load(toy):
    return lambda *words, file=None: load_config(toy.LineConfig, file, words)


def test_words_win_over_the_file_and_the_file_over_defaults(load, tmp_path):
    (tmp_path / "a.yaml").write_text("out: runs/a\nsteps: 7\nlearning_rate: 1e-3\nsamples: [3, 4]\n")
    config = load("steps=8", "steps=9", file=tmp_path / "a.yaml")
    assert (config.out, config.steps, config.samples) == (Path("runs/a"), 9, (3, 4))
    assert config.learning_rate == 1e-3
    assert config.batch_size == 8


@pytest.mark.parametrize(
    ("word", "name", "value"),
    [
        ("learning_rate=1e-3", "learning_rate", 1e-3),
        ("learning_rate=1", "learning_rate", 1.0),
        ("clip_norm=null", "clip_norm", None),
        ("clip_norm=.5", "clip_norm", 0.5),
        ("deterministic=true", "deterministic", True),
        ("samples=[1,2,3]", "samples", (1, 2, 3)),
        ("out=2026", "out", Path("2026")),
        ("out=null", "out", Path("null")),
        ("schedule=step", "schedule", "step"),
    ],
)
def test_values_are_read_as_a_person_means_them(load, word, name, value):
    found = getattr(load("out=x", word), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("stepz=3", "unknown key 'stepz'; did you mean steps?"),
        ("qqqq=3", "unknown key 'qqqq'; there are: out, seed"),
        ("steps=0", "steps=0: Input should be greater than 0"),
        ("steps=2.5", "steps=2.5: .*integer"),
        ("steps=true", "steps=true: .*integer"),
        ("steps='12'", 'steps="12": .*integer'),
        ("steps=many", 'steps="many": .*integer'),
        ("learning_rate=nan", "learning_rate="),
        ("learning_rate=.inf", "learning_rate=Infinity: .*finite"),
        ("learning_rate=-1", "learning_rate=-1: .*greater than 0"),
        ("ema=1.5", "ema=1.5: .*less than or equal to 1"),
        ("schedule=wavy", "schedule=\"wavy\": .*'constant', 'cosine'"),
        ("deterministic=yes please", 'deterministic="yes please": .*boolean'),
        ("samples=[1,a]", r"samples=\"a\": .*integer"),
        ("seed=2020-01-01", 'seed="2020-01-01": .*integer'),
        ("steps", "expected key=value, got 'steps'"),
        ("=3", "expected key=value, got '=3'"),
        ("samples=[1,", "is no YAML value"),
    ],
)
def test_what_does_not_fit_is_named(load, word, message):
    with pytest.raises(ConfigurationError, match=message):
        load("out=x", word)


def test_all_mistakes_are_told_at_once(load):
    with pytest.raises(ConfigurationError) as error:
        load("steps=-1", "no_such_key=1", "precision=float16")
    text = str(error.value)
    assert all(word in text for word in ("out is needed: out=...", "steps=-1", "no_such_key", "float16"))


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "\x00"])
def test_a_file_that_is_no_settings_is_named(load, tmp_path, content):
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(ConfigurationError, match=r"bad\.yaml: expected"):
        load("out=x", file=tmp_path / "bad.yaml")


def test_a_missing_file_is_named(load, tmp_path):
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml.*No such file"):
        load("out=x", file=tmp_path / "nothing.yaml")


def test_a_written_configuration_reads_back(load, tmp_path):
    import yaml

    config = load("out=x", "learning_rate=1e-5", "samples=[2,3]", "ema=0.9")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(dump_config(config)))
    assert load(file=tmp_path / "c.yaml") == config


def test_the_hash_is_of_what_is_trained(load):
    plain = config_hash(load("out=x"))
    assert plain == config_hash(load("out=y", "workers=3", "save_every=7", "device=cpu", "steps=50"))
    assert plain != config_hash(load("out=x", "seed=1"))
    assert plain != config_hash(load("out=x", "slope=2.5"))
    assert config_hash(load("out=x", "schedule=cosine")) != config_hash(
        load("out=x", "schedule=cosine", "steps=50")
    )


def test_every_setting_has_its_row_of_help(toy):
    rows = {row[0]: row[1:] for row in describe_config(toy.LineConfig)}
    assert rows["out=(needed)"] == (
        "path",
        "Folder of this run: state, checkpoints, metrics. A run that is there already is continued.",
    )
    assert rows["clip_norm=null"][0] == "number > 0 or null"
    assert rows["ema=null"][0] == "number >= 0 <= 1 or null"
    assert rows["schedule=constant"][0] == "constant|cosine|linear|step|exponential"
    assert rows["slope=2.0"] == ("number", "What is to be found.")
    assert all(kind and meaning for kind, meaning in rows.values())
