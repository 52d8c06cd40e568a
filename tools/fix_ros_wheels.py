"""Point the ROS wheels' exported CMake include paths at this interpreter.

The wheels carry the Python and numpy paths of the image that built them, and CMake refuses
targets whose include folders do not exist. Run with the Python of the environment to mend,
after every installation of a `ros-*` wheel and before cmake or colcon. Running it twice is harmless.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

IMAGE = r"/opt/python/cp3\d+-cp3\d+t?"
PYTHON_INCLUDE = re.compile(IMAGE + r"/include/python3\.\d+t?")
NUMPY_INCLUDE = re.compile(IMAGE + r"/lib/python3\.\d+t?/site-packages/numpy/_?core/include")


def mend(text: str, python_include: str, numpy_include: str) -> str:
    """The text of a CMake export file with this machine's include folders."""
    text = NUMPY_INCLUDE.sub(lambda _: numpy_include, text)
    return PYTHON_INCLUDE.sub(lambda _: python_include, text)


def mend_prefix(prefix: Path, python_include: str, numpy_include: str) -> int:
    """Mend every export file under `prefix`/share; returns how many files changed."""
    changed = 0
    for path in sorted((prefix / "share").glob("*/cmake/*Export.cmake")):
        old = path.read_text(encoding="utf-8")
        new = mend(old, python_include, numpy_include)
        if new != old:
            part = path.with_name(path.name + ".part")
            part.write_text(new, encoding="utf-8")
            part.replace(path)
            changed += 1
    return changed


def main() -> int:
    """Mend the environment that this interpreter belongs to."""
    import numpy

    changed = mend_prefix(Path(sys.prefix), sysconfig.get_path("include"), numpy.get_include())
    print(f"fix_ros_wheels: {changed} CMake export files pointed at {sys.prefix}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
