"""`relpose test retrieval`: table, JSON, curves, page of pictures; refusals."""

from __future__ import annotations

import argparse
import json

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper

from relpose_ros.checkpoints.format import read_info
from relpose_ros.errors import CheckpointError, ConfigurationError, DatasetError, ImageError
from relpose_training.commands.progress import progress_line
from relpose_training.recipes.retrieval import page
from relpose_training.recipes.retrieval.command import add_arguments, run, split_words
from relpose_training.recipes.retrieval.fitting import training_images
from relpose_training.recipes.retrieval.page import queries_shown
from relpose_training.recipes.retrieval.subjects import NetworkSubject
from relpose_training.recipes.retrieval.tested import open_tested


def examined(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(word) for word in words]))


def test_one_run_compares_everything(labelled_set, places_set, write_network, tmp_path, capsys):
    nets = [write_network("a"), write_network("b", seed=1)]
    report = tmp_path / "report"
    assert examined("vlad", *nets, labelled_set, places_set, "--rerank", "--pca", 6, "--report", report) == 0
    table = capsys.readouterr().out
    assert (report / "table.txt").read_text().strip() in table
    assert "9 queries, 8 references; without a right one 1" in table
    content = json.loads((report / "results.json").read_text())
    assert (content["schema"], content["schema_version"]) == ("relpose_ros/retrieval", 1)
    assert [s["name"] for s in content["subjects"]] == ["vlad", "a/best", "b/best"]
    for part, queries in zip(content["sets"], (9, 8), strict=True):
        methods = [row["method"] for row in part["rows"]]
        kinds = ["", ", re-ranked", ", PCA 6", ", PCA 6, re-ranked"]
        networks = [f"{name}{kind}" for name in ("a/best", "b/best") for kind in kinds]
        assert methods == ["vlad", "vlad, re-ranked", *networks]
        for row in part["rows"]:
            assert len(row["per_query"]) == part["queries"] == queries
            check_recall(row)
    plain = content["sets"][0]["rows"][2]
    assert plain["recall"]["1"] == 1 and plain["per_query"][0]["right"][0] is True
    assert content["pca"]["fitted_to"]["images"] == 47 and content["pca"]["fitted_to"]["left_out"] == 1
    for name in ("recall.png", "recall.svg", "precision.png", "precision.svg"):
        assert (report / name).stat().st_size > 1000


def check_recall(row):
    """What the queries say is what the row says."""
    firsts = [q["first_right"] for q in row["per_query"] if q["references"]]
    for n, value in row["recall"].items():
        assert value == pytest.approx(np.mean([f is not None and f <= int(n) for f in firsts]))
        low, high = row["recall_interval_95"][n]
        assert low <= value <= high
    for q in row["per_query"]:
        place = None if q["first_right"] is None else q["right"].index(True) + 1
        assert q["first_right"] == place
        assert all(a >= b - 1e-6 for a, b in zip(q["scores"], q["scores"][1:], strict=False))


def test_the_page_is_whole_and_bounded(labelled_set, write_network, tmp_path):
    examined(write_network(), labelled_set, "--report", tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert "<script" not in text and "http" not in text.split("</style>")[1]
    assert text.count('class="shots"') == 9 and "no reference shows this place" in text
    assert 'class="right"' in text and 'class="wrong"' in text
    wrong, right = text.index("1 of 1 wrong"), text.index("8 of 8 right")
    assert wrong < right
    assert queries_shown(1) == page.MOST and queries_shown(1000) == page.LEAST
    assert 8 * queries_shown(8) * (page.SHOWN + 2) <= page.MAX_PICTURES


def test_the_most_confident_mistake_comes_first(labelled_set, write_network, tmp_path):
    """Labels shifted by one: every first answer is wrong, and the true one is shown as missed."""
    names = [f"{k:02d}.png" for k in range(8)]
    lines = [f"{a},{b}" for a, b in zip(names, names[1:] + names[:1], strict=True)]
    (labelled_set / "gt.csv").write_text("query,refs\n" + "\n".join(lines) + "\n")
    examined(write_network(), labelled_set, "--report", tmp_path, "--at", 1)
    text = (tmp_path / "index.html").read_text()
    rows = json.loads((tmp_path / "results.json").read_text())["sets"][0]["rows"][0]["per_query"]
    ordered = sorted(rows, key=lambda row: -row["scores"][0])
    places = [text.index(f'alt="query {row["query"]}"') for row in ordered]
    assert places == sorted(places) and text.count('class="missed"') == 8
    assert text.count("none of 1 answers is right") == 16  # the picture's alt, and its caption


def test_a_plugged_in_model_has_its_row(labelled_set, tmp_path):
    write_mean_colours(tmp_path)
    examined("vlad", tmp_path / "colours.yaml", labelled_set, "--json", tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["subjects"][1]["model"]["licence"] == "CC0" and content["subjects"][1]["model"]["sha256"]
    row = content["sets"][0]["rows"][1]
    assert row["method"].endswith("colours") and row["dimension"] == 12 and row["recall"]["1"] == 1


def write_mean_colours(folder):
    """An ONNX model: mean colours of the four quarters of an image; and its YAML."""
    image = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 3, 16, 16])
    output = helper.make_tensor_value_info("descriptor", onnx.TensorProto.FLOAT, ["n", 12])
    pool = helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=[8, 8], strides=[8, 8])
    flat = helper.make_node("Flatten", ["means"], ["descriptor"])
    graph = helper.make_graph([pool, flat], "colours", [image], [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, str(folder / "colours.onnx"))
    (folder / "colours.yaml").write_text(
        "kind: onnx\nfile: colours.onnx\nlicence: CC0\nsource: made here\n"
        "input: {height: 16, width: 16, mean: [0.5, 0.5, 0.5], spread: [1, 1, 1]}\n"
    )


def test_a_network_sees_what_its_header_says(labelled_set, write_network):
    tested = open_tested(str(labelled_set), queries=3)
    assert len(tested.query_paths) == 3
    plain = NetworkSubject(write_network(), "cpu", 2).describe(tested, progress_line)
    other = NetworkSubject(write_network(), "cpu", 3, (48, 64)).describe(tested, progress_line)
    assert plain.gallery.shape == other.gallery.shape and np.abs(plain.gallery - other.gallery).max() > 1e-3
    np.testing.assert_allclose(np.linalg.norm(plain.queries, axis=1), 1, rtol=1e-5)


def test_the_tokyo_rule_keeps_the_aspect_of_queries(labelled_set, write_network):
    """A portrait: squeezed into 32 x 48, or 48 wide and 96 high."""
    for path in (labelled_set / "images" / "query").iterdir():
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (60, 120)))
    network = NetworkSubject(write_network(), "cpu")
    seen = []
    network.network.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))
    network.describe(open_tested(str(labelled_set), rule="tokyo"), progress_line)
    assert seen == [(8, 3, 32, 48), (9, 3, 96, 48)]


def test_a_pca_never_sees_a_tested_query(places_set, labelled_set):
    sets = [open_tested(str(labelled_set)), open_tested(str(places_set))]
    images = training_images(sets)
    assert images.about.folder == str(places_set) and "without 1" in str(images.about)
    assert not {p.resolve() for p in images.paths} & {p.resolve() for s in sets for p in s.query_paths}
    assert training_images(sets[:1], str(places_set)).about.left_out == 0
    assert len(training_images(sets, limit=5).paths) <= 5
    with pytest.raises(DatasetError, match="--pca-data"):
        training_images(sets[:1])


def test_the_saved_checkpoint_ends_with_the_pca(places_set, write_network, tmp_path, capsys):
    saved, files = tmp_path / "small.safetensors", [tmp_path / f"{k}.json" for k in range(2)]
    examined(write_network(), places_set, "--pca", 6, "--save", saved, "--json", files[0])
    assert "47 training images" in capsys.readouterr().out
    examined(saved, places_set, "--json", files[1])
    before, after = (json.loads(file.read_text())["sets"][0]["rows"] for file in files)
    assert after[0]["dimension"] == 6 and len(after) == 1
    for one, other in zip(before[1]["per_query"], after[0]["per_query"], strict=True):
        np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-4)
    info = read_info(saved)
    assert "fitted to 47 training images" in info.origin and info.licence == "MIT" and not info.metrics
    with pytest.raises(ConfigurationError, match="exactly one checkpoint"):
        examined(write_network("a"), write_network("b"), places_set, "--pca", 6, "--save", saved)


def test_what_cannot_be_tested_is_named(labelled_set, places_set, write_network):
    with pytest.raises(CheckpointError, match="nothing of it"):
        examined(write_network("mute", retrieval={}), labelled_set)
    with pytest.raises(CheckpointError, match=r"dimension 99, its network gives \d+"):
        examined(write_network("other", dimension=99), labelled_set)
    with pytest.raises(CheckpointError, match=r"'descriptor'.*has pool, vlad"):
        examined(write_network("third", output="descriptor"), labelled_set)
    with pytest.raises(DatasetError, match="val split has no queries"):
        examined("vlad", places_set, "--split", "val")
    with pytest.raises(ConfigurationError, match="6000 and 47 images"):
        examined(write_network(), places_set, "--pca", 6000)
    (places_set / "images" / "test" / "queries" / "05.png").unlink()
    with pytest.raises(DatasetError, match=r"missing: test/queries/05\.png"):
        examined("vlad", places_set)
    (labelled_set / "images" / "ref" / "03.png").write_bytes(b"no image")
    for subject in ("vlad", write_network()):
        with pytest.raises(ImageError, match=r"ref/03\.png"):
            examined(subject, labelled_set)


def test_files_that_cannot_be_written_are_refused_before_the_work(labelled_set, write_network, tmp_path):
    (tmp_path / "file").write_text("")
    for option in ("--report", "--json"):
        with pytest.raises(ConfigurationError, match="expected a folder to write to"):
            examined("vlad", labelled_set, option, tmp_path / "file" / "inside" / "r.json")
    with pytest.raises(ConfigurationError, match=r"ends in \.safetensors"):
        examined(write_network(), labelled_set, "--pca", 4, "--save", tmp_path / "x.pth")


@pytest.mark.parametrize(
    "options",
    [
        ("--shortlist", "0"), ("--at", "0"), ("--batch", "0"), ("--queries", "-1"), ("--pca", "4"),
        ("--pca-data", "x"), ("--whole",), ("--rerank", "--compat"), ("--save", "x.safetensors"),
        ("--rerank", "--k1", "0"), ("--regions",),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options, labelled_set):
    with pytest.raises(ConfigurationError, match="expected"):
        examined("vlad", labelled_set, *options)


def test_words():
    assert split_words(["vlad", "a.safetensors", "x/", "vlad"]) == (["vlad", "a.safetensors"], ["x/"])
    for words in (["vlad"], ["x/"], ["a.safetensors", "b.safetensors"]):
        with pytest.raises(ConfigurationError, match="among the arguments"):
            split_words(words)


def test_nothing_right_at_all_is_still_a_table(labelled_set, write_network, capsys):
    (labelled_set / "gt.csv").write_text("query,refs\n00.png,01.png\n01.png,\n")
    examined("vlad", labelled_set, "--queries", 1)
    examined("vlad", labelled_set)
    assert "nan" not in capsys.readouterr().out
