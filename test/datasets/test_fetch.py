"""Downloads from a local server: resume, truncation, checksums, licences, hostile archives."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import zipfile

import pytest

from relpose_ros.datasets import archives
from relpose_ros.datasets.archives import unpack
from relpose_ros.datasets.download import download
from relpose_ros.datasets.fetch import CATALOGUE, Entry, fetch, find_entry, licence_note, list_datasets
from relpose_ros.errors import ConfigurationError, DatasetError

BODY = bytes(range(256)) * 4000


def zipped(files: dict[str, bytes], mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


def tarred(members: list[tuple[str, bytes, bytes]]) -> bytes:
    """Members as (name, type, content or link target)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                info.linkname = data.decode()
                archive.addfile(info)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------ download


def test_a_whole_file(server, tmp_path):
    server.files["/a.zip"] = BODY
    seen = []
    path = download(server.url("/a.zip"), tmp_path / "x" / "a.zip", lambda *args: seen.append(args))
    assert path.read_bytes() == BODY
    assert [p.name for p in path.parent.iterdir()] == ["a.zip"]
    assert seen[-1] == (len(BODY), len(BODY), "downloading")


def test_a_broken_connection_is_continued(server, tmp_path):
    """Each answer breaks off after 300 kB; the next asks for the rest only."""
    server.files["/a.zip"], server.break_after = BODY, 400_000
    assert download(server.url("/a.zip"), tmp_path / "a.zip").read_bytes() == BODY
    assert server.ranges == [None, "bytes=400000-", "bytes=800000-"]


def test_what_came_is_kept_for_the_next_run(server, tmp_path):
    server.files["/a.zip"], server.break_after = BODY, 10_000
    with pytest.raises(DatasetError, match=r"30000 bytes are kept; run it again"):
        download(server.url("/a.zip"), tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    server.break_after, server.ranges = None, []
    assert download(server.url("/a.zip"), tmp_path / "a.zip").read_bytes() == BODY
    assert server.ranges == ["bytes=30000-"]
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_another_version_of_the_file_is_not_glued_to_the_old_part(server, tmp_path):
    server.files["/a.zip"], server.break_after = b"old" * 100_000, 50_000
    with pytest.raises(DatasetError):
        download(server.url("/a.zip"), tmp_path / "a.zip")
    server.files["/a.zip"], server.break_after, server.etag = BODY, None, '"v2"'
    assert download(server.url("/a.zip"), tmp_path / "a.zip").read_bytes() == BODY


def test_a_server_without_range(server, tmp_path):
    server.files["/a.zip"], server.know_range = BODY, False
    (tmp_path / "a.zip.part").write_bytes(b"rubbish")
    (tmp_path / "a.zip.part.json").write_text('{"version": "\\"v1\\""}')
    assert download(server.url("/a.zip"), tmp_path / "a.zip").read_bytes() == BODY


@pytest.mark.parametrize("notes", ["", "[]", '{"version": 3}', None])
def test_a_part_of_unknown_origin_is_fetched_anew(server, tmp_path, notes):
    server.files["/a.zip"] = BODY
    (tmp_path / "a.zip.part").write_bytes(b"rubbish")
    if notes is not None:
        (tmp_path / "a.zip.part.json").write_text(notes)
    assert download(server.url("/a.zip"), tmp_path / "a.zip").read_bytes() == BODY


def test_a_part_longer_than_the_file(server, tmp_path):
    server.files["/a.zip"] = BODY
    (tmp_path / "a.zip.part").write_bytes(BODY + b"more")
    (tmp_path / "a.zip.part.json").write_text('{"version": "\\"v1\\""}')
    assert download(server.url("/a.zip"), tmp_path / "a.zip").read_bytes() == BODY


def test_a_server_that_goes_on_elsewhere(server, tmp_path):
    server.files["/a.zip"], server.wrong_start = BODY, True
    (tmp_path / "a.zip.part").write_bytes(BODY[:100])
    (tmp_path / "a.zip.part.json").write_text('{"version": "\\"v1\\""}')
    with pytest.raises(DatasetError, match="asked to go on at byte 100, the server went on at 0"):
        download(server.url("/a.zip"), tmp_path / "a.zip")


def test_missing_files_and_servers(server, tmp_path):
    with pytest.raises(DatasetError, match="answers 404"):
        download(server.url("/none.zip"), tmp_path / "a.zip")
    server.http.server_close()
    with pytest.raises(DatasetError, match="after 3 attempts, 0 bytes are kept"):
        download("http://127.0.0.1:9/a.zip", tmp_path / "a.zip")
    for url in ("file:///etc/passwd", "ftp://x/y"):
        with pytest.raises(DatasetError, match="http or https"):
            download(url, tmp_path / "a.zip")


# ------------------------------------------------------------------------------------------ archives


def test_unpacks(tmp_path):
    files = {"chess/a.txt": b"a", "chess/seq/b.bin": BODY, "./chess/c": b""}
    (tmp_path / "a.zip").write_bytes(zipped(files))
    (tmp_path / "a.tgz").write_bytes(tarred([(name, tarfile.REGTYPE, data) for name, data in files.items()]))
    for name in ("a.zip", "a.tgz"):
        out = tmp_path / f"out_{name}"
        unpack(tmp_path / name, out)
        found = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        assert found == {"chess/a.txt": b"a", "chess/seq/b.bin": BODY, "chess/c": b""}


HOSTILE = {
    "zip up": zipped({"chess/ok": b"x", "../evil": b"x"}),
    "zip up inside": zipped({"chess/ok": b"x", "chess/../../evil": b"x"}),
    "zip absolute": zipped({"/tmp/evil": b"x"}),
    "zip backslash": zipped({"..\\evil": b"x"}),
    "zip drive": zipped({"C:\\evil": b"x"}),
    "zip link": zipped({"chess/link": b"/etc/passwd"}, stat.S_IFLNK | 0o777),
    "tar up": tarred([("../evil", tarfile.REGTYPE, b"x")]),
    "tar absolute": tarred([("/tmp/evil", tarfile.REGTYPE, b"x")]),
    "tar link": tarred([("chess/l", tarfile.SYMTYPE, b"/etc"), ("chess/l/x", tarfile.REGTYPE, b"x")]),
    "tar hard link": tarred([("chess/l", tarfile.LNKTYPE, b"/etc/passwd")]),
    "tar device": tarred([("chess/null", tarfile.CHRTYPE, b"")]),
    "tar twice": tarred([("a", tarfile.REGTYPE, b"1"), ("./a", tarfile.REGTYPE, b"2")]),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives_are_refused_before_anything_is_written(tmp_path, case):
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / "a.bin"
    archive.write_bytes(HOSTILE[case])
    with pytest.raises(DatasetError, match="the archive is refused"):
        unpack(archive, tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["a.bin"]


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "FREE_BYTES", 1000)
    (tmp_path / "a.zip").write_bytes(zipped({"zeros": bytes(10_000_000)}))
    with pytest.raises(DatasetError, match="absurdly much"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_zip_that_lies_about_sizes(tmp_path):
    data = bytearray(zipped({"zeros": bytes(100_000)}))
    central = data.rfind(b"PK\x01\x02")
    data[central + 24 : central + 28] = (10).to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DatasetError, match="broken"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file()) <= 100_000


@pytest.mark.parametrize(
    "make", [lambda: zipped({"a": BODY}), lambda: tarred([("a", tarfile.REGTYPE, BODY)])]
)
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_cut_archives(tmp_path, make, share):
    data = make()
    (tmp_path / "a").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DatasetError, match=r"expected a zip or tar|broken"):
        unpack(tmp_path / "a", tmp_path / "out")


def test_a_full_disk_is_not_the_archives_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5})())
    (tmp_path / "a.zip").write_bytes(zipped({"a": BODY}))
    with pytest.raises(ConfigurationError, match="make room"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


# --------------------------------------------------------------------------------------------- fetch


@pytest.fixture
def catalogue(server):
    inner = zipped({"seq-01/frame-000000.pose.txt": b"1"})
    server.files["/chess.zip"] = zipped({"chess/TrainSplit.txt": b"sequence1\n", "chess/seq-01.zip": inner})
    server.files["/apt1.zip"] = zipped({"apt1/kitchen/info.txt": b"", "apt1/living/info.txt": b""})
    entries = [
        Entry("7scenes:chess", server.url("/chess.zip"), "chess", "no commerce", "http://page"),
        Entry(
            "12scenes:apt1-kitchen", server.url("/apt1.zip"), "apt1", "free", "http://page", scene="kitchen"
        ),
        Entry("12scenes:apt1-living", server.url("/apt1.zip"), "apt1", "free", "http://page", scene="living"),
    ]
    return {entry.name: entry for entry in entries}


def test_fetches_unpacks_and_remembers_the_digest(server, catalogue, tmp_path):
    path = fetch("7scenes:Chess", tmp_path, True, catalogue=catalogue)
    assert path == tmp_path / "7scenes" / "chess" / "."
    assert (path / "seq-01" / "frame-000000.pose.txt").is_file()
    assert sorted(p.name for p in path.iterdir()) == ["TrainSplit.txt", "seq-01"]
    digest = hashlib.sha256(server.files["/chess.zip"]).hexdigest()
    assert (tmp_path / "7scenes" / "chess.zip.sha256").read_text() == f"{digest}  chess.zip\n"
    assert sorted(p.name for p in path.parent.iterdir()) == ["chess", "chess.zip.sha256"]
    server.files.clear()
    assert (
        fetch("7scenes:chess", tmp_path, catalogue=catalogue) == path
    )  # there already: no licence, no server


def test_scenes_of_one_archive_come_together(server, catalogue, tmp_path):
    kitchen = fetch("12scenes:apt1-kitchen", tmp_path, True, catalogue=catalogue)
    assert kitchen == tmp_path / "12scenes" / "apt1" / "kitchen"
    server.files.clear()
    assert fetch("12scenes:apt1-living", tmp_path, True, catalogue=catalogue).is_dir()


def test_the_licence_must_be_accepted(server, catalogue, tmp_path):
    with pytest.raises(ConfigurationError, match=r"no commerce[\s\S]*--accept-licence"):
        fetch("7scenes:chess", tmp_path, catalogue=catalogue)
    assert server.ranges == [] and list(tmp_path.iterdir()) == []


def test_a_file_that_changed_since_the_first_time(server, catalogue, tmp_path):
    scene = fetch("7scenes:chess", tmp_path, True, catalogue=catalogue)
    scene.rename(tmp_path / "moved")
    server.files["/chess.zip"] = zipped({"chess/evil": b"x"})
    with pytest.raises(DatasetError, match="as the first download had"):
        fetch("7scenes:chess", tmp_path, True, catalogue=catalogue)
    assert not scene.exists() and not (tmp_path / "7scenes" / "chess.zip").exists()


def test_a_published_checksum_is_held_against_the_file(server, catalogue, tmp_path):
    from dataclasses import replace

    good = hashlib.sha256(server.files["/chess.zip"]).hexdigest()
    for digest in ("0" * 64, good):
        entry = replace(catalogue["7scenes:chess"], sha256=digest)
        if digest == good:
            assert fetch("7scenes:chess", tmp_path, True, catalogue={entry.name: entry}).is_dir()
            continue
        with pytest.raises(DatasetError, match="as its publisher states"):
            fetch("7scenes:chess", tmp_path, True, catalogue={entry.name: entry})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>gone</html>", "expected a zip or tar"),
        (zipped({"other/file": b"x"}), "expected a folder 'chess' in the archive, found other"),
        (zipped({"chess/../../evil": b"x"}), "refused"),
        (zipped({"chess/seq-01.zip": zipped({"../../evil": b"x"})}), "refused"),
    ],
    ids=["error page", "other content", "hostile", "hostile inside"],
)
def test_a_bad_archive_leaves_nothing_behind(server, catalogue, tmp_path, body, message):
    """Neither a scene, nor an archive or a digest that would be in the way of the next attempt."""
    good = server.files["/chess.zip"]
    server.files["/chess.zip"] = body
    with pytest.raises(DatasetError, match=message):
        fetch("7scenes:chess", tmp_path, True, catalogue=catalogue)
    assert list((tmp_path / "7scenes").iterdir()) == []
    server.files["/chess.zip"] = good
    assert fetch("7scenes:chess", tmp_path, True, catalogue=catalogue).is_dir()


def test_unknown_names_list_what_is_like_them():
    with pytest.raises(ConfigurationError, match="7scenes:chess, 7scenes:fire"):
        find_entry("7scenes:ches")
    with pytest.raises(ConfigurationError, match=r"cambridge:KingsCollege.*tum:freiburg1_desk"):
        find_entry("imagenet:cats")


def test_the_catalogue_is_sound():
    entries = list_datasets()
    assert [e.name for e in entries] == sorted(CATALOGUE) and len(entries) > 30
    assert {e.family for e in entries} == {"7scenes", "12scenes", "cambridge", "tum"}
    for entry in entries:
        assert entry.url.startswith("http") and entry.url.endswith((".zip", ".tgz"))
        assert entry.licence and entry.page.startswith("http")
        assert entry.url in licence_note(entry)
