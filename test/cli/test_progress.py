"""The bar shows on a terminal and keeps quiet elsewhere."""

from __future__ import annotations

import io
import sys

from relpose_ros.cli.progress import progress_bar
from relpose_ros.progress import silent


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_silent_without_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar("building") as progress:
        assert progress is silent
        progress(1, 2)
    assert sys.stderr.getvalue() == ""


def test_names_the_stage_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("building") as progress:
        progress(0, 0, "unpacking")
        progress(3, 4, "matching")
    assert "matching" in sys.stderr.getvalue()
