"""Is 95 % said where 95 % is meant? Monte Carlo over simulated drives."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.localization.tracking import Kind, PoseTracker, TrackerOptions


def test_correlated_fixes_as_the_defaults_have_them(coverage, law):
    assert 0.90 <= coverage(law(common=0.5, tau=1.0), TrackerOptions(), range(16)) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(
    ("common", "tau", "options"),
    [
        (0.2, 1.0, TrackerOptions(common_share=0.2)),
        (0.5, 0.0, TrackerOptions(correlation_seconds=0.0)),
        (0.0, 0.0, TrackerOptions(common_share=0.0, correlation_seconds=0.0)),
    ],
)
def test_other_laws_with_options_that_say_so(coverage, law, common, tau, options):
    assert 0.90 <= coverage(law(common=common, tau=tau), options, range(24)) <= 0.985


@pytest.mark.slow
@pytest.mark.parametrize(("common", "tau"), [(1.0, 0.0), (0.5, 5.0)])
def test_more_correlation_than_the_options_say_is_still_near(coverage, law, common, tau):
    """Fixes with one error for the whole drive, or one that lasts five times as long."""
    assert coverage(law(common=common, tau=tau), TrackerOptions(), range(24)) >= 0.90


def test_late_and_unordered_stamps(coverage, law):
    delays = (0.1, 0.9, 0.3, 0.05)
    assert 0.90 <= coverage(law(), TrackerOptions(), range(8), lambda i: delays[i % 4]) <= 0.98


def test_outliers_do_not_spoil_it(drive, law, with_outliers):
    """Every tenth fix is wrong by metres: none may be used, and what is published stays right."""
    far = []
    for seed in range(4):
        made, tracker = with_outliers(drive(seed, law(), 10.0), 0.1, seed), PoseTracker()
        for index, (stamp, _) in enumerate(made.run(tracker)):
            if index % 10 == 0 and (pose := tracker.pose(stamp)) is not None:
                far.append(pose.map_from_base.distance_to(made.true_at(stamp))[0])
    assert len(far) > 60 and max(far) < 0.25


def test_a_kidnapping_is_followed_and_never_hidden(drive, law):
    """Odometry misses 3 m: until the new place is followed, what is claimed covers the error."""
    made, tracker = drive(2, law(), 10.0), PoseTracker()
    shift = made.fixes[0].map_from_base.identity().perturbed(np.r_[3.0, 0, 0, 0, 0, 0])
    kinds, hidden = [], 0
    moved_at = 5.0
    fixes = [
        f if f.stamp < moved_at else type(f)(f.stamp, shift @ f.map_from_base, f.covariance)
        for f in made.fixes
    ]
    made = type(made)(made.stamps, made.truth, made.odometry, tuple(fixes))
    for stamp, decisions in made.run(tracker):
        kinds += [(stamp, d.kind) for d in decisions]
        if stamp >= moved_at:
            pose, truth = tracker.pose(stamp), shift @ made.true_at(stamp)
            metres = pose.map_from_base.distance_to(truth)[0]
            claimed = np.linalg.eigvalsh(pose.covariance[:3, :3])[-1] ** 0.5
            hidden += int(metres > 1.0 and claimed < metres / 3)
    followed = next(stamp for stamp, kind in kinds if kind is Kind.KIDNAPPED)
    assert followed <= moved_at + 4 / 5 + 1e-6 and hidden == 0
    assert kinds[-1][1] is Kind.ACCEPTED
