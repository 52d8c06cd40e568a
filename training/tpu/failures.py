"""What gcloud's errors mean, what to do about them, and which are worth another try."""

from __future__ import annotations

import re
from enum import Enum

from relpose_ros.errors import RelposeError


class Kind(Enum):
    """Why a command failed; the value is what to do."""

    RATE = "too many requests in a minute: it is asked again"
    QUOTA = (
        "your quota does not allow it, and waiting will not help: see IAM & Admin > Quotas (TPU) of the "
        "project, take the zone and kind (on-demand or --spot) of your grant, and delete old VMs and queued "
        "resources, which count too (gcloud compute tpus queued-resources list --zone=...)"
    )
    CAPACITY = "Google has none of these free in this zone now"
    EXISTS = "choose another --name, or delete it: relpose tpu delete"
    NETWORK = "the project has no network `default`: gcloud compute networks create default"
    PERMISSION = (
        "log in (gcloud auth login), choose the project (--project), and enable the service: "
        "gcloud services enable tpu.googleapis.com"
    )
    MISSING = "check --name, --zone and --project: gcloud compute tpus tpu-vm list --zone=..."
    TRANSIENT = "a passing fault of the service or of the network"
    OTHER = ""


RETRIED = frozenset({Kind.CAPACITY, Kind.RATE, Kind.TRANSIENT})

# In this order: the service says RESOURCE_EXHAUSTED for a quota and for a lack of machines alike.
PATTERNS = (
    (Kind.RATE, r"per minute|rate.?limit"),
    (Kind.QUOTA, r"quota"),
    (
        Kind.CAPACITY,
        r"no more capacity|insufficient (reserved )?capacity|not enough resources|stockout"
        r"|does not have enough resources|RESOURCE_EXHAUSTED"
        r"|resource_availability|error code 8\b|\"?code\"?: 8\b",
    ),
    (Kind.EXISTS, r"ALREADY_EXISTS|already exists"),
    (Kind.NETWORK, r"\"?(Sub)?network\"? .*(not exist|not found)|network .*default.* (not found|not exist)"),
    (
        Kind.PERMISSION,
        r"PERMISSION_DENIED|UNAUTHENTICATED|SERVICE_DISABLED|has not been used in project|gcloud auth login"
        r"|do(es)? not (currently )?have (an active account|permission)|denied access",
    ),
    (Kind.MISSING, r"NOT_FOUND|not found|does not exist"),
    (
        Kind.TRANSIENT,
        r"UNAVAILABLE|\bINTERNAL\b|internal error|DEADLINE_EXCEEDED|HttpError 50\d"
        r"|connection (reset|aborted|refused|closed)"
        r"|timed out|temporar|error code 1[34]\b|return code \[255\]|exit status 255",
    ),
)


def classify(text: str) -> Kind:
    """The kind of an error by gcloud's words."""
    return next(
        (kind for kind, pattern in PATTERNS if re.search(pattern, text, re.IGNORECASE)),
        Kind.OTHER,
    )


class TpuError(RelposeError):
    """gcloud, or what it was asked to do, failed."""

    def __init__(self, message: str, kind: Kind = Kind.OTHER) -> None:
        super().__init__(message)
        self.kind = kind


def explain(what: str, said: str) -> TpuError:
    """The error of a command: what was tried, gcloud's words, what to do."""
    kind = classify(said)
    words = said.strip() or "nothing"
    return TpuError(f"{what}: gcloud says: {words}" + (f"\n{kind.value}" if kind.value else ""), kind)
