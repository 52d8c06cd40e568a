"""`python launch_file.py FILE [NAME:=VALUE ...]`: what `ros2 launch` does with a file."""

from __future__ import annotations

import signal
import sys

from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource

from launch import LaunchService  # type: ignore[attr-defined]


def main(path: str, *words: str) -> int:
    """Run until everything has ended. Returns the exit status."""
    # A shell starts what is in its background with SIGINT ignored, and launch would never hear of it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    service = LaunchService(argv=words, noninteractive=True)
    arguments = [tuple(word.split(":=", 1)) for word in words]
    source = AnyLaunchDescriptionSource(path)
    service.include_launch_description(IncludeLaunchDescription(source, launch_arguments=arguments))
    status: int = service.run()
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
