"""Every golden, compared; and no golden that nothing compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.parity.case import GOLDENS, all_cases, deviation, exact

RULES = {"README.md", "README_scr.md", "fill_rule.py", "param_rule.py", "make_toy_7scenes.py", "NOTICE.md"}
"""Files that say how to compare and hold nothing to compare with."""


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{case.system}-{case.what}", marks=pytest.mark.slow if case.slow else ())
        for case in all_cases()
    ],
)
def test_golden(goldens, case):
    found = list(case.check())
    assert found, "compared nothing"
    assert not [d for d in found if not d.passed]


def test_every_golden_is_compared(goldens):
    claimed = {f"{case.system}/{file}" for case in all_cases() for file in case.files}
    files = (p for p in goldens.rglob("*") if p.is_file() and p.name not in RULES)
    loose = [f for f in (p.relative_to(goldens).as_posix() for p in files) if not _within(f, claimed)]
    assert not loose


def test_every_file_named_by_a_case_exists(goldens):
    named = {f"{case.system}/{file}" for case in all_cases() for file in case.files}
    assert not [name for name in named if not (Path(GOLDENS) / name).exists()]


def test_a_deviation_is_seen():
    assert not deviation("x", [1.0, 2.0], [1.0, 2.1], 1e-3).passed
    assert not deviation("x", [1.0], [1.0, 1.0], 1e-3).passed
    assert not deviation("x", [float("nan")], [1.0], 1e-3).passed
    assert not exact("x", [1, 2], [2, 1]).passed
    assert deviation("x", [1.0, float("inf")], [1.0, float("inf")], 0.0).passed


def _within(file: str, claimed: set[str]) -> bool:
    """Whether a case names the file or a folder that it is in."""
    return file in claimed or any(p.as_posix() in claimed for p in Path(file).parents)
