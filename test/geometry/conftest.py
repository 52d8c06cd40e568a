"""Where the goldens are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def goldens() -> Path:
    """The folder of reference results (`RELPOSE_GOLDENS` overrides it)."""
    folder = Path(os.environ.get("RELPOSE_GOLDENS", Path(__file__).parents[3] / "shared" / "goldens"))
    if not folder.is_dir():
        pytest.skip(f"parity with the goldens was NOT checked: no folder {folder}; set RELPOSE_GOLDENS")
    return folder
