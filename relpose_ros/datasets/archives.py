"""Unpacking of archives from elsewhere: nothing lands outside the folder, and no bomb goes off."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from relpose_ros.errors import ConfigurationError, DatasetError

MAX_RATIO = 200
"""Unpacked bytes for each packed one; images and text stay far below."""
FREE_BYTES = 200_000_000
"""Below this size the ratio does not matter."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .zip, .tar, .tgz or .tar.gz into `folder`, which should be new.

    Only plain files and folders inside `folder` are accepted: a path that leaves it, a link, a device, a
    file that is there twice, or an absurd size refuses the whole archive before anything is written.
    Raises DatasetError, also for a broken archive, and ConfigurationError when the disk is full.
    """
    with _failures(archive):
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder)
        elif tarfile.is_tarfile(archive):
            _unpack_tar(archive, folder)
        else:
            raise DatasetError(
                f"{archive}: expected a zip or tar archive; the server may have sent an error page"
            )


def unpack_nested(folder: Path) -> None:
    """Unpack the zips in `folder` beside themselves and remove them: 7-Scenes ships its sequences so."""
    for archive in sorted(folder.glob("*.zip")):
        unpack(archive, folder)
        archive.unlink()


def _unpack_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise DatasetError(
                    f"{archive}: {member.filename!r} is a link or a device; the archive is refused"
                )
        targets = _targets(archive, folder, [m.filename for m in members if not m.is_dir()])
        _refuse_bomb(archive, folder, sum(m.file_size for m in members))
        for member in members:
            if not member.is_dir():
                with opened.open(member) as source:
                    _write(source, targets[member.filename], member.file_size)


def _unpack_tar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
        for member in members:
            if not member.isfile() and not member.isdir():
                raise DatasetError(
                    f"{archive}: {member.name!r} is a link or a device; the archive is refused"
                )
        files = [member for member in members if member.isfile()]
        targets = _targets(archive, folder, [member.name for member in files])
        _refuse_bomb(archive, folder, sum(member.size for member in files))
        for member in files:
            source = opened.extractfile(member)
            assert source is not None
            _write(source, targets[member.name], member.size)


def _targets(archive: Path, folder: Path, names: Iterable[str]) -> dict[str, Path]:
    """Where each member goes; DatasetError if one leaves the folder or two are the same."""
    root = folder.resolve()
    targets: dict[str, Path] = {}
    taken: set[Path] = set()
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        parts = [part for part in path.parts if part != "."]
        target = root.joinpath(*parts)
        leaves = path.is_absolute() or ".." in parts or not target.is_relative_to(root)
        if leaves or not parts or ":" in parts[0]:
            raise DatasetError(f"{archive}: {name!r} would land outside the folder; the archive is refused")
        if target.exists() or target in taken:
            raise DatasetError(f"{archive}: {name!r} is there twice; the archive is refused")
        taken.add(target)
        targets[name] = target
    return targets


def _refuse_bomb(archive: Path, folder: Path, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if size > max(FREE_BYTES, MAX_RATIO * archive.stat().st_size):
        raise DatasetError(f"{archive}: would unpack to {size} bytes, absurdly much; the archive is refused")
    free = shutil.disk_usage(folder).free
    if size > free:
        need = f"{size / 1e9:.1f} GB are needed to unpack, {free / 1e9:.1f} GB are free"
        raise ConfigurationError(f"{folder}: {need}; make room, or choose another folder")


def _write(source: IO[bytes], target: Path, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        shutil.copyfileobj(source, file)
    if target.stat().st_size != size:
        raise DatasetError(f"{target}: unpacked to {target.stat().st_size} bytes instead of {size}")


@contextmanager
def _failures(archive: Path) -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise DatasetError(
            f"{archive}: the archive is broken ({error}); delete it and fetch again"
        ) from error
