"""`relpose tpu create` against a gcloud that refuses, hesitates and queues."""

from __future__ import annotations

import shlex

import pytest

NO_CAPACITY = 'There is no more capacity in the zone "europe-west4-a"; you can try in another zone'
QUOTA = "RESOURCE_EXHAUSTED: Quota limit 'TPUV3sPreemptiblePerProjectPerZone' has been exceeded. Limit: 0"


def commands(script: str) -> list[list[str]]:
    return [shlex.split(line) for line in script.splitlines() if not line.startswith("#")]


def verbs(gcloud) -> list[str]:
    return [call[4] for call in gcloud.calls]


@pytest.mark.parametrize("queued", [[], ["--queued"]])
def test_what_is_printed_is_what_is_run(gcloud, slept, relpose, queued):
    words = ["--type", "v3-8", "--spot", "--project", "my-project-1", *queued]
    words += ["--gcloud=--labels=a=b c", "--gcloud=--internal-ips"]
    status, printed, _ = relpose("create", *words, "--dry-run")
    assert status == 0
    assert gcloud.calls == []
    assert relpose("create", *words)[0] == 0
    assert gcloud.calls[: len(commands(printed))] == commands(printed)


def test_the_command(gcloud, slept, relpose):
    relpose("create", "--type", "v5e-8", "--preemptible", zone="us-west4-a")
    line = "gcloud compute tpus tpu-vm create my-tpu --zone=us-west4-a --accelerator-type=v5litepod-8"
    assert shlex.join(gcloud.calls[0]) == f"{line} --version=v2-alpha-tpuv5-lite --preemptible"


def test_the_queued_command(gcloud, slept, relpose):
    relpose(
        "create",
        "--type",
        "v4-8",
        "--queued",
        "--retry-for",
        "2",
        "--version",
        "tpu-vm-base",
        zone="us-central2-b",
    )
    line = "gcloud compute tpus queued-resources create my-tpu --node-id=my-tpu --zone=us-central2-b"
    rest = "--accelerator-type=v4-8 --runtime-version=tpu-vm-base --valid-until-duration=7200s"
    assert shlex.join(gcloud.calls[0]) == f"{line} {rest}"


@pytest.mark.parametrize(
    "change",
    [{"name": "My TPU"}, {"zone": "europe-west4"}, {"zone": "x; rm -rf /"}, {"words": ["--type", "v3-9"]}],
)
def test_wrong_names_never_reach_gcloud(gcloud, relpose, change):
    words = change.pop("words", ["--type", "v3-8"])
    status, _, said = relpose("create", *words, **change)
    assert status == 2
    assert "expected" in said or "region" in said or "sizes" in said
    assert gcloud.calls == []


def test_capacity_is_waited_for_with_growing_pauses(gcloud, slept, relpose):
    gcloud.fail("tpu-vm", "create", says=NO_CAPACITY, times=7)
    status, _, said = relpose("create", "--type", "v3-8")
    assert status == 0
    assert verbs(gcloud) == ["create"] * 8 + ["describe"]
    assert slept == [30, 60, 120, 240, 480, 600, 600]
    assert "try 3" in said
    assert "no more capacity in the zone" in said
    assert "next try in 2 min" in said


def test_patience_ends_with_the_reason(gcloud, slept, relpose):
    gcloud.fail("create", says=NO_CAPACITY, times=50)
    status, _, said = relpose("create", "--type", "v3-8", "--retry-for", "0.1")
    assert status == 2
    assert sum(slept) <= 360
    assert "given up after 4 tries" in said
    assert "no more capacity" in said.partition("relpose: error:")[2]


def test_a_single_try(gcloud, slept, relpose):
    gcloud.fail("create", says=NO_CAPACITY, times=2)
    assert relpose("create", "--type", "v3-8", "--retry-for", "0")[0] == 2
    assert verbs(gcloud) == ["create"]


@pytest.mark.parametrize(
    ("says", "advice"),
    [
        (QUOTA, "Quotas"),
        ("PERMISSION_DENIED: denied", "gcloud auth login"),
        ("INVALID_ARGUMENT: no such runtime", "no such runtime"),
    ],
)
@pytest.mark.parametrize("queued", [[], ["--queued"]])
def test_what_waiting_does_not_change_ends_at_once(gcloud, slept, relpose, says, advice, queued):
    gcloud.fail("create", says=says, times=3)
    status, _, said = relpose("create", "--type", "v3-8", "--spot", *queued)
    assert status == 2
    assert advice in said
    assert verbs(gcloud) == ["create"]
    assert slept == []


def test_a_name_that_is_taken(gcloud, slept, relpose):
    gcloud.fail("create", says="ALREADY_EXISTS: my-tpu already exists")
    status, _, said = relpose("create", "--type", "v3-8")
    assert status == 2
    assert "--name" in said
    assert verbs(gcloud) == ["create"]


def test_a_fault_of_the_service_that_made_the_vm_all_the_same(gcloud, slept, relpose):
    gcloud.fail("create", says="HttpError 503: unavailable")
    gcloud.fail("create", says="ALREADY_EXISTS: already exists")
    gcloud.world(vm="CREATING")
    gcloud.answer("describe", stdout='{"state": "CREATING"}')
    gcloud.answer("describe", stdout='{"state": "READY"}')
    assert relpose("create", "--type", "v3-8")[0] == 0
    assert verbs(gcloud) == ["create", "create", "describe", "describe"]


def test_a_vm_that_does_not_get_ready(gcloud, slept, relpose):
    gcloud.answer("describe", stdout='{"state": "PREEMPTED"}')
    status, _, said = relpose("create", "--type", "v3-8")
    assert status == 2
    assert "PREEMPTED" in said
    assert "relpose tpu delete" in said


def queue_state(state: str, message: str = "") -> str:
    failed = f', "failedData": {{"error": {{"message": "{message}"}}}}' if message else ""
    return f'{{"state": {{"state": "{state}"{failed}}}}}'


def test_the_queue(gcloud, slept, relpose):
    for state in ("WAITING_FOR_RESOURCES", "WAITING_FOR_RESOURCES", "PROVISIONING"):
        gcloud.answer("queued-resources", "describe", stdout=queue_state(state))
    gcloud.fail("queued-resources", "describe", says="HttpError 503")
    status, _, said = relpose("create", "--type", "v3-8", "--spot", "--queued")
    assert status == 0
    assert verbs(gcloud) == ["create"] + ["describe"] * 5
    assert said.count("WAITING_FOR_RESOURCES") == 1
    assert "ready" in said


@pytest.mark.parametrize(
    ("state", "message"), [("FAILED", QUOTA), ("SUSPENDED", ""), ("FAILED", "no capacity")]
)
def test_a_request_that_failed_in_the_queue(gcloud, slept, relpose, state, message):
    gcloud.answer("queued-resources", "describe", stdout=queue_state(state, message))
    status, _, said = relpose("create", "--type", "v3-8", "--queued")
    assert status == 2
    assert state in said
    assert message in said
    assert "relpose tpu delete --queued" in said


def test_the_queue_takes_too_long(gcloud, slept, relpose):
    for _ in range(20):
        gcloud.answer("queued-resources", "describe", stdout=queue_state("WAITING_FOR_RESOURCES"))
    status, _, said = relpose("create", "--type", "v3-8", "--queued", "--retry-for", "0.5")
    assert status == 2
    assert "still WAITING_FOR_RESOURCES after 30 min" in said
    assert "goes on waiting" in said


def test_waiting_can_be_taken_up_again(gcloud, slept, relpose):
    gcloud.world(queued="ACTIVE", vm="READY")
    gcloud.fail("queued-resources", "create", says="ALREADY_EXISTS")
    status, _, said = relpose("create", "--type", "v3-8", "--queued")
    assert status == 0
    assert "waiting for it" in said


def test_another_type_is_in_the_queue(gcloud, slept, relpose):
    gcloud.fail("queued-resources", "create", says="ALREADY_EXISTS")
    other = '{"state": {"state": "ACTIVE"}, "tpu": {"nodeSpec": [{"node": {"acceleratorType": "v2-8"}}]}}'
    gcloud.answer("queued-resources", "describe", stdout=other)
    status, _, said = relpose("create", "--type", "v3-8", "--queued")
    assert status == 2
    assert "v2-8, not v3-8" in said


def test_no_gcloud(tmp_path, monkeypatch, relpose):
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, said = relpose("create", "--type", "v3-8")
    assert status == 2
    assert "https://cloud.google.com/sdk/docs/install" in said
    status, printed, _ = relpose("create", "--type", "v3-8", "--dry-run")
    assert status == 0
    assert "tpu-vm create my-tpu" in printed
