"""One closing line for all runs of pytest in a log: `python3 .ci/total.py LOG`."""

from __future__ import annotations

import collections
import re
import sys
from pathlib import Path

CLOSING = re.compile(r"=* (.*(?:passed|failed|errors?|no tests ran|deselected).*) in ([0-9.]+)s.*=*$")
ORDER = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warnings", "errors")


def total(log: str) -> str:
    """The counts of all closing lines, added up. Raises SystemExit where there is none."""
    found = [match for line in log.splitlines() if (match := CLOSING.match(line))]
    if not found:
        raise SystemExit("ci: pytest left no closing line (see above)")
    counts: collections.Counter[str] = collections.Counter()
    for match in found:
        for number, kind in re.findall(r"(\d+) (\w+)", match[1]):
            counts[{"warning": "warnings", "error": "errors"}.get(kind, kind)] += int(number)
    seconds = sum(float(match[2]) for match in found)
    said = ", ".join(f"{counts[kind]} {kind}" for kind in ORDER if counts[kind])
    return f"===== {said or 'no tests ran'} in {seconds:.2f}s ====="


if __name__ == "__main__":
    print(total(Path(sys.argv[1]).read_text(errors="replace")))
