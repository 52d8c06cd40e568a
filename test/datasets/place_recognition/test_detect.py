"""Which dataset a folder holds."""

from __future__ import annotations

import pytest

from relpose_ros.datasets.place_recognition.detect import detect_place_recognition
from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.errors import ConfigurationError, DatasetError


def touch(folder, *files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["places.json", "images/a.jpg"], "places"),
        (["gt.csv", "images/query/a.jpg", "images/ref/a.jpg"], "labelled"),
        (["raw/pitts30k_test.mat"], "pitts30k"),
        (["meta_250k.json", "splits_250k.json"], "pitts250k"),
        (["raw/tokyo247.mat", "meta.json", "splits.json"], "tokyo"),
        (["meta.json", "splits.json"], "custom"),
    ],
)
def test_names_of_files_tell(tmp_path, files, name):
    touch(tmp_path, *files)
    assert detect_place_recognition(tmp_path) == name


def test_two_in_one_folder_have_to_be_told_apart(tmp_path):
    touch(tmp_path, "raw/pitts30k_test.mat", "raw/pitts250k_test.mat")
    with pytest.raises(ConfigurationError, match="pitts30k and pitts250k; say which"):
        open_place_recognition("auto", tmp_path)


def test_none_says_what_was_looked_for(tmp_path):
    touch(tmp_path, "gt.csv", "meta.json", "images/query/a.jpg")
    with pytest.raises(
        DatasetError, match=r"(?s)places.json.*gt.csv and images/query.*meta.json.*prepare places"
    ):
        open_place_recognition("auto", tmp_path)
