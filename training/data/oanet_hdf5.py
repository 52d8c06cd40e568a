"""Reads the correspondence files of OANet: yfcc-sift-2000-train.hdf5 and its like."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_training.data.pair_correspondences import PairCorrespondences, pair_from_published

PAIR_GROUPS = ("xs", "ys", "ratios", "mutuals", "Rs", "ts")
CAMERA_GROUPS = ("cx1s", "cy1s", "f1s", "cx2s", "cy2s", "f2s")


class OANetFile:
    """A sequence of `PairCorrespondences`, each read when it is asked for. Close it, or use `with`.

    Raises DatasetError when the file is not there, is no HDF5 file, or lacks one of the 12 groups.
    """

    def __init__(self, path: str | Path) -> None:
        import h5py

        self.path = Path(path)
        try:
            self._file: Any = h5py.File(self.path, "r")
        except OSError as error:
            raise DatasetError(f"{path}: cannot be read ({error}); expected OANet's HDF5 file") from error
        counts = {name: self._count(name) for name in (*PAIR_GROUPS, *CAMERA_GROUPS)}
        if None in counts.values() or len(set(counts.values())) != 1:
            self.close()
            raise DatasetError(
                f"{path}: pairs by group: {counts}; expected the same number in each; write the file again"
            )
        self._pairs: int = counts["xs"] or 0

    def _count(self, name: str) -> int | None:
        group = self._file.get(name)
        return len(group) if hasattr(group, "keys") else None

    def __len__(self) -> int:
        return self._pairs

    def __getitem__(self, index: int) -> PairCorrespondences:
        arrays = {name: self._read(name, index) for name in PAIR_GROUPS}
        return pair_from_published(f"{self.path}, pair {index}", **arrays)

    def cameras(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Intrinsics K (3, 3) of both images of a pair, in pixels.

        OANet put the pixels it normalised in relation to (w - 1) / 2, so its cx contains that.
        """
        cx1, cy1, f1, cx2, cy2, f2 = (self._read(name, index).ravel() for name in CAMERA_GROUPS)
        return _intrinsics(f1, cx1, cy1), _intrinsics(f2, cx2, cy2)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> OANetFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, group: str, index: int) -> NDArray[Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"{self.path}: pair {index} of {len(self)}")
        try:
            return np.asarray(self._file[group][str(index)])
        except (KeyError, OSError, TypeError) as error:
            raise DatasetError(
                f"{self.path}: {group}/{index} cannot be read ({error}); the file is damaged, write it again"
            ) from error


def _intrinsics(f: NDArray[Any], cx: NDArray[Any], cy: NDArray[Any]) -> NDArray[np.float64]:
    return np.array([[f[0], 0, cx[0]], [0, f[1], cy[0]], [0, 0, 1]], np.float64)
