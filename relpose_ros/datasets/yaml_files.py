"""YAML that others wrote: read as plain data, and shown in a message without its aliases running away."""

from __future__ import annotations

import reprlib
from typing import Any

MOST_ALIASES = 16
"""A few dozen aliases of aliases, or merges of merges, stand for more than there is memory; 16 for little."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 80, 80


def parse_yaml(text: str) -> Any:
    """What a YAML text holds. Raises ValueError, in one line, for what is none or has values of no kind."""
    import yaml

    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader))
        if aliases > MOST_ALIASES:
            raise ValueError(f"expected at most {MOST_ALIASES} aliases (*name), got {aliases}")
        return yaml.safe_load(text)
    except RecursionError:
        raise ValueError("not YAML: it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # a date of month 99 is a ValueError
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from None


def shown(value: Any) -> str:
    """A short text of a value. A few lines of aliases of aliases stand for gigabytes if written out."""
    return _SHORT.repr(value)
