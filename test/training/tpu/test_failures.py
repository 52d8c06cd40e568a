"""Which of Google's words mean what (texts as seen in public reports)."""

from __future__ import annotations

import pytest

from relpose_training.tpu.failures import RETRIED, Kind, classify, explain

SAYINGS = [
    (
        Kind.CAPACITY,
        'Error code 8, message: There is no more capacity in the zone "us-central1-c"; you can try in '
        "another zone where Cloud TPU Nodes are offered",
    ),
    (
        Kind.CAPACITY,
        "code: 8, Insufficient reserved capacity. Contact customer support [EID: 0x7adf6d58c08b0aa4]",
    ),
    (Kind.CAPACITY, "ERROR: (gcloud.compute.tpus.tpu-vm.create) RESOURCE_EXHAUSTED: try again later"),
    (
        Kind.QUOTA,
        "ERROR: (gcloud.compute.tpus.create) RESOURCE_EXHAUSTED: Quota limit 'TPUV2sPodPerProjectPerZone' "
        "has been exceeded. Limit: 0 in region us-central1, zone us-central1-a.",
    ),
    (
        Kind.QUOTA,
        "Quota 'TPUV4sPreemptiblePodPerProjectPerRegionForTPUAPI' exhausted. Limit 20800",
    ),
    (
        Kind.RATE,
        "Quota exceeded for quota metric 'CreateNode requests' and limit 'CreateNode requests per minute'",
    ),
    (Kind.EXISTS, "ERROR: ALREADY_EXISTS: Resource 'projects/p/locations/z/nodes/my-tpu' already exists"),
    (
        Kind.NETWORK,
        'INVALID_ARGUMENT: Cloud TPU received a bad request. The value "default" provided for field '
        '"Subnetwork" does not exist.',
    ),
    (Kind.PERMISSION, "PERMISSION_DENIED: Permission 'tpu.nodes.create' denied on 'projects/p/locations/z'"),
    (
        Kind.PERMISSION,
        "Cloud TPU API has not been used in project 123 before or it is disabled. Enable it by ...",
    ),
    (
        Kind.PERMISSION,
        "ERROR: You do not currently have an active account selected. Please run: gcloud auth login",
    ),
    (Kind.MISSING, "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: Resource 'my-tpu' was not found"),
    (Kind.TRANSIENT, "ERROR: (gcloud) HttpError 503: The service is currently unavailable."),
    (Kind.TRANSIENT, "ssh: connect to host 34.1.2.3 port 22: Connection refused"),
    (Kind.OTHER, "ERROR: (gcloud.compute.tpus.tpu-vm.create) INVALID_ARGUMENT: unknown runtime version"),
]


@pytest.mark.parametrize(("kind", "text"), SAYINGS)
def test_kinds(kind, text):
    assert classify(text) is kind


def test_a_quota_is_not_waited_for():
    assert {Kind.CAPACITY, Kind.RATE, Kind.TRANSIENT} == RETRIED


def test_the_words_and_what_to_do():
    error = explain("creating my-tpu", "Quota limit 'X' has been exceeded.\n")
    assert error.kind is Kind.QUOTA
    assert "creating my-tpu: gcloud says: Quota limit 'X' has been exceeded." in str(error)
    assert "IAM & Admin" in str(error)
