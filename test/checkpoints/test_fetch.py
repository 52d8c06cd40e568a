"""`fetch_checkpoint` against a local server: licence, checksum, what is not a checkpoint."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import pytest
import torch

from relpose_ros.checkpoints.catalogue import CATALOGUE, Release, find_release
from relpose_ros.checkpoints.fetch import fetch_checkpoint, licence_note
from relpose_ros.checkpoints.format import read_info
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.registry import build_network

FREE, RESTRICTED = "dsacstar:chess", "relpose-gnn:small"


def saved(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture
def catalogue(server):
    server.files["/chess.net"] = saved(build_network("scene_coordinates.dsacstar_tiny").state_dict())
    gnn = build_network("relpose_gnn.r2", dimension=16).state_dict()
    server.files["/gnn.pth.tar"] = saved({"epoch": 1, "model_state_dict": gnn})
    releases = (
        Release(FREE, server.url("/chess.net"), "chess.net", "7-Scenes chess"),
        Release(RESTRICTED, server.url("/gnn.pth.tar"), "gnn.pth.tar", "7-Scenes", "relpose_gnn.r2"),
    )
    return {release.name: release for release in releases}


def test_it_is_fetched_imported_and_the_original_removed(server, catalogue, tmp_path):
    seen = []
    path = fetch_checkpoint(FREE, tmp_path, progress=lambda *a: seen.append(a), catalogue=catalogue)
    info = read_info(path)
    digest = hashlib.sha256(server.files["/chess.net"]).hexdigest()
    assert path.name == "dsacstar-chess.safetensors" and info.network == "scene_coordinates.dsacstar_tiny"
    assert digest in info.origin and server.url("/chess.net") in info.origin and seen
    assert [p.name for p in (tmp_path / "downloads").iterdir()] == ["chess.net.sha256"]
    server.files.clear()
    assert fetch_checkpoint(FREE, tmp_path, catalogue=catalogue) == path  # there already: no server


def test_a_non_commercial_licence_must_be_accepted_before_anything_is_asked_for(server, catalogue, tmp_path):
    with pytest.raises(ConfigurationError, match=r"(?s)NON-COMMERCIAL.*--accept-licence"):
        fetch_checkpoint(RESTRICTED, tmp_path, catalogue=catalogue)
    assert server.ranges == [] and not list(tmp_path.iterdir())
    assert fetch_checkpoint(RESTRICTED, tmp_path, accept_licence=True, catalogue=catalogue).is_file()


def test_a_broken_download_is_continued(server, catalogue, tmp_path):
    server.break_after = 100_000
    with pytest.raises(CheckpointError, match="run it again"):
        fetch_checkpoint(FREE, tmp_path, catalogue=catalogue)
    server.break_after, server.ranges = None, []
    assert fetch_checkpoint(FREE, tmp_path, catalogue=catalogue).is_file()
    assert server.ranges == ["bytes=300000-"]


@pytest.mark.parametrize("known", ["0" * 64, "0123"])
def test_a_wrong_checksum_is_refused_and_removed(catalogue, tmp_path, known):
    catalogue[FREE] = replace(catalogue[FREE], sha256=known)
    with pytest.raises(CheckpointError, match="its publisher states"):
        fetch_checkpoint(FREE, tmp_path, catalogue=catalogue)
    assert not list(tmp_path.rglob("chess*"))


def test_the_first_digits_of_a_checksum_do(server, catalogue, tmp_path):
    digest = hashlib.sha256(server.files["/chess.net"]).hexdigest()
    catalogue[FREE] = replace(catalogue[FREE], sha256=digest[:8])
    assert fetch_checkpoint(FREE, tmp_path, catalogue=catalogue).is_file()


def test_another_file_than_the_first_time_is_refused(server, catalogue, tmp_path):
    fetch_checkpoint(FREE, tmp_path, catalogue=catalogue).unlink()
    server.files["/chess.net"] = saved(build_network("scene_coordinates.dsacstar").state_dict())
    with pytest.raises(CheckpointError, match="the first download had"):
        fetch_checkpoint(FREE, tmp_path, catalogue=catalogue)


def test_an_error_page_is_not_kept(server, catalogue, tmp_path):
    page = server.files["/chess.net"]
    server.files["/chess.net"] = b"<html>sign in</html>"
    with pytest.raises(CheckpointError, match="expected a torch checkpoint"):
        fetch_checkpoint(FREE, tmp_path, catalogue=catalogue)
    server.files["/chess.net"] = page
    assert fetch_checkpoint(FREE, tmp_path, catalogue=catalogue).is_file()


def test_an_unknown_name_lists_those_of_its_system():
    with pytest.raises(ConfigurationError, match="relpose-gnn:7scenes"):
        find_release("relpose-gnn:mars")


def test_every_release_says_what_it_is():
    for release in CATALOGUE.values():
        assert release.url.startswith("https://") and release.publisher.licence in licence_note(release)
