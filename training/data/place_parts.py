"""Parts of a place recognition set, each in a frame of its own: dividing one into splits, joining many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.splits import Indices, PlaceSplit

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class PlacePart:
    """Images of one source. `split.positives` are to train with; `found` are what counts as found in a test
    (the same, but for sources of positions alone). `assigned`: which split each query and each image of the
    gallery belongs to, where the source says so, else empty."""

    name: str
    split: PlaceSplit
    found: tuple[Indices, ...]
    assigned: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    @property
    def images(self) -> int:
        """How many there are; one that is both query and gallery counts once."""
        return len({image.file for image in (*self.split.queries, *self.split.gallery)})

    def as_in(self, name: str) -> PlaceSplit:
        """As the split of that name has it."""
        if name == "train":
            return self.split
        return PlaceSplit(self.split.queries, self.split.gallery, self.found, self.split.near)

    def taken(self, queries: Mask, gallery: Mask) -> PlacePart:
        """Some of its queries (Q,) and gallery images (G,)."""
        new = np.cumsum(gallery) - 1

        def among(lists: Sequence[Indices]) -> tuple[Indices, ...]:
            chosen = (found for found, wanted in zip(lists, queries, strict=True) if wanted)
            return tuple(new[found[gallery[found]]].astype(np.int64) for found in chosen)

        split = PlaceSplit(
            _those(self.split.queries, queries),
            _those(self.split.gallery, gallery),
            among(self.split.positives),
            among(self.split.near),
        )
        return PlacePart(self.name, split, among(self.found))


def divide_images(part: PlacePart, shares: Mapping[str, float], seed: int = 0) -> dict[str, PlacePart]:
    """A part in several splits that have nothing in common.

    As `assigned`, where the source says it; otherwise groups of images that are near each other stay
    together, in an order drawn by `seed`, and only a group that is too large is cut in runs of its images.
    What then still sees something of another split's is left out: training images that a query of validation
    or test is near to, and training queries near to their galleries; of test and validation likewise.
    """
    if any(part.assigned):
        queries, gallery = (np.array(names, dtype=object) for names in part.assigned)
    else:
        queries, gallery = _drawn(part.split, shares, seed)
    names = [name for name in ("test", "val", "train") if name in {*queries.tolist(), *gallery.tolist()}]
    kept_queries, kept_gallery = np.ones(len(queries), bool), np.ones(len(gallery), bool)
    for rank, name in enumerate(names):  # test before val before train: the later gives way
        later = set(names[rank + 1 :])
        for query, near in enumerate(part.split.near):
            across = near[gallery[near] != queries[query]]
            if queries[query] == name:
                kept_gallery[[k for k in across.tolist() if gallery[k] in later]] = False
            elif queries[query] in later and (gallery[across] == name).any():
                kept_queries[query] = False
    out = {
        name: part.taken(kept_queries & (queries == name), kept_gallery & (gallery == name))
        for name in reversed(names)
    }
    return {name: taken for name, taken in out.items() if taken.images}


def join_parts(parts: Sequence[PlaceSplit]) -> PlaceSplit:
    """All of them as one split: images of one are never positives nor near of another's."""
    queries: list[PlaceImage] = []
    gallery: list[PlaceImage] = []
    positives: list[Indices] = []
    near: list[Indices] = []
    places = 0
    for part in parts:
        positives += [found + len(gallery) for found in part.positives]
        near += [found + len(gallery) for found in part.near]
        queries += [image._replace(place=image.place + places) for image in part.queries]
        gallery += [image._replace(place=image.place + places) for image in part.gallery]
        places += 1 + max((image.place for image in (*part.queries, *part.gallery)), default=-1)
    return PlaceSplit(tuple(queries), tuple(gallery), tuple(positives), tuple(near))


def _drawn(split: PlaceSplit, shares: Mapping[str, float], seed: int) -> tuple[Indices, Indices]:
    """Names of splits (Q,), (G,), dtype object: whole groups, and the large ones cut."""
    groups = _groups(split)
    count = len(split.queries)
    total = len(groups)
    names = np.full(total, "", dtype=object)
    sizes = np.bincount(groups)
    large = sizes > 0.5 * min(shares.values()) * total
    filled = dict.fromkeys(shares, 0)
    for group in np.flatnonzero(large).tolist():
        members = np.flatnonzero(groups == group)
        for name, run in _runs(_in_order(members, split), shares).items():
            names[run] = name
            filled[name] += len(run)
    for group in np.random.default_rng([seed, 11]).permutation(np.flatnonzero(~large)).tolist():
        if not sizes[group]:
            continue
        placed = sum(filled.values()) + int(sizes[group])
        name = max(shares, key=lambda n: shares[n] * placed - filled[n])
        names[groups == group] = name
        filled[name] += int(sizes[group])
    return names[:count], names[count:]


def _groups(split: PlaceSplit) -> Indices:
    """Which images are connected by being near, as numbers (Q + G,): queries, then gallery. An image that is
    both is one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(split.queries)
    rows = np.repeat(np.arange(count), [len(near) for near in split.near])
    columns = np.concatenate([np.zeros(0, np.int64), *split.near]) + count
    at = {image.file: count + k for k, image in enumerate(split.gallery)}
    twins = [(k, at[image.file]) for k, image in enumerate(split.queries) if image.file in at]
    own = np.array(twins, np.int64).reshape(-1, 2)
    rows, columns = np.append(rows, own[:, 0]), np.append(columns, own[:, 1])
    total = count + len(split.gallery)
    links = coo_matrix((np.ones(len(rows)), (rows, columns)), (total, total))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _in_order(members: Indices, split: PlaceSplit) -> Indices:
    """Images of one group: the gallery as it is listed, each query at the middle of what it should find."""
    count = len(split.queries)
    place = [
        float(np.median(split.near[k])) if k < count and len(split.near[k]) else float(k - count)
        for k in members.tolist()
    ]
    return members[np.argsort(place, kind="stable")]


def _runs(members: Indices, shares: Mapping[str, float]) -> dict[str, Indices]:
    ends = np.rint(np.cumsum(list(shares.values())) * len(members)).astype(int)[:-1]
    return dict(zip(shares, np.split(members, ends), strict=True))


def _those(images: tuple[PlaceImage, ...], wanted: Mask) -> tuple[PlaceImage, ...]:
    return tuple(image for image, w in zip(images, wanted.tolist(), strict=True) if w)
