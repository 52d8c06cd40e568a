"""What every test run says and shares."""

from __future__ import annotations

import pytest

SLOW = pytest.StashKey[int]()


def pytest_deselected(items):
    """Count the slow tests that this run leaves out."""
    slow = sum(item.get_closest_marker("slow") is not None for item in items)
    if items and slow:
        config = items[0].config
        config.stash[SLOW] = config.stash.get(SLOW, 0) + slow


def pytest_terminal_summary(terminalreporter, config):
    """Say how many there were and how to run them."""
    count = config.stash.get(SLOW, 0)
    if count:
        terminalreporter.write_line(f"{count} slow tests were not run; `make test-slow` runs them")
