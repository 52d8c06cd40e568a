"""What a map reads from its file when it is asked: rows of datasets, features of references."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import DTypeLike, NDArray

from relpose_ros.errors import MapError
from relpose_ros.features.compression import dequantize
from relpose_ros.maps.blocks import BlockFile
from relpose_ros.maps.bundle import ReferenceFeatures

SUBPIXEL = 32.0
"""Keypoints are stored in 1/32 pixel: an order finer than their noise, up to 2047 pixels."""

Decode = Callable[[NDArray[Any]], NDArray[Any]]


class StoredRows(NDArrayOperatorsMixin):
    """A dataset that behaves as a read-only array: `rows[index]` reads those rows, anything else all.

    `decode` makes of stored rows (M, ...) what they stand for (M, ...). Reading raises MapError
    where the file is damaged.
    """

    def __init__(self, file: BlockFile, name: str, decode: Decode) -> None:
        self._file, self._name, self._decode = file, name, decode
        empty = decode(np.zeros((0, *file[name].row_shape), file[name].dtype))
        self.shape: tuple[int, ...] = (file[name].shape[0], *empty.shape[1:])
        self.dtype = empty.dtype

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all rows take in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, index: Any) -> NDArray[Any]:
        if isinstance(index, tuple):
            return np.asarray(self[index[0]][(slice(None), *index[1:])])
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(len(self))
            return self._decode(self._file.run(self._name, start, stop))
        if isinstance(index, (int, np.integer)):
            return np.asarray(self[np.array([index])][0])
        chosen = np.arange(len(self))[index]
        rows = self._file.rows(self._name, chosen.ravel())
        return self._decode(rows).reshape(*chosen.shape, *self.shape[1:])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("the rows are in a file: they cannot be an array without a copy")
        return np.asarray(self[:], dtype)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        arrays = [np.asarray(x) if isinstance(x, StoredRows) else x for x in inputs]
        return getattr(ufunc, method)(*arrays, **keywords)

    def astype(self, dtype: DTypeLike) -> NDArray[Any]:
        """All rows, of another type."""
        return np.asarray(self[:].astype(dtype))

    def copy(self) -> NDArray[Any]:
        """All rows."""
        return np.array(self[:])


class StoredFeatures(Sequence[ReferenceFeatures]):
    """The references' features, each read when it is asked for; the last ones asked for are kept."""

    KEPT = 128

    def __init__(self, file: BlockFile, landmark_descriptors: NDArray[np.float32], landmarks: int) -> None:
        self._file, self._known, self._landmarks = file, landmark_descriptors, landmarks
        self._begin = file.read("keypoints/offset")
        self._loose = file.read("keypoints/loose_offset")
        for ends, names in (
            (self._begin, ("keypoints/pixel", "keypoints/landmark")),
            (self._loose, ("keypoints/descriptor",)),
        ):
            if ends[0] != 0 or (np.diff(ends) < 0).any() or any(file[n].shape[0] != ends[-1] for n in names):
                raise ValueError(f"{', '.join(names)} end elsewhere than their offsets say")
        self._kept: OrderedDict[int, ReferenceFeatures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._begin) - 1

    @overload
    def __getitem__(self, index: int) -> ReferenceFeatures: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ReferenceFeatures, ...]: ...
    def __getitem__(self, index: int | slice) -> ReferenceFeatures | tuple[ReferenceFeatures, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        number = range(len(self))[index]
        found = self._kept.get(number)
        if found is None:
            found = self._kept[number] = self._read(number)
            while len(self._kept) > self.KEPT:
                self._kept.popitem(last=False)
        return found

    def seen(self, index: int) -> NDArray[np.int32]:
        """Of each keypoint of a reference, the landmark seen there or -1."""
        rows = slice(*self._begin[index : index + 2].tolist())
        seen = _span(self._file, "keypoints/landmark", rows)
        if seen.max(initial=-1) >= self._landmarks:
            raise MapError(
                f"{self._file.path}: a keypoint of reference {index} names landmark {seen.max()}, but there "
                f"are {self._landmarks}; rebuild the map"
            )
        return seen

    def _read(self, index: int) -> ReferenceFeatures:
        seen = self.seen(index)
        keypoints = slice(*self._begin[index : index + 2].tolist())
        loose = slice(*self._loose[index : index + 2].tolist())
        descriptors = np.empty((len(seen), self._known.shape[1]), np.float32)
        descriptors[seen >= 0] = self._known[seen[seen >= 0]]
        descriptors[seen < 0] = dequantize(_span(self._file, "keypoints/descriptor", loose))
        return ReferenceFeatures(pixels(_span(self._file, "keypoints/pixel", keypoints)), seen, descriptors)


class StoredSightings(Sequence[NDArray[np.int32]]):
    """For each reference the landmarks that it sees, read when it is asked for."""

    def __init__(self, features: StoredFeatures) -> None:
        self._features = features

    def __len__(self) -> int:
        return len(self._features)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.int32]: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[NDArray[np.int32], ...]: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.int32] | tuple[NDArray[np.int32], ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        seen = self._features.seen(range(len(self))[index])
        return seen[seen >= 0]


def pixels(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Stored keypoints (N, 2) -> pixels."""
    return np.asarray(stored.astype(np.float32) / np.float32(SUBPIXEL) - np.float32(0.5))


def _span(file: BlockFile, name: str, rows: slice) -> NDArray[Any]:
    """Consecutive rows through the cache: neighbouring references share blocks."""
    return file.rows(name, np.arange(rows.start, rows.stop))
