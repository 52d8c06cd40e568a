"""One file over HTTP, resumed where the last attempt stopped."""

from __future__ import annotations

import hashlib
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from relpose_ros.errors import DatasetError

CHUNK = 1 << 20
TIMEOUT_S = 30.0
ATTEMPTS = 3

Progress = Callable[[int, int, str], None]
"""Called with bytes done, bytes in all (0: not known), and what is happening."""


def download(url: str, path: Path, progress: Progress | None = None) -> Path:
    """Download `url` to `path`, which appears only when it is whole.

    What has come is kept in `<path>.part` and continued by a Range request the next time, as long as the
    server still has the same file. Raises DatasetError when it cannot be had.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DatasetError(f"expected an http or https address, got {url!r}")
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            if _continue(url, part, progress):
                part.rename(path)
                _notes(part).unlink(missing_ok=True)
                return path
            reason = "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code == 416:  # our part is longer than the file: it is of something else
                part.unlink(missing_ok=True)
                reason = "the part on disk did not fit the file"
                continue
            raise DatasetError(
                f"{url}: the server answers {error.code} {error.reason}; has the file moved?"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
    have = part.stat().st_size if part.exists() else 0
    raise DatasetError(
        f"{url}: {reason} after {ATTEMPTS} attempts, {have} bytes are kept; run it again to go on"
    )


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_record(file: Path) -> Path:
    """Where the sha256 of the first download of `file` is kept."""
    return file.with_name(f"{file.name}.sha256")


def check_digest(file: Path, stated: str | None = None) -> tuple[str, bool]:
    """The sha256 of a download, and whether it was known: `stated` by its publisher, or from the first time.

    `stated` may be the first digits alone. Raises DatasetError, and removes the file, if it is another one.
    """
    digest, record = sha256_of(file), digest_record(file)
    first = record.read_text().split() if record.is_file() else []
    expected = stated or (first[0] if first else None)
    if expected is not None and not digest.startswith(expected):
        file.unlink()
        told = "its publisher states" if stated else f"the first download had ({record})"
        raise DatasetError(
            f"{file}: expected sha256 {expected} as {told}, got {digest}; the file was removed. "
            "Fetch again; if it stays so, the publisher changed the file or somebody else did"
        )
    return digest, expected is not None


def _continue(url: str, part: Path, progress: Progress | None) -> bool:
    """Fetch what is missing of `part`; whether it is whole now."""
    have, version = (part.stat().st_size if part.exists() else 0), _read_version(part)
    request = urllib.request.Request(url, headers={"User-Agent": "relpose_ros"})
    if have and version:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)  # another version of the file comes whole, as 200
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        resumed = response.status == 206
        start = _range_start(response.headers.get("Content-Range", ""), url) if resumed else 0
        if resumed and start != have:
            part.unlink()
            raise DatasetError(
                f"{url}: asked to go on at byte {have}, the server went on at {start}; run it again"
            )
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else 0
        _notes(part).write_text(json.dumps({"version": _version(response)}))
        return _receive(response, part, start, total, progress)


def _receive(response: Any, part: Path, start: int, total: int, progress: Progress | None) -> bool:
    done = start
    with part.open("ab" if start else "wb") as file:
        while block := response.read(CHUNK):
            file.write(block)
            done += len(block)
            if progress:
                progress(done, total, "downloading")
    return done == total or not total


def _range_start(header: str, url: str) -> int:
    """`bytes 100-999/1000` -> 100."""
    try:
        return int(header.removeprefix("bytes ").split("-")[0])
    except ValueError:
        raise DatasetError(
            f"{url}: the server answers a Range request with Content-Range {header!r}"
        ) from None


def _version(response: Any) -> str:
    """What identifies this version of the file for If-Range: a strong ETag or the date, "" for neither."""
    etag = str(response.headers.get("ETag") or "")
    return etag if etag and not etag.startswith("W/") else str(response.headers.get("Last-Modified") or "")


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_version(part: Path) -> str:
    try:
        return str(json.loads(_notes(part).read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # nothing known about the part: it is fetched anew
