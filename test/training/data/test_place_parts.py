"""Parts of a place recognition set: divided so that no split sees another, joined without mixing them up."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.splits import PlaceSplit
from relpose_training.data.place_parts import PlacePart, divide_images, join_parts


def street(count, reach=1, wide=2, name="street", both=False):
    """Query k stands at gallery image k; positives are up to `reach` away, near up to `wide`."""
    queries = tuple(PlaceImage(f"{'g' if both else 'q'}{k:03d}", k, float(k), 0.0) for k in range(count))
    gallery = tuple(PlaceImage(f"g{k:03d}", k if both else count + k, float(k), 0.0) for k in range(count))
    lists = [
        tuple(np.arange(max(0, k - far), min(count, k + far + 1)) for k in range(count))
        for far in (reach, wide)
    ]
    return PlacePart(name, PlaceSplit(queries, gallery, lists[0], lists[1]), lists[1])


def files_near(part, whole):
    """Files of gallery images that queries of the part are near to, in the whole."""
    number = {image.file: k for k, image in enumerate(whole.split.queries)}
    return {
        whole.split.gallery[g].file
        for q in part.split.queries
        for g in whole.split.near[number[q.file]].tolist()
    }


@pytest.mark.parametrize("both", [False, True])
def test_no_split_sees_anything_of_another(both):
    whole = street(100, both=both)
    pieces = divide_images(whole, {"train": 0.6, "val": 0.2, "test": 0.2})
    assert list(pieces) == ["train", "val", "test"]
    for name, piece in pieces.items():
        galleries = {g.file for other in pieces if other != name for g in pieces[other].split.gallery}
        if name == "train":
            assert not galleries & files_near(piece, whole)
        for other in pieces:
            if other != name:
                seen = {image.file for image in pieces[other].split.queries} if both else set()
                assert not seen & {g.file for g in piece.split.gallery}
    tested = files_near(pieces["test"], whole) | files_near(pieces["val"], whole)
    assert not tested & {g.file for g in pieces["train"].split.gallery}
    sizes = {name: len(piece.split.queries) for name, piece in pieces.items()}
    assert sizes["train"] > 50 and min(sizes.values()) > 14, "few are lost where it was cut"


def test_lists_still_mean_the_same_images():
    whole = street(60)
    for piece in divide_images(whole, {"train": 0.7, "test": 0.3}).values():
        for q, query in enumerate(piece.split.queries):
            at = int(query.file[1:])
            for lists, far in ((piece.split.positives, 1), (piece.split.near, 2), (piece.found, 2)):
                places = [int(piece.split.gallery[g].file[1:]) for g in lists[q]]
                assert places and max(abs(p - at) for p in places) <= far


def test_separate_places_go_whole_and_by_the_seed():
    lists = tuple(np.array([k]) for k in range(50))
    queries = tuple(PlaceImage(f"q{k:02d}", k, 0.0, 0.0) for k in range(50))
    gallery = tuple(PlaceImage(f"g{k:02d}", 50 + k, 0.0, 0.0) for k in range(50))
    whole = PlacePart("many", PlaceSplit(queries, gallery, lists, lists), lists)
    first, again, other = (divide_images(whole, {"train": 0.5, "test": 0.5}, seed) for seed in (0, 0, 1))
    for pieces in (first, other):
        assert sum(piece.images for piece in pieces.values()) == 100, "nothing is lost"
        assert {len(piece.split.queries) for piece in pieces.values()} == {25}
        assert all(len(p) == 1 for piece in pieces.values() for p in piece.split.positives)
    assert first["train"].split.queries == again["train"].split.queries != other["train"].split.queries


def test_what_the_source_says_is_kept_to():
    whole = street(6, reach=0, wide=0)
    names = ("train", "train", "val", "val", "test", "test")
    whole = PlacePart(whole.name, whole.split, whole.found, (names, names))
    pieces = divide_images(whole, {"train": 1.0})
    assert {n: [q.file for q in p.split.queries] for n, p in pieces.items()} == {
        "train": ["q000", "q001"],
        "val": ["q002", "q003"],
        "test": ["q004", "q005"],
    }


def test_parts_have_nothing_in_common_when_joined():
    first, second = street(3, name="a").split, street(4, name="b").split
    joined = join_parts([first, second])
    assert (len(joined.queries), len(joined.gallery)) == (7, 7)
    assert joined.near[3].tolist() == [3, 4, 5] and joined.positives[0].tolist() == [0, 1]
    assert all((near < 3).all() for near in joined.near[:3]), "never near across parts"
    assert len({image.place for image in (*joined.queries, *joined.gallery)}) == 14
    assert join_parts([]).queries == ()


def test_tests_have_their_own_positives():
    part = street(5)
    assert part.as_in("train").positives[2].tolist() == [1, 2, 3]
    assert (
        part.as_in("test").positives[2].tolist() == part.as_in("val").positives[2].tolist() == [0, 1, 2, 3, 4]
    )
