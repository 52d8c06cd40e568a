"""A copy of a run in another folder or a bucket, from which a new machine goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from relpose_ros.errors import ConfigurationError, DependencyError
from relpose_training.engine.journal import METRICS
from relpose_training.engine.results import BEST, LAST
from relpose_training.engine.states import STATE

CONFIG = "config.yaml"
RESULTS = (CONFIG, METRICS, BEST, LAST)


class Backup:
    """Copies of the files of a run; the state is copied last, so that what it goes with is there.

    Raises ConfigurationError if the place cannot be written or read, DependencyError if fsspec lacks the
    package for it (gcsfs for gs://, s3fs for s3://).
    """

    def __init__(self, url: str, folder: Path) -> None:
        import fsspec

        self.folder = folder
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise DependencyError(f"backup={url}: {error}") from None
        except ValueError as error:
            raise ConfigurationError(f"backup={url}: {error}") from None
        self._url = url
        self._sent: dict[str, int] = {}

    def fetch(self) -> None:
        """Bring the run here; its state replaces one that is here, other files only fill what is missing."""
        names = [STATE, *(name for name in RESULTS if not (self.folder / name).exists())]
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            source = f"{self._root}/{name}"
            part = self.folder / f".{name}.{os.getpid()}"
            if self._call("exists", source):
                self._call("get_file", source, str(part))
                part.replace(self.folder / name)

    def send(self) -> None:
        """Copy every file that has changed since the last time."""
        self._call("makedirs", self._root, exist_ok=True)
        for name in (*RESULTS, STATE):
            path = self.folder / name
            if path.exists() and path.stat().st_mtime_ns != self._sent.get(name):
                changed = path.stat().st_mtime_ns
                part = f"{self._root}/.{name}"
                self._call("put_file", str(path), part)
                self._call("mv", part, f"{self._root}/{name}")
                self._sent[name] = changed

    def _call(self, name: str, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(self._files, name)(*arguments, **options)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"backup={self._url}: cannot {name} {arguments[0]}: {error}") from None
