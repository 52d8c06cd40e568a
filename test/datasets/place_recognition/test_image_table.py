"""Tables of image files with positions."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.datasets.place_recognition.image_table import read_image_table
from relpose_ros.errors import DatasetError


def table(folder, text, images=("a.jpg", "b.jpg", "c.jpg")):
    for image in images:
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        (folder / image).touch()
    (folder / "images.csv").write_text(text)
    return read_image_table(folder / "images.csv")


def test_metres_and_everything_else(tmp_path):
    read = table(
        tmp_path,
        "heading,file,x,y,camera,split,role,place\n90,a.jpg,1,2,front,train,query,yard\n"
        '-90,"b.jpg", 500000.25 ,4e6,back,test,both,"a, b"\n',
    )
    assert read.files == ("a.jpg", "b.jpg") and read.folder == tmp_path
    np.testing.assert_array_equal(read.ground, [[1, 2], [500000.25, 4e6]])
    np.testing.assert_allclose(read.headings, [np.pi / 2, -np.pi / 2])
    assert read.splits == ("train", "test") and read.roles == ("query", "both")
    assert read.places == ("yard", "a, b")


def test_images_may_be_in_a_folder_beside_it(tmp_path):
    assert table(tmp_path, "file,x,y\nd.jpg,0,0\n", ["images/d.jpg"]).folder == tmp_path / "images"


def test_degrees_become_metres(tmp_path):
    """Along the meridian of Paris one minute of arc is 1853 m (from the tables of WGS 84, at 48.85 degrees:
    111.2 km a degree), along the parallel 73.3 km a degree."""
    rows = "file,lat,lon\na.jpg,48.85,2.35\nb.jpg,48.86,2.35\nc.jpg,48.85,2.36\n"
    read = table(tmp_path, rows)
    a, b, c = read.points
    assert np.linalg.norm(b - a) == pytest.approx(1112.1, abs=0.5)
    assert np.linalg.norm(c - a) == pytest.approx(733.9, abs=0.5)
    east, north = (read.ground[1:] - read.ground[0]).T
    np.testing.assert_allclose(east, [0, 733.9], atol=0.6)
    np.testing.assert_allclose(north, [1112.1, 0], atol=0.6)


def test_centimetres_survive_and_far_away_is_far_away(tmp_path):
    rows = "file,lat,lon\na.jpg,48.85,2.35\nb.jpg,48.8500001,2.35\nc.jpg,-48.85,-177.65\n"
    a, b, c = table(tmp_path, rows).points
    assert np.linalg.norm(b - a) == pytest.approx(0.0111, rel=0.01)
    assert np.linalg.norm(c - a) > 1.2e7  # the antipode, which a plane would lay beside it


def test_across_the_date_line(tmp_path):
    a, b, _ = table(tmp_path, "file,lat,lon\na.jpg,0,179.9999\nb.jpg,0,-179.9999\nc.jpg,0,0\n").points
    assert np.linalg.norm(b - a) == pytest.approx(22.26, abs=0.01)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header"),
        ("file,x\n", "expected a header with file and either"),
        ("x,y\n1,2\n", "expected a header"),
        ("file,x,y,lat,lon\n", "expected a header"),
        ("file,x,x,y\n", "two columns are called 'x'"),
        ("file,x,y\n", "at least one image"),
        ("file,x,y\na.jpg,1\n", ":2: expected 3 fields"),
        ("file,x,y\na.jpg,1,\n", ":2: y is empty"),
        ("file,x,y\na.jpg,1,nan\n", ":2: y: expected a number"),
        ("file,x,y\na.jpg,1,inf\n", ":2: y: expected a number"),
        ("file,x,y\na.jpg,1,north\n", ":2: y: expected a number"),
        ("file,lat,lon\na.jpg,91,0\n", ":2: lat: expected a number from -90 to 90"),
        ("file,lat,lon\na.jpg,500000,4000000\n", "lat: expected"),
        ("file,x,y\na.jpg,1,2\na.jpg,3,4\n", ":3: 'a.jpg' is listed twice"),
        ("file,x,y\n../a.jpg,1,2\n", "inside the dataset"),
        ("file,x,y\na.jpg,1,2\nz.jpg,1,2\n", r"1 of 2 images are not in .*: z.jpg"),
        ("file,x,y,split\na.jpg,1,2,training\n", ":2: split: expected train, val, test"),
        ("file,x,y,role\na.jpg,1,2,reference\n", ":2: role: expected query, gallery, both"),
        ("file,x,y,heading\na.jpg,1,2,NNW\n", ":2: heading: expected a number"),
    ],
)
def test_broken_tables_name_the_line(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        table(tmp_path, text)
