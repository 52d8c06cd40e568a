"""A node as a process of its own: started, watched, ended as an operator would end it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from relpose_ros.nodes.runner import END_WITH_PARENT


class NodeProcess:
    """`python -m module` with ROS parameters and remappings; what it prints goes to `log`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        parameters: Mapping[str, Any] | None = None,
        remappings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self._scratch = tempfile.TemporaryDirectory(prefix="relpose-node-")
        file = Path(self._scratch.name, "parameters.yaml")
        file.write_text(json.dumps({"/**": {"ros__parameters": dict(parameters or {})}}))
        remaps = [word for old, new in (remappings or {}).items() for word in ("-r", f"{old}:={new}")]
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *command, "--ros-args", "--params-file", str(file), *remaps],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, END_WITH_PARENT: "1", **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def status(self) -> int | None:
        """Exit status, or None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")

    def memory(self) -> int:
        """Resident memory in bytes; 0 when it is gone."""
        try:
            text = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return 0
        kilobytes = next((line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")), "0")
        return 1024 * int(kilobytes)

    def processor_seconds(self) -> float:
        """Processor time that it has used, in user mode and in the kernel; 0 when it is gone."""
        try:
            text = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return 0.0
        user, kernel = text.rpartition(")")[2].split()[11:13]  # the name before it may hold anything
        return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")

    def wait(self, timeout: float) -> int:
        """Wait until it ends by itself; its exit status. Raises subprocess.TimeoutExpired."""
        return self._process.wait(timeout)

    def stop(self, number: int = signal.SIGINT, timeout: float = 15.0) -> int:
        """Signal it and wait; harder signals follow if it does not end. Returns the exit status."""
        for signal_number in (number, signal.SIGTERM, signal.SIGKILL):
            if self.status() is None:
                self._process.send_signal(signal_number)
            try:
                self._process.wait(timeout)
                break
            except subprocess.TimeoutExpired:
                continue
        self._scratch.cleanup()
        return self._process.wait()

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
