"""Files that are whole or not there, and values that are strict JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from relpose_ros.errors import RelposeError


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 under a temporary name in the same folder, then rename.

    Creates the folder. Raises RelposeError when it cannot be written.
    """
    return write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> Path:
    """As `write_text`, for what is no text."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise RelposeError(f"{path}: cannot be written ({error}); give a folder you may write to") from error
    return path


def plain(value: Any) -> Any:
    """The value in JSON's own types: NaN and infinities become None, arrays become lists."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
