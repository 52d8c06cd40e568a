"""Names are checked before gcloud is called; types know their runtime."""

from __future__ import annotations

import pytest

from relpose_ros.errors import ConfigurationError
from relpose_training.tpu.accelerators import parse_type
from relpose_training.tpu.machine import Machine, Order, check_bucket

MACHINE = Machine("my-tpu", "europe-west4-a")


@pytest.mark.parametrize("name", ["My-TPU", "1tpu", "-tpu", "tpu-", "", "a b", "a;b", "a" * 64, "tpu_1"])
def test_wrong_names(name):
    with pytest.raises(ConfigurationError, match="name"):
        Machine(name, "europe-west4-a")


@pytest.mark.parametrize(
    "zone", ["europe", "europe-west4-", "Europe-west4-a", "us-central1-aa", "", "a b-c1-a"]
)
def test_wrong_zones(zone):
    with pytest.raises(ConfigurationError, match="zone"):
        Machine("my-tpu", zone)


def test_a_region_is_no_zone():
    with pytest.raises(ConfigurationError, match="us-central1-a"):
        Machine("my-tpu", "us-central1")


@pytest.mark.parametrize("project", ["My Project", "123", "abc", "-project"])
def test_wrong_projects(project):
    with pytest.raises(ConfigurationError, match="project"):
        Machine("my-tpu", "europe-west4-a", project)


@pytest.mark.parametrize("project", ["my-project-123", "example.com:my-project"])
def test_right_names(project):
    Machine("a", "us-central1-ai1a", project)
    Machine("a" * 63, "northamerica-northeast1-b", project)


@pytest.mark.parametrize(
    ("given", "accelerator", "runtime"),
    [
        ("v2-8", "v2-8", "tpu-ubuntu2204-base"),
        ("v3-32", "v3-32", "tpu-ubuntu2204-base"),
        ("v4-24", "v4-24", "tpu-ubuntu2204-base"),
        ("v5e-8", "v5litepod-8", "v2-alpha-tpuv5-lite"),
        ("v5litepod-4", "v5litepod-4", "v2-alpha-tpuv5-lite"),
        ("v5p-16", "v5p-16", "v2-alpha-tpuv5"),
        ("v6e-8", "v6e-8", "v2-alpha-tpuv6e"),
    ],
)
def test_types(given, accelerator, runtime):
    order = Order(MACHINE, given)
    assert (order.type, order.runtime) == (accelerator, runtime)
    assert Order(MACHINE, given, version="my-own-1.0").runtime == "my-own-1.0"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("v3-7", "8, 32, 64"),
        ("v4-12", "multiples of 8"),
        ("v4-0", "multiples of 8"),
        ("v9-8", "v5litepod"),
        ("v3", "v3-8"),
        ("A100", "v3-8"),
        ("tpu7x-8", "Kubernetes"),
        ("v3-8 --spot", "v3-8"),
    ],
)
def test_wrong_types(given, says):
    with pytest.raises(ConfigurationError, match=says):
        parse_type(given)


def test_spot_and_preemptible():
    with pytest.raises(ConfigurationError, match="exclude"):
        Order(MACHINE, "v3-8", spot=True, preemptible=True)
    with pytest.raises(ConfigurationError, match="--spot with --queued"):
        Order(Machine("a", "europe-west4-a", queued=True), "v3-8", preemptible=True)


def test_a_zone_that_is_not_in_the_table_is_only_noted():
    assert Order(MACHINE, "v3-8").note_on_zone() is None
    assert "us-central2-b" in str(Order(MACHINE, "v4-8").note_on_zone())


@pytest.mark.parametrize(
    "bucket", ["my-bucket", "s3://a-bucket", "gs://", "gs://A", "gs://abc/*", "gs://abc//x"]
)
def test_wrong_buckets(bucket):
    with pytest.raises(ConfigurationError, match="gs://"):
        check_bucket(bucket)


def test_right_buckets():
    assert check_bucket("gs://my-bucket/") == "gs://my-bucket"
    assert check_bucket("gs://my.bucket_1/some folder/b") == "gs://my.bucket_1/some folder/b"
