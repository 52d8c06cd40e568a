"""What a similarity is worth as a confidence: against the definitions, pair by pair and limit by limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.retrieval_confidence import acceptance_curve, judge_confidence


def test_a_similarity_that_knows_and_one_that_does_not():
    knows = judge_confidence([0.9, 0.8, 0.3, 0.2], [True, True, False, False], 3)
    assert (knows.auroc, knows.average_precision) == (1.0, 1.0)
    assert knows.full_precision_recall == pytest.approx(2 / 3) and knows.full_precision_limit == 0.3
    errs = judge_confidence([0.9, 0.8, 0.3, 0.2], [False, False, True, True], 2)
    assert errs.auroc == 0 and errs.full_precision_recall == 0
    assert errs.average_precision == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_a_right_answer_no_more_similar_than_a_wrong_one_is_not_sure():
    tied = judge_confidence([0.5, 0.5, 0.7], [True, False, True], 2)
    assert tied.full_precision_recall == 0.5 and tied.auroc == 0.75
    assert tied.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_where_nothing_is_wrong_or_nothing_right():
    right = judge_confidence([0.5, 0.6], [True, True], 2)
    assert right.full_precision_recall == 1 and right.average_precision == 1
    assert math.isnan(right.auroc) and math.isnan(right.full_precision_limit)
    wrong = judge_confidence([0.5, 0.6], [False, False], 1)
    assert wrong.full_precision_recall == 0 and math.isnan(wrong.average_precision)
    assert math.isnan(judge_confidence([0.5], [False], 0).full_precision_recall)


answers = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30)


@given(answers, st.integers(0, 5))
def test_the_definitions_one_by_one(rows, unanswered):
    similarity, right = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    answerable = min(len(rows), int(right.sum()) + unanswered)
    found = judge_confidence(similarity, right, answerable)
    pairs = [(a > b) + 0.5 * (a == b) for a in similarity[right] for b in similarity[~right]]
    np.testing.assert_allclose(found.auroc, np.mean(pairs) if pairs else np.nan)
    area, last = 0.0, 0.0
    for limit in sorted(set(similarity), reverse=True):
        accepted = right[similarity >= limit]
        recall = accepted.sum() / max(right.sum(), 1)
        area, last = area + accepted.mean() * (recall - last), recall
    np.testing.assert_allclose(found.average_precision, area if right.any() else np.nan)
    sure = [right[similarity >= limit].sum() for limit in similarity if right[similarity >= limit].all()]
    if answerable:
        assert found.full_precision_recall == max(sure, default=0) / answerable


@given(answers)
def test_the_curve_ends_with_everything_accepted(rows):
    similarity, right = [r[0] for r in rows], [r[1] for r in rows]
    curve = acceptance_curve(similarity, right, len(rows))
    assert curve.precision[-1] == curve.recall[-1] == np.mean(right)
    assert len(curve.limits) == len(set(similarity)) and (np.diff(curve.limits) < 0).all()
    assert (np.diff(curve.recall) >= 0).all()


@pytest.mark.parametrize(
    ("similarity", "right", "answerable"),
    [([0.5], [True, False], 1), ([0.5], [True], 0), ([0.5], [True], 2), ([math.nan], [True], 1)],
)
def test_what_does_not_fit_is_refused(similarity, right, answerable):
    with pytest.raises(ConfigurationError, match="expected"):
        judge_confidence(similarity, right, answerable)
