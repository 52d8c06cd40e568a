"""The line that says how long it will take."""

from __future__ import annotations

import io

from relpose_training.commands.progress import duration, progress_line


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_now_and_then():
    log, now = io.StringIO(), iter([0.0, 1.0, 31.0, 40.0, 62.0])
    with progress_line(log, lambda: next(now)) as progress:
        for done in (10, 20, 25, 30):
            progress(done, 110, f"step {done}")
    assert log.getvalue().splitlines() == [" 18%  step 20, 5 min left", " 27%  step 30, 4 min left"]


def test_a_terminal_has_one_line_that_is_cleared():
    screen, now = Terminal(), iter([0.0, 0.05, 1.0])
    with progress_line(screen, lambda: next(now)) as progress:
        progress(0, 10, "a")
        progress(1, 10, "b")
    assert screen.getvalue() == "\r\x1b[K 10%  b, 9 s left\r\x1b[K"


def test_durations():
    assert [duration(s) for s in (8.4, 120, 3600 * 3 + 1200)] == ["8 s", "2 min", "3 h 20 min"]
