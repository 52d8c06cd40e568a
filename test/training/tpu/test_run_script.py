"""run.sh as it runs on workers: states reach the bucket, come back, and never give way to older ones."""

from __future__ import annotations

import os
import subprocess
import time
from importlib.resources import files

import pytest

from relpose_training.tpu.worker_status import parse_status

BUCKET = "gs://a-bucket/my runs"
WORDS = ("one_to_one", "data=gs://b/y f", "device=xla")


@pytest.fixture
def worker(gcloud):
    """`worker(0)("push")` runs run.sh there."""

    def make(number: int, **plan):
        home = gcloud.make_worker(number, **plan)

        def call(*words: str, bucket: str = BUCKET, ok: bool = True) -> str:
            env = {**os.environ, "HOME": str(home.parent), "RELPOSE_WORKER": str(number)}
            env |= {"RELPOSE_RUN": "first", "RELPOSE_BUCKET": bucket, "RELPOSE_EVERY": "0.2"}
            done = subprocess.run(
                ["bash", str(home / "run.sh"), *words], env=env, capture_output=True, text=True, check=False
            )
            assert (done.returncode == 0) is ok, done.stdout + done.stderr
            return done.stdout + done.stderr

        call.home = home
        return call

    return make


def test_it_looks_for_the_state_that_the_engine_writes():
    from relpose_training.engine.states import STATE

    assert f"$out/{STATE}" in files("relpose_training.tpu").joinpath("run.sh").read_text()


def status(call):
    return parse_status(call("status"))[0]


def wait_for(condition, seconds: float = 20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


def ended(call):
    wait_for(lambda: status(call).state not in ("running", "lost"))
    return status(call)


def state_of(folder) -> int:
    return int((folder / "state.pt").read_text())


def test_a_run_from_beginning_to_end(worker, gcloud):
    call = worker(0, last=4)
    assert status(call).state == "none"
    assert "a new run" in call("fetch")
    assert "started: relpose train one_to_one" in call("start", *WORDS)
    assert ended(call).exit == 0
    words = (call.home / "arguments").read_text().splitlines()
    assert words == ["train", *WORDS, f"out={call.home}/runs/first"]
    kept = gcloud.bucket / "a-bucket/my runs"
    assert state_of(kept / "runs/first") == 4
    assert not list(kept.rglob(".*")), "hidden files are half-written ones"
    log = next((kept / "logs/first").iterdir()).read_text()
    assert "relpose train one_to_one" in log
    assert status(call).copied


def test_it_is_copied_while_it_runs(worker, gcloud):
    call = worker(0, last=10000)
    call("start", *WORDS)
    kept = gcloud.bucket / "a-bucket/my runs/runs/first"
    wait_for(lambda: (kept / "state.pt").exists() and state_of(kept) > 2)
    assert status(call).state == "running"
    call("stop")


def test_a_new_vm_goes_on_from_the_bucket(worker, gcloud):
    kept = gcloud.bucket / "a-bucket/my runs/runs/first"
    kept.mkdir(parents=True)
    (kept / "state.pt").write_text("7\n")
    call = worker(0, last=9)
    assert "goes on from gs://a-bucket/my runs/runs/first" in call("fetch")
    call("start", *WORDS)
    ended(call)
    assert "from 7" in (call.home / "control/first/log").read_text()
    assert state_of(kept) == 9


def test_stop_saves_and_copies(worker, gcloud):
    call = worker(0, last=10000)
    call("start", *WORDS)
    wait_for((call.home / "runs/first/state.pt").exists)
    assert "stopped with status 143" in call("stop")
    found = status(call)
    assert (found.state, found.exit) == ("stopped", 143)
    assert state_of(gcloud.bucket / "a-bucket/my runs/runs/first") == state_of(call.home / "runs/first")
    assert "is not running" in call("stop")


def test_only_who_wrote_the_state_copies_it(worker, gcloud):
    """Worker 1 fetched an old state and never writes one: it must not put that over the new one."""
    kept = gcloud.bucket / "a-bucket/my runs/runs/first"
    kept.mkdir(parents=True)
    (kept / "state.pt").write_text("7\n")
    writer, other = worker(0, last=9), worker(1, last=9)
    for call in (writer, other):
        call("fetch")
    for call in (writer, other):
        call("start", *WORDS)
    for call in (writer, other):
        ended(call)
    other("push")
    assert state_of(kept) == 9
    assert state_of(other.home / "runs/first") == 7


def test_a_newer_state_here_is_not_lost(worker, gcloud):
    """After a crash between two copies: push comes before fetch."""
    call = worker(0, last=5, status=1)
    gcloud.fail("storage", "rsync", says="HttpError 503", times=100)
    call("start", *WORDS)
    assert ended(call).exit == 1
    assert "copying failed" in (call.home / "control/first/log").read_text()
    call("push", ok=False)
    (gcloud.root / "answers.json").unlink()
    call("push")
    call("fetch")
    assert state_of(call.home / "runs/first") == 5
    assert state_of(gcloud.bucket / "a-bucket/my runs/runs/first") == 5


def test_one_run_at_a_time(worker):
    call = worker(0, last=10000)
    call("start", *WORDS)
    assert "uses the TPU" in call("start", *WORDS, ok=False)
    assert "is running here" in call("fetch", ok=False)
    call("stop")


def test_a_bucket_that_cannot_be_read_is_no_new_run(worker, gcloud):
    gcloud.fail("storage", "ls", says="ERROR: 403 does not have storage.objects.list access")
    assert "403" in worker(0)("fetch", ok=False)


def test_a_vm_that_was_restarted(worker, gcloud):
    call = worker(0, last=10000)
    call("start", *WORDS)
    gcloud.switch_off()
    wait_for(lambda: status(call).state == "lost")
    (call.home / "control/first/pid").write_text(f"{os.getpid()}\n")
    assert status(call).state == "lost", "another program has its number now"
    call("start", *WORDS)
    assert status(call).state == "running"
    call("stop")


def test_without_a_bucket_nothing_is_copied(worker, gcloud):
    call = worker(0, last=2)
    call("push", bucket="")
    call("fetch", bucket="")
    call("start", *WORDS, bucket="")
    assert ended(call).exit == 0
    assert gcloud.calls == []


def test_not_prepared(worker):
    call = worker(0)
    (call.home / "venv/bin/relpose").unlink()
    assert "relpose tpu prepare" in call("start", *WORDS, ok=False)
    assert "expected push" in call("explode", ok=False)
