"""`relpose checkpoint fetch`: a published file of weights from its publisher, as a checkpoint of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from relpose_ros.checkpoints.catalogue import CATALOGUE, Release, find_release
from relpose_ros.checkpoints.importing import ImportOptions, import_checkpoint
from relpose_ros.datasets.download import Progress, check_digest, digest_record, download
from relpose_ros.errors import CheckpointError, ConfigurationError, DatasetError


def licence_note(release: Release) -> str:
    """What a person should read before fetching."""
    size = f"about {release.bytes / 1e6:.0f} MB" if release.bytes else "size not known beforehand"
    use = "NON-COMMERCIAL USE ONLY" if release.publisher.non_commercial else "commercial use is not excluded"
    return (
        f"{release.name} ({size})\n  from    {release.url}\n  licence {release.publisher.licence}; {use}\n"
        f"  page    {release.publisher.page}\n  data    {release.data}"
    )


def fetch_checkpoint(
    name: str,
    out: str | Path,
    accept_licence: bool = False,
    progress: Progress | None = None,
    *,
    catalogue: Mapping[str, Release] | None = None,
) -> Path:
    """Download, check and import a published file of weights below `out`; returns the checkpoint's path.

    A broken-off download goes on where it stopped; a checkpoint that is there already is kept. Raises
    ConfigurationError for an unknown name, or when the licence is non-commercial and not accepted,
    CheckpointError when the download or its checksum is bad or the file is not what it should be.
    """
    release = (catalogue or CATALOGUE).get(name) or find_release(name)
    folder = Path(out)
    checkpoint = folder / f"{name.replace(':', '-')}.safetensors"
    if checkpoint.is_file():
        return checkpoint
    if release.publisher.non_commercial and not accept_licence:
        raise ConfigurationError(
            f"{licence_note(release)}\nTo fetch it, accept the licence: --accept-licence"
        )
    original = folder / "downloads" / release.file
    try:
        if not original.is_file():
            download(release.url, original, progress)
        digest, known = check_digest(original, release.sha256)
    except DatasetError as error:
        raise CheckpointError(str(error)) from error
    options = ImportOptions(network=release.network, origin=release.url, data=release.data)
    try:
        import_checkpoint(release.publisher.name, [original], checkpoint, options)
    except CheckpointError:
        if not known:  # an error page, or cut off: the next attempt must not find it
            original.unlink()
        raise
    digest_record(original).write_text(f"{digest}  {original.name}\n")
    original.unlink()
    return checkpoint
