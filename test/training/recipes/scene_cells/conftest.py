"""A set of views of a room, and a run small enough for a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "data"))

from scene_fixture import write_room


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Sums come out in other bits with another number of threads."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Where the described cells go."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "relpose" / "described"


@pytest.fixture(scope="session")
def room_set(tmp_path_factory):
    """A folder with train (48 views of a room, all around) and val (4)."""
    return write_room(tmp_path_factory.mktemp("room"), train=48)
