"""Every other action's command lines, quoting, confirmation and messages."""

from __future__ import annotations

import io
import shlex
import sys

import pytest

GIT = ("--source", "https://example.org/relpose_ros.git", "--commit", "0123abc")
PLACE = ["my-tpu", "--zone=europe-west4-a"]
SSH = ["gcloud", "compute", "tpus", "tpu-vm", "ssh", *PLACE]


def remote(call: list[str]) -> list[str]:
    """The words of what a worker's shell is given."""
    return shlex.split(next(word for word in call if word.startswith("--command="))[len("--command=") :])


@pytest.fixture
def vm(gcloud):
    gcloud.world(vm="READY")
    return gcloud


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "my code" / "relpose ros.tar.gz"
    path.parent.mkdir()
    path.write_bytes(b"archive")
    return path


def test_prepare(vm, slept, relpose):
    vm.answer("ssh", status=0)
    vm.answer("ssh", status=0)
    assert relpose("prepare", *GIT)[0] == 0
    made, copied, installed = vm.calls
    assert made == [*SSH, "--worker=all", "--quiet", "--command=mkdir -p relpose"]
    assert copied[:5] == ["gcloud", "compute", "tpus", "tpu-vm", "scp"]
    assert [word.rpartition("/")[2] for word in copied[5:7]] == ["startup.sh", "run.sh"]
    assert copied[7:] == ["my-tpu:relpose/", "--zone=europe-west4-a", "--worker=all", "--quiet"]
    values = [
        "RELPOSE_SOURCE=https://example.org/relpose_ros.git",
        "RELPOSE_COMMIT=0123abc",
        "RELPOSE_TORCH=2.9.0",
    ]
    assert remote(installed) == [*values, "bash", "relpose/startup.sh"]
    assert "--worker=all" in installed


def test_prepare_from_an_archive_with_spaces(vm, archive, relpose):
    status, printed, _ = relpose("prepare", "--source", str(archive), "--dry-run")
    assert status == 0
    calls = [shlex.split(line) for line in printed.splitlines() if not line.startswith("#")]
    assert str(archive) in calls[1]
    assert "RELPOSE_SOURCE=relpose/relpose ros.tar.gz" in remote(calls[2])


def test_prepare_waits_for_the_door_to_open(vm, slept, relpose):
    vm.fail("ssh", says="ssh: connect to host 34.1.2.3 port 22: Connection refused", times=2)
    vm.answer("ssh", status=0)
    vm.answer("ssh", status=0)
    assert relpose("prepare", *GIT)[0] == 0
    assert slept == [10, 20]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--source", "/no/such/file.tar.gz"], "no such file"),
        (["--source", "somewhere"], "git address"),
        (["--source", "relpose_ros-0.1.0.zip"], "git address"),
    ],
)
def test_wrong_sources(gcloud, relpose, words, says):
    status, _, said = relpose("prepare", *words)
    assert status == 2
    assert says in said
    assert gcloud.calls == []


def test_run(vm, relpose):
    for _ in range(3):
        vm.answer("ssh", status=0)
    words = [
        "one_to_one",
        "data=gs://b/y f",
        "learning_rate=1e-3",
        "--bucket",
        "gs://a-bucket/my runs/",
        "--run",
        "first",
    ]
    assert relpose("run", *words, "--sync-minutes", "5")[0] == 0
    values = ["RELPOSE_RUN=first", "RELPOSE_BUCKET=gs://a-bucket/my runs", "RELPOSE_EVERY=300"]
    script = [*values, "bash", "relpose/run.sh"]
    assert [remote(call) for call in vm.calls] == [
        [*script, "push"],
        [*script, "fetch"],
        [*script, "start", "one_to_one", "data=gs://b/y f", "learning_rate=1e-3", "device=xla"],
    ]
    assert all("--worker=all" in call for call in vm.calls)


def test_run_with_a_configuration_file(vm, relpose, tmp_path):
    config = tmp_path / "my settings.yaml"
    config.write_text("steps: 3\n")
    vm.world(vm="READY")
    (vm.root / "workers/0/relpose").mkdir(parents=True)
    vm.answer("ssh", status=0)
    assert relpose("run", "one_to_one", "--config", str(config), "--run", "first", "lr=1")[0] == 0
    assert vm.calls[0][5:7] == [str(config), "my-tpu:relpose/first.yaml"]
    assert (vm.root / "workers/0/relpose/first.yaml").read_text() == "steps: 3\n"
    assert remote(vm.calls[1])[-6:] == [
        "start",
        "one_to_one",
        "lr=1",
        "--config",
        "relpose/first.yaml",
        "device=xla",
    ]
    assert relpose("run", "one_to_one", "--config", "/no/such.yaml")[0] == 2


def test_a_recipe_of_ones_own(vm, relpose):
    status, printed, _ = relpose("run", "my_code.recipes:MyRecipe", "--dry-run")
    assert status == 0
    assert "RELPOSE_RUN=myrecipe" in printed
    assert "start my_code.recipes:MyRecipe" in printed


def test_run_without_a_bucket_is_warned_about(vm, relpose):
    vm.answer("ssh", status=0)
    status, _, said = relpose("run", "one_to_one", "device=xla-spmd")
    assert status == 0
    assert "goes when the VM goes" in said
    (call,) = vm.calls
    assert remote(call)[-3:] == ["start", "one_to_one", "device=xla-spmd"]


def test_a_step_that_fails_ends_the_run_command(vm, relpose):
    vm.answer("ssh", status=1, stderr="worker 0: cannot read gs://a-bucket")
    status, _, said = relpose("run", "one_to_one", "--bucket", "gs://a-bucket")
    assert status == 2
    assert "cannot read gs://a-bucket" in said
    assert len(vm.calls) == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["one_to_one", "out=/x"], "--run"),
        (["one_to_one", "steps"], "key=value"),
        (["one-to-one"], "recipe"),
        (["one_to_one", "--run", "A B"], "run"),
        (["one_to_one", "--bucket", "a-bucket"], "gs://"),
        (["one_to_one", "--sync-minutes", "0.1"], "0.5"),
        (["one_to_one", "--watch"], "--type"),
        (["one_to_one", "--watch", "--type", "v3-8"], "--source"),
        (["one_to_one", "--watch", "--type", "v3-8", *GIT], "--bucket"),
    ],
)
def test_wrong_runs(gcloud, relpose, words, says):
    status, _, said = relpose("run", *words)
    assert status == 2
    assert says in said
    assert gcloud.calls == []


def test_ssh(vm, relpose):
    for _ in range(3):
        vm.answer("ssh", status=0)
    relpose("ssh")
    relpose("ssh", "--worker", "all", "--", "ls", "-l", "a b")
    relpose("ssh", "--worker", "3", "ls | wc")
    assert vm.calls[0] == [*SSH, "--worker=0"]
    assert vm.calls[1] == [*SSH, "--worker=all", "--quiet", "--command=ls -l 'a b'"]
    assert vm.calls[2] == [*SSH, "--worker=3", "--quiet", "--command=ls | wc"]
    assert relpose("ssh", "--worker", "all")[0] == 2
    assert relpose("ssh", "--worker", "x")[0] == 2


def test_logs(vm, relpose):
    vm.answer("ssh", status=0)
    relpose("logs", "--run", "first", "--follow", "--worker", "2", "--lines", "9")
    assert vm.calls == [[*SSH, "--worker=2", "--quiet", "--command=tail -n 9 -F relpose/control/first/log"]]


def test_status(vm, relpose):
    vm.world(queued="ACTIVE")
    line = "relpose-status worker={} state={} exit={} saved=2026-01-02T03:04:05Z copied="
    vm.answer("ssh", stdout=f"noise\n{line.format(1, 'ended', 2)}\n{line.format(0, 'running', '')}\n")
    status, printed, _ = relpose("status", "--queued", "--run", "first")
    assert status == 0
    assert printed.splitlines() == [
        "queued resource my-tpu: ACTIVE",
        "my-tpu: READY (v3-8, 1 workers, HEALTHY)",
        "worker 0: running, state saved 2026-01-02T03:04:05Z",
        "worker 1: ended with status 2, state saved 2026-01-02T03:04:05Z",
    ]


def test_status_of_what_is_not_there(gcloud, relpose):
    status, _, said = relpose("status")
    assert status == 2
    assert "was not found" in said
    assert "check --name, --zone" in said


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("typed", "deleted"), [("my-tpu\n", True), ("y\n", False), ("", False)])
def test_delete_asks(vm, relpose, monkeypatch, typed, deleted):
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    status, _, said = relpose("delete")
    assert "my-tpu in europe-west4-a (VM, READY) will be deleted" in said
    assert "its disk: ~/relpose" in said
    assert status == (0 if deleted else 2)
    assert (vm.root / "vm").exists() is not deleted


def test_delete_does_not_ask_a_script(vm, relpose, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("my-tpu\n"))
    status, _, said = relpose("delete")
    assert status == 2
    assert "--yes" in said
    assert relpose("delete", "--yes")[0] == 0
    assert vm.calls[-1] == ["gcloud", "compute", "tpus", "tpu-vm", "delete", *PLACE, "--quiet"]


@pytest.mark.parametrize("flag", [[], ["--queued"]])
def test_delete_takes_the_queued_resource_along(vm, relpose, flag):
    vm.world(queued="ACTIVE")
    status, _, said = relpose("delete", "--yes", *flag)
    assert status == 0
    assert "queued resource, with its VM" in said
    words = ["gcloud", "compute", "tpus", "queued-resources", "delete", *PLACE, "--force", "--quiet"]
    assert vm.calls[-1] == words


def test_delete_a_request_without_a_vm(gcloud, relpose):
    gcloud.world(queued="SUSPENDED")
    assert relpose("delete", "--yes")[0] == 0
    assert gcloud.calls[-1][3:5] == ["queued-resources", "delete"]


def test_delete_what_is_not_there(gcloud, relpose):
    status, _, said = relpose("delete", "--yes")
    assert status == 2
    assert "was not found" in said


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("prepare", GIT),
        ("run", ("one_to_one", "a=b c", "--bucket", "gs://abc")),
        ("run", ("one_to_one", "--bucket", "gs://abc", "--watch", "--type", "v3-8", "--spot", *GIT)),
        ("status", ("--queued", "--run", "a")),
        ("stop", ("--run", "a")),
        ("ssh", ("echo $HOME 'x y'",)),
        ("logs", ("--run", "a")),
        ("delete", ()),
    ],
)
def test_dry_runs_call_nothing_and_can_be_pasted(gcloud, relpose, action, words):
    status, printed, _ = relpose(action, *words, "--dry-run")
    assert status == 0
    assert gcloud.calls == []
    lines = [line for line in printed.splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        assert shlex.join(shlex.split(line)) == line
        assert line.startswith("gcloud compute tpus ")
        assert "--zone=europe-west4-a" in line
