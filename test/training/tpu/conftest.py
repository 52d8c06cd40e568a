"""A fake gcloud on PATH, a fake relpose on its workers, and a clock that does not wait."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relpose_ros.cli import main as cli
from relpose_training.commands import tpu
from relpose_training.tpu.waiting import Clock

HERE = Path(__file__).parent

# Counts in state.pt on worker 0; `plan` beside venv says where to end and how.
FAKE_RELPOSE = """#!/bin/bash
root=$(dirname "$(dirname "$(dirname "$0")")")
printf '%s\\n' "$@" >"$root/arguments"
for word in "$@"; do case $word in out=*) out=${word#out=} ;; esac; done
read -r last status <"$root/plan"
n=$(cat "$out/state.pt" 2>/dev/null || echo 0)
save() {
    [ "$RELPOSE_WORKER" = 0 ] || return 0
    echo "$n" >"$out/.state.pt.part"
    mv "$out/.state.pt.part" "$out/state.pt"
}
trap 'save; exit 143' TERM
touch "$out/.lock"
echo "from $n"
while [ "$n" -lt "$last" ]; do sleep 0.05; n=$((n + 1)); save; done
exit "$status"
"""


class FakeGcloud:
    """What is behind the fake command."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def calls(self) -> list[list[str]]:
        path = self.root / "calls.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [["gcloud", *json.loads(line)] for line in lines]

    def answer(self, *match: str, **answer) -> None:
        """The next call with these words gets this answer."""
        path = self.root / "answers.json"
        answers = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps([*answers, {"match": match, **answer}]))

    def fail(self, *match: str, says: str, times: int = 1) -> None:
        for _ in range(times):
            self.answer(*match, status=1, stderr=says)

    def world(self, **states: str) -> None:
        for name, state in states.items():
            (self.root / name).write_text(state)

    def make_worker(self, number: int, last: int = 3, status: int = 0) -> Path:
        """A prepared worker, whose training ends at `last` with `status`; returns ~/relpose."""
        return self._furnish(self.root / "workers" / str(number) / "relpose", last, status)

    def make_startup(self, last: int = 3) -> None:
        """What `relpose tpu prepare` leaves on a worker."""
        self._furnish(self.root / "prepared", last, 0)

    def _furnish(self, home: Path, last: int, status: int) -> Path:
        command = home / "venv/bin/relpose"
        command.parent.mkdir(parents=True)
        command.write_text(FAKE_RELPOSE)
        command.chmod(0o755)
        (home / "plan").write_text(f"{last} {status}\n")
        (home / "run.sh").write_text((Path(tpu.__file__).parents[1] / "tpu/run.sh").read_text())
        return home

    def switch_off(self) -> None:
        """Kill, as a power cut does, what runs on the workers (what has a home there in its command line)."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if f"{self.root}/workers/".encode() in path.read_bytes():
                    os.kill(int(path.parent.name), signal.SIGKILL)

    @property
    def bucket(self) -> Path:
        return self.root / "bucket"


@pytest.fixture
def gcloud(tmp_path, monkeypatch) -> Iterator[FakeGcloud]:
    root = tmp_path / "a fake"
    (root / "bin").mkdir(parents=True)
    script = root / "bin/gcloud"
    words = shlex.join([sys.executable, "-IS", str(HERE / "fake_gcloud.py")])
    script.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GCLOUD", str(root))
    fake = FakeGcloud(root)
    yield fake
    fake.switch_off()


@pytest.fixture
def slept(monkeypatch) -> list[float]:
    """No waiting: the pauses that were asked for, and a clock that goes on by them."""
    pauses: list[float] = []
    monkeypatch.setattr(Clock, "sleep", lambda _self, seconds: pauses.append(seconds))
    monkeypatch.setattr(Clock, "now", lambda _self: sum(pauses))
    return pauses


@pytest.fixture
def relpose(monkeypatch, capfd):
    """`relpose("create", ...)` is `relpose tpu create --name my-tpu --zone europe-west4-a ...`."""
    monkeypatch.setattr(cli, "load_commands", lambda: {"tpu": tpu})

    def call(action: str, *words: str, name: str = "my-tpu", zone: str = "europe-west4-a"):
        status = cli.main(["tpu", action, "--name", name, "--zone", zone, *words])
        return (status, *capfd.readouterr())

    return call
