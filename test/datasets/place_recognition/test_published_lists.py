"""Pittsburgh and Tokyo from .mat files that are written here, and files that are not what they should be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from relpose_ros.datasets.place_recognition.db_struct import read_db_struct
from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.datasets.place_recognition.pittsburgh import read_pittsburgh
from relpose_ros.datasets.place_recognition.tokyo import read_tokyo
from relpose_ros.errors import ConfigurationError, DatasetError


def cells(files):
    out = np.empty((len(files), 1), object)
    out[:, 0] = files
    return out


def write_mat(path, gallery, queries, stamps=False, compressed=True, **other):
    """`gallery` and `queries`: file -> (x, y)."""
    fields = {
        "whichSet": "x",
        "dbImageFns": cells(list(gallery)),
        "utmDb": np.array(list(gallery.values())).T,
    }
    fields |= {"dbTimeStamp": np.zeros(len(gallery))} if stamps else {}
    fields |= {"qImageFns": cells(list(queries)), "utmQ": np.array(list(queries.values())).T}
    fields |= {"qTimeStamp": np.zeros(len(queries))} if stamps else {}
    fields |= {"numImages": len(gallery), "numQueries": len(queries), "posDistThr": 25.0}
    fields |= {"posDistSqThr": 625.0, "nonTrivPosDistSqThr": 100.0}
    savemat(path, {"dbStruct": {**fields, **other}}, do_compression=compressed)


GALLERY = {f"000/00000{p}_pitch1_yaw{v}.jpg": (500000.0 + 12 * p, 4e6) for p in range(4) for v in (1, 2)}
QUERIES = {
    "000/000100_pitch1_yaw1.jpg": (500003.0, 4e6),
    "000/000101_pitch1_yaw1.jpg": (500036.0, 4e6 + 10.0),
}


@pytest.fixture
def pittsburgh(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for split in ("train", "val", "test"):
        write_mat(raw / f"pitts30k_{split}.mat", GALLERY, QUERIES)
    return tmp_path


def test_distance_on_the_ground_decides(pittsburgh):
    dataset = open_place_recognition("pitts30k", pittsburgh)
    assert [p.tolist() for p in dataset.train.positives] == [[0, 1, 2, 3], [6, 7]]  # 10 m, inclusive
    assert [n.tolist() for n in dataset.train.near] == [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7]]
    assert [p.tolist() for p in dataset.test.positives] == [[0, 1, 2, 3, 4, 5], [4, 5, 6, 7]]
    assert dataset.path(dataset.test.queries[0]).parts[-4:] == (
        "Pittsburgh",
        "queries",
        "000",
        "000100_pitch1_yaw1.jpg",
    )
    assert "test_gallery  |     4  |        8" in dataset.summary()


def test_the_views_of_a_panorama_are_one_place(pittsburgh):
    table = read_pittsburgh(pittsburgh / "raw")
    assert [len(place.images) for place in table.places[:6]] == [1, 1, 2, 2, 2, 2]
    assert table.subsets["q_train"] == (0, 1) and table.subsets["db_train"] == (2, 3, 4, 5)


def test_a_panorama_has_one_position(pittsburgh):
    moved = {**GALLERY, "000/000000_pitch1_yaw2.jpg": (500001.0, 4e6)}
    write_mat(pittsburgh / "raw/pitts30k_val.mat", moved, QUERIES)
    with pytest.raises(DatasetError, match="one position for all images of place '000/000000'"):
        open_place_recognition("pitts30k", pittsburgh)


def test_a_query_that_nothing_shows(pittsburgh):
    lonely = {**QUERIES, "000/000102_pitch1_yaw1.jpg": (600000.0, 4e6)}
    write_mat(pittsburgh / "raw/pitts30k_train.mat", GALLERY, lonely)
    assert len(open_place_recognition("pitts30k", pittsburgh).train.queries) == 2
    write_mat(pittsburgh / "raw/pitts30k_test.mat", GALLERY, lonely)
    dataset = open_place_recognition("pitts30k", pittsburgh)
    assert len(dataset.test.queries) == len(dataset.test.near) == len(dataset.test.positives) == 2
    assert dataset.dropped == {"train": 1, "test": 1}
    assert "left out: 1 queries of test" in dataset.summary() and "of val" not in dataset.summary()


def test_positions_of_another_zone_are_noticed(pittsburgh):
    elsewhere = {file: (x + 1e6, y) for file, (x, y) in QUERIES.items()}
    write_mat(pittsburgh / "raw/pitts30k_test.mat", GALLERY, elsewhere)
    dataset = open_place_recognition("pitts30k", pittsburgh)
    with pytest.raises(DatasetError, match=r"test split has no queries \(2 were left out.*train, val has"):
        dataset.split("test")
    assert len(dataset.split("val").queries) == 2
    with pytest.raises(DatasetError, match="expected a split of train, val, test, got 'exam'"):
        dataset.split("exam")


def test_missing_images_are_named(pittsburgh):
    dataset = open_place_recognition("pitts30k", pittsburgh)
    for image in (*dataset.val.queries, *dataset.val.gallery):
        dataset.path(image).parent.mkdir(parents=True, exist_ok=True)
        dataset.path(image).touch()
    dataset.check_images()
    dataset.path(dataset.val.gallery[3]).unlink()
    with pytest.raises(DatasetError, match=r"1 of 10 images .* missing: .*000001_pitch1_yaw2\.jpg; unpack"):
        dataset.check_images("val")


def write_tokyo(raw):
    raw.mkdir()
    for split in ("train", "val"):
        places = {f"03/pl{p}/{t}/i{v}.jpg": (10.0 * p, 0.0) for p in range(9) for t in "abc" for v in "01"}
        places["03/single/a/i0.jpg"] = (500.0, 0.0)
        query = {"03/pl0/b/q.jpg": (0.0, 0.0)}
        write_mat(raw / f"tokyoTM_{split}.mat", places, query, stamps=True)
    gallery = {f"03/0000{p}/v{v}.jpg": (10.0 * p, 0.0) for p in range(3) for v in range(2)}
    write_mat(raw / "tokyo247.mat", gallery, {"1.jpg": (0.0, 1.0), "2.jpg": (0.0, 1.0), "3.jpg": (9.0, 0.0)})


def test_tokyo(tmp_path):
    write_tokyo(tmp_path / "raw")
    table = read_tokyo(tmp_path / "raw")
    assert table.subsets["q_train"] == table.subsets["db_train"]
    assert len(table.subsets["q_val"]) == 9 and len(table.subsets["db_val"]) == 19
    assert len(table.subsets["q_test"]) == 2 and len(table.subsets["db_test"]) == 3
    assert table.images("db_test")[0].file == "tokyo247/images/03/00000/v0.png"
    queries = {table.places[n].images[0].split("/")[3] for n in table.subsets["q_val"]}
    assert len(queries) == 9  # one a position
    dataset = open_place_recognition("tokyo", tmp_path)
    own = [q.place for q in dataset.train.queries]
    gallery = dataset.train.gallery_places
    assert all(n not in gallery[p] for n, p in zip(own, dataset.train.positives, strict=True))
    assert all(n in gallery[p] for n, p in zip(own, dataset.train.near, strict=True))


def test_the_seed_chooses_validation_queries(tmp_path):
    write_tokyo(tmp_path / "raw")
    first, again, other = (read_tokyo(tmp_path / "raw", seed) for seed in (1, 1, 2))
    assert first == again and first.images("q_val") != other.images("q_val")


def test_fields_without_names_go_by_position(tmp_path):
    write_mat(tmp_path / "a.mat", GALLERY, QUERIES)
    named = read_db_struct(tmp_path / "a.mat")
    values = [
        ["x"],
        cells(list(GALLERY)),
        np.array(list(GALLERY.values())).T,
        np.zeros(8),
        cells(list(QUERIES)),
    ]
    values += [np.array(list(QUERIES.values())).T, np.zeros(2), 8, 2, 25.0, 625.0, 100.0]
    savemat(tmp_path / "b.mat", {"dbStruct": {f"s{i}": value for i, value in enumerate(values)}})
    found = read_db_struct(tmp_path / "b.mat")
    assert found.gallery == named.gallery and found.queries == named.queries
    np.testing.assert_array_equal(found.query_utm, named.query_utm)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"utmDb": np.zeros((2, 3))}, "expected positions"),
        ({"utmDb": np.full((2, 8), np.nan)}, "finite"),
        ({"qImageFns": cells(["../../secret.jpg", "b_.jpg"])}, "inside the dataset's folder"),
        ({"dbImageFns": cells([1.0] * 8)}, "one file name in each cell"),
    ],
)
def test_contents_that_do_not_fit(tmp_path, broken, message):
    write_mat(tmp_path / "x.mat", GALLERY, QUERIES, **broken)
    with pytest.raises(DatasetError, match=message):
        read_db_struct(tmp_path / "x.mat")


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "x.mat"
    with pytest.raises(DatasetError, match="no such file"):
        read_db_struct(path)
    for content in (b"", b"hello" * 100, b"\x89HDF\r\n\x1a\n" + bytes(600)):
        path.write_bytes(content)
        with pytest.raises(DatasetError):
            read_db_struct(path)
    savemat(path, {"other": 1})
    with pytest.raises(DatasetError, match="variable dbStruct"):
        read_db_struct(path)
    savemat(path, {"dbStruct": np.eye(3)})
    with pytest.raises(DatasetError, match="one struct"):
        read_db_struct(path)


@pytest.mark.parametrize("compressed", [True, False])
def test_a_cut_file_is_refused(tmp_path, compressed):
    write_mat(tmp_path / "x.mat", GALLERY, QUERIES, compressed=compressed)
    whole = (tmp_path / "x.mat").read_bytes()
    for length in range(0, len(whole) - 8, 97):
        (tmp_path / "x.mat").write_bytes(whole[:length])
        with pytest.raises(DatasetError):
            read_db_struct(tmp_path / "x.mat")


def test_names_and_folders(tmp_path):
    with pytest.raises(ConfigurationError, match="pitts30k"):
        open_place_recognition("paris", tmp_path)
    with pytest.raises(DatasetError, match="as published"):
        open_place_recognition("tokyo", tmp_path)
    with pytest.raises(DatasetError, match="nothing"):
        open_place_recognition("tokyo", tmp_path / "gone")
