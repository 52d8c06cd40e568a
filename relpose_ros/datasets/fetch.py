"""`relpose dataset fetch`: a public dataset from its publisher into a folder that `open_source` reads."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from relpose_ros.datasets.archives import unpack, unpack_nested
from relpose_ros.datasets.catalogue import CATALOGUE, Entry
from relpose_ros.datasets.download import Progress, check_digest, digest_record, download
from relpose_ros.errors import ConfigurationError, DatasetError

__all__ = ["CATALOGUE", "Entry", "fetch", "find_entry", "licence_note", "list_datasets"]


def list_datasets() -> list[Entry]:
    """Everything that can be fetched, by name."""
    return [CATALOGUE[name] for name in sorted(CATALOGUE)]


def find_entry(name: str, catalogue: Mapping[str, Entry] = CATALOGUE) -> Entry:
    """The entry called `name`, whatever its case. Raises ConfigurationError listing what is like it."""
    for entry in catalogue.values():
        if entry.name.lower() == name.lower():
            return entry
    family = [n for n in sorted(catalogue) if n.split(":")[0] == name.split(":")[0].lower()]
    raise ConfigurationError(
        f"unknown dataset {name!r}; expected one of {', '.join(family or sorted(catalogue))}"
    )


def licence_note(entry: Entry) -> str:
    """What a person should read before fetching."""
    size = f"about {entry.bytes / 1e9:.1f} GB" if entry.bytes else "size not known beforehand"
    return f"{entry.name} ({size})\n  from    {entry.url}\n  licence {entry.licence}\n  page    {entry.page}"


def fetch(
    name: str,
    out: str | Path,
    accept_licence: bool = False,
    progress: Progress | None = None,
    *,
    catalogue: Mapping[str, Entry] = CATALOGUE,
) -> Path:
    """Download, check and unpack a dataset below `out`; returns the scene's folder.

    A broken-off download goes on where it stopped; a scene that is there already is not touched. Raises
    ConfigurationError for an unknown name or when the licence is not accepted, DatasetError when the
    download, its checksum or the archive is bad.
    """
    entry = find_entry(name, catalogue)
    home = Path(out) / entry.family
    scene = home / entry.folder / entry.scene
    if scene.is_dir():
        return scene
    if not accept_licence:
        raise ConfigurationError(f"{licence_note(entry)}\nTo fetch it, accept the licence: --accept-licence")
    archive = home / PurePosixPath(urlsplit(entry.url).path).name
    if not archive.is_file():
        download(entry.url, archive, progress)
    digest, known = check_digest(archive, entry.sha256)
    if progress:
        progress(0, 0, "unpacking")
    try:
        _unpack(archive, entry, home)
    except DatasetError:
        if not known:  # an error page, or cut off: the next attempt must not find it
            archive.unlink()
        raise
    digest_record(archive).write_text(f"{digest}  {archive.name}\n")
    archive.unlink()
    return scene


def _unpack(archive: Path, entry: Entry, home: Path) -> None:
    """Unpack beside the target and rename, so that a scene's folder is whole or not there."""
    with tempfile.TemporaryDirectory(prefix=".unpack.", dir=home) as temporary:
        unpack(archive, Path(temporary))
        top = Path(temporary) / entry.folder
        if not top.is_dir():
            found = ", ".join(sorted(p.name for p in Path(temporary).iterdir())[:10]) or "nothing"
            raise DatasetError(f"{archive}: expected a folder {entry.folder!r} in the archive, found {found}")
        unpack_nested(top)
        if not (top / entry.scene).is_dir():
            raise DatasetError(f"{archive}: there is no {entry.scene!r} in its folder {entry.folder!r}")
        target = home / entry.folder
        if target.exists():
            shutil.rmtree(target)  # a former, incomplete one: the scene looked for is not in it
        top.rename(target)
