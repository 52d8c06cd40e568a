"""The argument parser that every `relpose` command is made with."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

NUMBER = re.compile(r"^-(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


if TYPE_CHECKING:
    Subparsers: TypeAlias = "argparse._SubParsersAction[CommandParser]"


class CommandParser(argparse.ArgumentParser):
    """argparse with examples kept as written, `-1e-3` read as a number, and optional intermixing.

    What a command does not know is refused with the usage of that command, not of `relpose`.

    With `intermixed = True` positional arguments may stand before, between and after the options
    (only for commands without sub-commands). `examples` is printed at the end of the help.
    """

    intermixed = False

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        if examples:
            kwargs["epilog"] = "examples:\n" + "\n".join(
                f"  {line}" for line in examples.strip().splitlines()
            )
        super().__init__(*args, **kwargs)
        self._negative_number_matcher = NUMBER  # Python < 3.14 takes -1e-3 for an option
        self._parsing = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, or intermixed. The sub-command action of the parent calls this."""
        if self._parsing:
            return super().parse_known_args(args, namespace)
        self._parsing = True
        try:
            parse = self.parse_known_intermixed_args if self.intermixed else super().parse_known_args
            found, unknown = parse(args, namespace)
        finally:
            self._parsing = False
        if unknown and self._subparsers is None:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown
