"""SIGTERM where the work is done by threads of children: real processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import os, sys, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from relpose_training.engine.signals import Termination, terminated_together

def wait(folder, kind):
    open(f"{folder}/{os.getpid()}", "w").close()
    with Termination() as asked:
        while kind == "hangs" or not asked.came:
            time.sleep(0.01)

def work(folder, kind):
    if kind == "dies":
        while len(os.listdir(folder)) < 2:
            time.sleep(0.01)
        os._exit(9)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(wait, folder, kind).result()

if __name__ == "__main__":
    folder, kinds = sys.argv[1], sys.argv[2:]
    idle = threading.Thread(target=time.sleep, args=(1000,), daemon=True)  # as those of BLAS
    idle.start()
    with terminated_together(), ProcessPoolExecutor(3, get_context("spawn")) as processes:
        list(processes.map(work, [folder] * 3, kinds))
    print("together", flush=True)
    os.kill(os.getpid(), 15)
    time.sleep(10)
"""


@pytest.fixture
def start(tmp_path):
    """Start the program; returns it when its children wait: those that wait leave a file each."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    seen = tmp_path / "seen"
    seen.mkdir()

    def run(*kinds):
        words, count = [sys.executable, str(script), str(seen), *kinds], 3 - kinds.count("dies")
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        while len(list(seen.iterdir())) < count and process.poll() is None:
            time.sleep(0.01)
        return process, [int(path.name) for path in seen.iterdir()]

    return run


def test_a_signal_for_the_parent_reaches_every_thread_and_is_then_as_it_was(start):
    process, _ = start("waits", "waits", "waits")
    process.terminate()
    said, problems = process.communicate(timeout=30)
    assert said == "together\n", problems
    assert process.returncode == -signal.SIGTERM  # the second one came when everything was over


def test_a_child_that_dies_takes_the_others_along(start):
    """They wait for it where no signal is looked at, as in an exchange of gradients."""
    process, children = start("dies", "hangs", "hangs")
    _, problems = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "BrokenProcessPool" in problems
    assert len(children) == 2
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
