"""Can this Python on this machine carry the development set-up? Standard library only, from Python 3.7 on.

Prints the interpreter's path and exits 0, or says on stderr what is missing and how to get it, and exits 1.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig

VERSIONS = ((3, 11), (3, 12))


def missing() -> list[str]:
    """Sentences, one for each thing that stands in the way."""
    python = sys.executable
    if sys.version_info[:2] not in VERSIONS:
        return [
            f"{python} is Python {platform.python_version()}; 3.11 or 3.12 is needed: "
            "sudo apt install python3.11 python3.11-venv python3.11-dev (Ubuntu 24.04: 3.12), "
            "or name one: make setup PYTHON=/path/to/python3.12"
        ]
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    found = []
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        found.append(
            f"ROS 2 wheels exist for Linux x86_64 only, this is {platform.system()} {platform.machine()}: "
            "use `pip install .` (no ROS nodes), or colcon beside an installed ROS 2"
        )
    if not all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")):
        found.append(f"{python} has no venv module: sudo apt install {name}-venv")
    if not os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h")):
        found.append(f"the headers (Python.h) of {python} are missing: sudo apt install {name}-dev")
    if not (compiler("CC", "cc", "gcc", "clang") and compiler("CXX", "c++", "g++", "clang++")):
        found.append("there is no C++ compiler: sudo apt install g++ (or set CC and CXX)")
    return found


def compiler(variable: str, *names: str) -> bool:
    """Whether the compiler that `variable` names, or else one of `names`, is on the PATH."""
    chosen = os.environ.get(variable, "").split()
    return any(shutil.which(name) for name in chosen[:1] or names)


def main() -> int:
    """Report."""
    problems = missing()
    for problem in problems:
        print(f"setup: {problem}", file=sys.stderr)
    if not problems:
        print(sys.executable)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
