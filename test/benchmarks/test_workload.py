"""What is timed on its way through the localizer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.workload import Workload


def test_a_query_that_retrieves_nothing_is_refused_in_words():
    localizer = SimpleNamespace(
        localize=lambda frame: SimpleNamespace(inliers=0),
        extract=lambda frame: None,
        describe=lambda features: np.zeros(4),
        retrieve=lambda described: [],
    )
    work = Workload("shed", SimpleNamespace(), (SimpleNamespace(),))
    work.__dict__["localizer"] = localizer
    with pytest.raises(SystemExit, match=r"shed: the middle query cannot be localized.*more --references"):
        _ = work.candidates
