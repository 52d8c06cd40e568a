"""What the workers say of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass

STATUS = re.compile(
    r"relpose-status worker=(?P<worker>\d+) state=(?P<state>\w+) exit=(?P<exit>\d*) "
    r"saved=(?P<saved>\S*) copied=(?P<copied>\S*)"
)


@dataclass(frozen=True)
class WorkerStatus:
    """A line of `run.sh status`."""

    worker: int
    state: str
    """running, ended, stopped (by us), lost (the VM was restarted) or none (never started)."""
    exit: int | None
    saved: str
    copied: str

    @property
    def sentence(self) -> str:
        """For people."""
        ended = "" if self.exit is None else f" with status {self.exit}"
        saved = f", state saved {self.saved}" if self.saved else ""
        copied = f", copied to the bucket {self.copied}" if self.copied else ""
        return f"worker {self.worker}: {self.state}{ended}{saved}{copied}"


def parse_status(text: str) -> list[WorkerStatus]:
    """The status lines in gcloud's output, by worker."""
    found = [
        WorkerStatus(
            int(m["worker"]), m["state"], int(m["exit"]) if m["exit"] else None, m["saved"], m["copied"]
        )
        for m in STATUS.finditer(text)
    ]
    return sorted(found, key=lambda status: status.worker)
