"""Print an address if it answers within seconds, else nothing: pip would retry a dead index for minutes."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

TIMEOUT_S = 5.0


def reachable(address: str) -> bool:
    """Whether the server behind an http(s) address answers at all."""
    if not address.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    wanted = sys.argv[1]
    if reachable(wanted):
        print(wanted)
