"""`relpose tpu run --watch`: what is done when a VM is taken away, crashes, or is taken by its owner."""

from __future__ import annotations

import time

import pytest

from relpose_training.tpu.gcloud import read
from relpose_training.tpu.machine import Machine, Order
from relpose_training.tpu.waiting import Clock, Patience
from relpose_training.tpu.watching import Watch, watch
from relpose_training.tpu.workers import Job, Source, run_steps

SOURCE = Source("https://example.org/relpose_ros.git", "0123abc")
STATUS = "relpose-status worker={} state={} exit={} saved= copied=\n"
DONE = STATUS.format(0, "ended", 0) + STATUS.format(1, "ended", 0)


def task(queued: bool = False, restarts: int = 2) -> Watch:
    order = Order(Machine("my-tpu", "europe-west4-a", queued=queued), "v3-8", spot=True)
    job = Job("one_to_one", ("a=b c",), "first", "gs://a-bucket")
    return Watch(order, job, SOURCE, Patience(), restarts=restarts)


def actions(gcloud) -> list[str]:
    """What was called, in short: `create`, `scp`, `push`, `startup.sh`, ..."""
    names = []
    for call in gcloud.calls:
        if call[1] == "storage":
            continue
        line = next((word for word in call if word.startswith("--command=")), "")
        scripts = [word for word in line.split() if word in ("push", "fetch", "start", "stop", "status")]
        names.append(scripts[0] if scripts else line.rpartition("/")[2] or call[4])
    return names


@pytest.fixture
def said():
    return []


def answer_phases(gcloud, number):
    for _ in range(number):
        gcloud.answer("ssh", status=0)


def test_it_waits_for_all_workers(gcloud, slept, said):
    gcloud.world(vm="READY")
    gcloud.answer("ssh", stdout=STATUS.format(0, "ended", 0) + STATUS.format(1, "running", ""))
    gcloud.answer("ssh", stdout=DONE)
    watch(task(), said.append)
    assert slept == [120, 120]
    assert said == ["run first is done: gs://a-bucket/runs/first"]


@pytest.mark.parametrize("state", ["PREEMPTED", "TERMINATED"])
def test_a_vm_that_was_taken_away_is_made_anew(gcloud, slept, said, state):
    gcloud.world(vm=state)
    gcloud.fail("create", says="There is no more capacity in the zone")
    answer_phases(gcloud, 6)  # mkdir, startup, stop, push, fetch, start
    gcloud.answer("ssh", stdout=DONE)
    watch(task(), said.append)
    prepared = ["--command=mkdir -p relpose", "scp", "startup.sh"]
    made = ["describe", "delete", "create", "create", "describe", *prepared]
    assert actions(gcloud) == [*made, "stop", "push", "fetch", "start", "describe", "status"]
    assert "--spot" in gcloud.calls[2]


def test_a_queued_vm_that_was_taken_away(gcloud, slept, said):
    gcloud.world(vm="READY", queued="SUSPENDED")
    answer_phases(gcloud, 6)
    gcloud.answer("ssh", stdout=DONE)
    watch(task(queued=True), said.append)
    assert [call[3:5] for call in gcloud.calls][:3] == [
        ["queued-resources", "describe"],
        ["queued-resources", "delete"],
        ["queued-resources", "create"],
    ]
    assert "--force" in gcloud.calls[1]


def test_a_vm_whose_door_is_not_open_yet_is_tried_again(gcloud, slept, said):
    gcloud.world(vm="PREEMPTED")
    gcloud.fail("ssh", says="port 22: Connection refused")
    answer_phases(gcloud, 6)
    gcloud.answer("ssh", stdout=DONE)
    watch(task(), said.append)
    assert actions(gcloud).count("create") == 1
    assert actions(gcloud).count("startup.sh") == 1
    assert any("Connection refused" in line for line in said)


@pytest.mark.parametrize(("state", "exit_status"), [("ended", 1), ("lost", ""), ("ended", 143), ("none", "")])
def test_a_crash_on_one_worker_starts_all_again(gcloud, slept, said, state, exit_status):
    gcloud.world(vm="READY")
    gcloud.answer("ssh", stdout=STATUS.format(0, "running", "") + STATUS.format(1, state, exit_status))
    answer_phases(gcloud, 4)
    gcloud.answer("ssh", stdout=DONE)
    watch(task(), said.append)
    assert actions(gcloud) == ["describe", "status", "stop", "push", "fetch", "start", "describe", "status"]
    assert any("starting again (1 of 2)" in line for line in said)


def test_crashes_have_an_end(gcloud, slept, said):
    gcloud.world(vm="READY")
    for _ in range(2):
        gcloud.answer("ssh", stdout=STATUS.format(0, "ended", 1))
        answer_phases(gcloud, 4)
    gcloud.answer("ssh", stdout=STATUS.format(0, "ended", 1))
    with pytest.raises(Exception, match="crashed 3 times; see: relpose tpu logs --run first"):
        watch(task(), said.append)


@pytest.mark.parametrize(
    ("state", "exit_status", "says"),
    [("ended", 2, "another try does not change"), ("stopped", 143, "relpose tpu stop")],
)
def test_what_is_not_started_again(gcloud, slept, said, state, exit_status, says):
    gcloud.world(vm="READY")
    gcloud.answer("ssh", stdout=STATUS.format(0, state, exit_status))
    with pytest.raises(Exception, match=says):
        watch(task(), said.append)
    assert actions(gcloud) == ["describe", "status"]


@pytest.mark.parametrize("state", [None, "STOPPED", "DELETING"])
def test_a_vm_that_its_owner_took_is_not_made_anew(gcloud, slept, said, state):
    if state:
        gcloud.world(vm=state)
    with pytest.raises(Exception, match=f"{state or 'DELETED'}, not by Google"):
        watch(task(), said.append)
    assert actions(gcloud) == ["describe"]


def test_faults_of_the_service_and_silent_workers_are_waited_for(gcloud, slept, said):
    gcloud.world(vm="READY")
    gcloud.fail("describe", says="HttpError 503", times=3)
    gcloud.fail("ssh", says="ssh: Connection timed out", times=10)
    answer_phases(gcloud, 4)
    gcloud.answer("ssh", stdout=DONE)
    watch(task(), said.append)
    assert actions(gcloud)[-6:] == ["stop", "push", "fetch", "start", "describe", "status"]
    assert len(slept) == 14


def test_a_repair_by_google_is_waited_for(gcloud, slept, said):
    gcloud.world(vm="READY")
    gcloud.answer("describe", stdout='{"state": "REPAIRING"}')
    gcloud.answer("ssh", stdout=DONE)
    watch(task(), said.append)
    assert actions(gcloud) == ["describe", "describe", "status"]


def test_from_beginning_to_end_with_real_workers(gcloud, monkeypatch, said):
    """The VM goes away with its disk in the middle; the run goes on from the bucket on a new one."""
    never = 1_000_000
    gcloud.make_worker(0, last=never)
    gcloud.world(vm="READY")
    work = task()
    object.__setattr__(work.job, "every_s", 0.2)
    kept = gcloud.bucket / "a-bucket/runs/first/state.pt"
    taken_away = []

    def sleep(_clock, _seconds):
        time.sleep(0.3)
        if kept.exists() and not taken_away:
            taken_away.append(int(kept.read_text()))
            gcloud.switch_off()
            gcloud.make_startup(last=taken_away[0] + 10)
            gcloud.world(vm="PREEMPTED")

    monkeypatch.setattr(Clock, "sleep", sleep)
    for step in run_steps(work.order.machine, work.job):
        read("start", step.command)
    watch(work, said.append)
    assert int(kept.read_text()) == taken_away[0] + 10
    log = (gcloud.root / "workers/0/relpose/control/first/log").read_text()
    assert "from 0\n" not in log
    assert actions(gcloud).count("create") == 1
