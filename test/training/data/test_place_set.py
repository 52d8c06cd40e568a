"""A place recognition set from folders, labels and tables."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.data.place_images import ImageOptions, store_image
from relpose_training.data.place_overlap import OverlapOptions
from relpose_training.data.place_set import prepare_places
from relpose_training.data.place_sources import LabelledPlaces, PlaceOptions, PosedPlaces, SharedFrame
from relpose_training.data.place_table import TablePlaces
from relpose_training.data.sequences import SourceSequence

OPTIONS = PlaceOptions(OverlapOptions(depth=2.0), ImageOptions(100))


def posed(folder: Path) -> PosedPlaces:
    return PosedPlaces(SourceSequence(folder))


def snapshot(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_two_folders_are_negatives_of_each_other(tmp_path, wall_folder):
    folders = [wall_folder(tmp_path / name, 8, seed) for seed, name in enumerate(("one", "two"))]
    out = tmp_path / "set"
    dataset = prepare_places([posed(f) for f in folders], out, {"train": 1.0}, OPTIONS)
    back = open_place_recognition("auto", out)
    assert repr(back.train) == repr(dataset.train) and not back.val.queries
    assert len(back.train.queries) == 4 and len(back.train.gallery) == 12
    for query, positives, near in zip(back.train.queries, back.train.positives, back.train.near, strict=True):
        folder = query.file.split("/")[0]
        assert len(positives) and all(back.train.gallery[g].file.startswith(folder) for g in near)
    back.check_images()
    image = cv2.imread(str(back.path(back.train.queries[0])))
    assert image.shape == (100, 133, 3), "reduced to a short side of 100"
    assert not (out / ".parts").exists()


def test_whole_sources_are_divided_and_one_source_by_its_images(tmp_path, wall_folder):
    folders = [wall_folder(tmp_path / f"f{k}", 8, k) for k in range(3)]
    shares = {"train": 0.7, "val": 0.3}
    dataset = prepare_places([posed(f) for f in folders], tmp_path / "whole", shares, OPTIONS)
    train, val = (
        {i.file.split("/")[0] for i in (*s.queries, *s.gallery)} for s in (dataset.train, dataset.val)
    )
    assert len(train) == 2 and len(val) == 1 and not train & val
    with pytest.raises(DatasetError, match="train: no query is left: wherever its sources are divided"):
        prepare_places([posed(folders[0])], tmp_path / "one", shares, OPTIONS)  # all see one wall


def test_every_image_as_query_and_gallery(tmp_path, wall_folder):
    options = PlaceOptions(OverlapOptions(depth=2.0), queries="all")
    dataset = prepare_places(
        [posed(wall_folder(tmp_path / "w", 6))], tmp_path / "set", {"train": 1.0}, options
    )
    split = dataset.train
    assert split.queries == split.gallery and len(split.queries) == 6
    for own, (positives, near) in enumerate(zip(split.positives, split.near, strict=True)):
        assert own not in positives and own in near


def test_two_drives_through_one_place(tmp_path, wall_folder):
    day, night = (
        SourceSequence(wall_folder(tmp_path / name, 5, k)) for k, name in enumerate(("day", "night"))
    )
    source = PosedPlaces(SharedFrame((day, night)))
    split = prepare_places([source], tmp_path / "set", {"test": 1.0}, OPTIONS).test
    assert {q.file.split("/")[1] for q in split.queries} == {"1"}
    assert {g.file.split("/")[1] for g in split.gallery} == {"0"}
    assert len(split.queries) == 5 and all(len(p) for p in split.positives)


def test_an_interrupted_run_goes_on(tmp_path, wall_folder, monkeypatch):
    sources = [posed(wall_folder(tmp_path / name, 6, k)) for k, name in enumerate(("one", "two"))]
    out, calls = tmp_path / "set", []

    def stop(load, path, options):
        calls.append(path.name)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return store_image(load, path, options)

    monkeypatch.setattr("relpose_training.data.place_set.store_image", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare_places(sources, out, {"train": 1.0}, OPTIONS)
    assert not (out / "places.json").exists() and (out / ".parts").exists()
    said = []
    dataset = prepare_places(sources, out, {"train": 1.0}, OPTIONS, report=said.append)
    assert said[0] == "1 of 2 sequences were made before" and len(calls) == 9 + 6
    whole = prepare_places(sources, tmp_path / "whole", {"train": 1.0}, OPTIONS)
    assert repr(dataset.train) == repr(whole.train) and snapshot(out) == snapshot(tmp_path / "whole")


def test_images_that_were_stored_otherwise_are_stored_anew(tmp_path, wall_folder):
    source, out = posed(wall_folder(tmp_path / "w", 5)), tmp_path / "set"
    for size in (100, 50):
        options = PlaceOptions(OverlapOptions(depth=2.0), ImageOptions(size))
        dataset = prepare_places([source], out, {"train": 1.0}, options)
        assert cv2.imread(str(dataset.path(dataset.train.gallery[0]))).shape[0] == size
    (tmp_path / "w" / "images" / "mine").mkdir()
    (tmp_path / "other" / "images" / "w").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="not of a set of places"):
        prepare_places([source], tmp_path / "other", {"train": 1.0}, OPTIONS)
    assert (tmp_path / "other" / "images" / "w").is_dir()


def test_files_are_left_where_they_are(tmp_path, wall_folder):
    source = posed(wall_folder(tmp_path / "w", 5))
    options = PlaceOptions(OverlapOptions(depth=2.0), refer=True)
    prepare_places([source], tmp_path / "set", {"train": 1.0}, options)
    back = open_place_recognition("places", tmp_path / "set")
    assert back.images == tmp_path / "w" / "images" and snapshot(tmp_path / "set") == {"places.json"}
    back.check_images()


def test_nothing_in_common(tmp_path, wall_folder):
    folder = wall_folder(tmp_path / "w", 4)
    lines = [f"{k:03d}.png {1000 * k} 0 0 0 0 0 1" for k in range(4)]
    (folder / "poses.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError, match=r"train: none of 1 queries has a positive among 3 gallery images"):
        prepare_places([posed(folder)], tmp_path / "set", {"train": 1.0}, OPTIONS)
    (folder / "poses.txt").write_text(lines[0] + "\n")
    with pytest.raises(DatasetError, match=r"w: expected two images with poses or more, got 1 \(of 1\)"):
        prepare_places([posed(folder)], tmp_path / "set", {"train": 1.0}, OPTIONS)
    (folder / "split.txt").write_text("000.png map\n001.png query\n")
    with pytest.raises(DatasetError, match=r"got 1 \(of 2\)"):
        prepare_places([posed(folder)], tmp_path / "set", {"train": 1.0}, OPTIONS)


def test_a_source_is_given_once(tmp_path, wall_folder):
    source = posed(wall_folder(tmp_path / "w", 4))
    with pytest.raises(ConfigurationError, match="given twice"):
        prepare_places([source, source], tmp_path / "set", {"train": 1.0}, OPTIONS)


def labelled(folder, count):
    for side in ("query", "ref"):
        (folder / "images" / side).mkdir(parents=True)
        for k in range(count):
            cv2.imwrite(str(folder / "images" / side / f"{k:02d}.jpg"), np.full((60, 80), 5 * k, np.uint8))
    rows = [f"{k:02d}.jpg,{k:02d}.jpg" for k in range(count - 1)] + [f"{count - 1:02d}.jpg,"]
    (folder / "gt.csv").write_text("query,refs\n" + "\n".join(rows) + "\n")
    return folder


def test_labelled_places_are_divided_by_place(tmp_path):
    folder, out = labelled(tmp_path / "seasons", 20), tmp_path / "set"
    dataset = prepare_places([LabelledPlaces(folder)], out, {"train": 0.5, "test": 0.5}, PlaceOptions())
    assert sum(dataset.dropped.values()) == 1
    assert len(dataset.train.queries) + len(dataset.test.queries) == 19
    for split in (dataset.train, dataset.test):
        for query, positives in zip(split.queries, split.positives, strict=True):
            found = [split.gallery[g].file for g in positives]
            assert found == [query.file.replace("/query/", "/ref/")]
            ours, theirs = dataset.path(query), folder / "images/query" / Path(query.file).name
            assert ours.read_bytes() == theirs.read_bytes(), "small JPEG files are copied"
    content = json.loads((out / "places.json").read_text())
    assert content["splits"]["train"]["queries"][0]["x"] is None


def table(folder, rows, header="file,x,y"):
    folder.mkdir(exist_ok=True)
    for row in rows:
        cv2.imwrite(str(folder / row.split(",")[0]), np.zeros((8, 8), np.uint8))
    (folder / "images.csv").write_text(header + "\n" + "\n".join(rows) + "\n")
    return TablePlaces(folder / "images.csv")


def test_a_table_of_positions(tmp_path):
    rows = [f"{k}.png,{6 * k},0,{'query' if k == 3 else 'gallery'}" for k in range(9)]
    source = table(tmp_path / "town", rows, "file,x,y,role")
    assert source.name == "town"
    for split, reached in (("train", (2, 4)), ("test", (0, 1, 2, 4, 5, 6, 7))):
        dataset = prepare_places([source], tmp_path / split, {split: 1.0}, PlaceOptions(refer=True))
        found = getattr(dataset, split)
        names = [Path(found.gallery[g].file).stem for g in found.positives[0]]
        assert names == [str(k) for k in reached]
        assert len(found.near[0]) == 7 and "8" not in {
            Path(found.gallery[g].file).stem for g in found.near[0]
        }


def test_headings_and_splits_of_a_table(tmp_path):
    rows = ["a.png,0,0,350,train,query", "b.png,1,0,20,train,gallery", "c.png,1,0,90,train,gallery"]
    rows += ["d.png,1,0,350,test,gallery", "e.png,0,0,0,test,query"]
    source = table(tmp_path / "t", rows, "file,x,y,heading,split,role")
    dataset = prepare_places([source], tmp_path / "set", {"train": 0.5, "val": 0.5}, PlaceOptions(refer=True))
    # Everything is near everything: what the tests see is taken from training.
    assert [g.file for g in dataset.test.gallery] == ["d.png"] and not dataset.train.gallery


def test_looking_another_way_is_no_positive_but_near(tmp_path):
    rows = ["a.png,0,0,350,query", "b.png,1,0,20,gallery", "c.png,1,0,90,gallery"]
    source = table(tmp_path / "t", rows, "file,x,y,heading,role")
    split = prepare_places([source], tmp_path / "set", {"train": 1.0}, PlaceOptions(refer=True)).train
    assert split.positives[0].tolist() == [0] and split.near[0].tolist() == [0, 1]


def test_places_of_a_table_by_name(tmp_path):
    rows = ["a.png,yard,query", "b.png,yard,gallery", "c.png,hall,gallery", "d.png,hall,both"]
    split = prepare_places(
        [table(tmp_path / "t", rows, "file,place,role")],
        tmp_path / "s",
        {"test": 1.0},
        PlaceOptions(refer=True),
    ).test
    found = {
        q.file: [split.gallery[g].file for g in p]
        for q, p in zip(split.queries, split.positives, strict=True)
    }
    assert found == {"a.png": ["b.png"], "d.png": ["c.png"]}
    assert split.queries[0].place == split.gallery[0].place


def test_images_of_one_name_and_other_endings_are_kept_apart(tmp_path):
    rows = ["a.png,yard,query", "a.bmp,yard,gallery", "A.jpg,yard,gallery"]
    source = table(tmp_path / "t", rows, "file,place,role")
    dataset = prepare_places([source], tmp_path / "s", {"test": 1.0}, PlaceOptions())
    files = [image.file.lower() for image in (*dataset.test.queries, *dataset.test.gallery)]
    assert len(set(files)) == 3
    dataset.check_images()


@pytest.mark.parametrize(
    "bad",
    [{"queries": "some"}, {"query_every": 1}, {"limit": 1}, {"distances": (25.0, 10.0)}, {"heading": 0.0}],
)
def test_options_out_of_range(bad):
    with pytest.raises(ConfigurationError):
        PlaceOptions(**bad)
