"""Images of several cameras come together by stamp, whatever order they come in and whoever is missing."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.nodes.moments import MISSES, REMEMBERED, WAITING, Moments

MS = 1_000_000
NAMES = ("front", "left", "right")


def collector(names=NAMES, tolerance=0.01, patience=0.05):
    return Moments[int](names, tolerance, patience)


@dataclass(frozen=True)
class Arrival:
    at: float
    name: str
    stamp: int


@st.composite
def streams(draw):
    """What arrives of three cameras with jitter, delays, gaps and clocks that differ, in order of arrival."""
    found = []
    for name in NAMES:
        clock = draw(st.sampled_from([0, 0, 0, 4, 30, -2000]))
        for k in range(draw(st.integers(0, 12))):
            if draw(st.booleans()) or draw(st.booleans()):
                stamp = 10_000 + 33 * k + draw(st.integers(-6, 6)) + clock
                found.append(Arrival(0.033 * k + draw(st.floats(0, 0.2)), name, stamp * MS))
    return sorted(found, key=lambda a: a.at)


@given(streams())
@settings(max_examples=200, deadline=None)
def test_whatever_comes(stream):
    moments, out = collector(), []
    for number, arrival in enumerate(stream):
        out += moments.add(arrival.name, arrival.stamp, number, arrival.at)
        assert len(moments._waiting) <= WAITING
    out += moments.ready(1e9)
    assert not moments._waiting
    items = [item for moment in out for item in moment.items.values()]
    assert len(items) == len(set(items))  # each once
    for moment in out:
        assert moment.items and set(moment.items) <= set(NAMES)
        assert max(moment.stamps.values()) - moment.first <= 10 * MS
        assert all(stream[item].name == name for name, item in moment.items.items())
        assert all(stream[item].stamp == moment.stamps[name] for name, item in moment.items.items())
    # Steps back are those of clocks that are far behind, and no others.
    steps = [b.first - a.first for a, b in itertools.pairwise(out)]
    assert all(step > 0 or step < -500 * MS for step in steps)


@given(
    st.lists(st.tuples(*[st.integers(-4, 4)] * 3), min_size=1, max_size=20),
    st.permutations(NAMES),
)
def test_cameras_that_are_in_step_are_always_together(jitters, order):
    moments = collector()
    for k, jitter in enumerate(jitters):
        out = []
        for name in order:
            stamp = (1000 + 33 * k + jitter[NAMES.index(name)]) * MS
            out += moments.add(name, stamp, k, 0.033 * k)
        assert [m.items for m in out] == [dict.fromkeys(NAMES, k)] and not moments.missing(out[0])
    assert not moments.late and not moments.superseded


def test_a_camera_that_is_unplugged_is_waited_for_only_a_few_times():
    moments, waited = collector(("front", "left")), []
    for k in range(8):
        now = 0.1 * k
        if out := moments.add("front", (1000 + 100 * k) * MS, k, now):
            waited.append(0.0)
        else:
            assert not moments.ready(now + 0.049)
            out = moments.ready(now + 0.051)
            waited.append(0.05)
        assert [m.items for m in out] == [{"front": k}] and moments.missing(out[0]) == ["left"]
    assert waited == [0.05] * MISSES + [0.0] * (8 - MISSES)
    # It is back: its first image is too late for the moment that left without it, and is not lost twice.
    assert not moments.add("left", 1700 * MS, 70, 0.71)
    assert moments.late == {"left": 1}
    assert not moments.add("front", 1800 * MS, 8, 0.8)
    (back,) = moments.add("left", 1801 * MS, 80, 0.81)
    assert back.items == {"front": 8, "left": 80}


def delayed(moments, delays, at):
    """Of two cameras at 10 Hz, the left one so much late: when moments came out, and of how many."""
    out = []
    for k, delay in enumerate(delays):
        start = 10.0 * at + 0.1 * k
        stamp = round(1e9 * start) + 1_000_000
        found = [(start, m) for m in moments.add("front", stamp, k, start)]
        for now in sorted({*(start + 1e-6 + 0.01 * i for i in range(10)), start + delay}):
            came = moments.ready(now) if now != start + delay else moments.add("left", stamp + MS, k, now)
            found += [(now, m) for m in came]
        out += [(round(now - start, 4), len(m.items)) for now, m in found]
    return out


def test_a_camera_that_is_always_late_costs_patience_a_few_times_only():
    moments = collector(("front", "left"))
    out = delayed(moments, [0.083] * 8, 1)
    assert out == [(0.05, 1)] * MISSES + [(0.0, 1)] * (8 - MISSES)
    assert moments.late == {"left": 8} and moments.delay("left") == pytest.approx(0.083)
    assert moments.delay("front") is None
    # Once it is in time again, though nobody waits for it, it is waited for.
    out = delayed(moments, [0.083, 0.02, 0.02, 0.02], 2)
    assert out == [(0.0, 1), (0.0, 1), (0.02, 2), (0.02, 2)] and moments.delay("left") is None


def test_a_late_camera_that_is_unplugged_is_no_longer_called_late():
    moments = collector(("front", "left"))
    delayed(moments, [0.083] * 6, 1)
    for k in range(MISSES + 1):
        assert len(moments.add("front", (20_000 + 100 * k) * MS, k, 20.0 + 0.1 * k)) == 1
    assert moments.delay("left") is None


def test_what_is_remembered_of_moments_has_no_images():
    moments = collector(("front", "left"))
    delayed(moments, [0.02] * (REMEMBERED + 5), 1)
    assert len(moments._past) == REMEMBERED and not any(m.items for m in moments._past)


def test_a_late_image_is_no_moment_of_its_own():
    moments = collector(("front", "left"))
    moments.add("front", 1000 * MS, 0, 0.0)
    assert len(moments.ready(0.06)) == 1
    assert not moments.add("left", 1004 * MS, 1, 0.07) and not moments.ready(9.0)
    assert moments.late == {"left": 1}


def test_a_newer_moment_overtakes_an_older_one():
    moments = collector(("front", "left"))
    moments.add("front", 1000 * MS, 0, 0.0)
    moments.add("front", 1033 * MS, 1, 0.01)
    (out,) = moments.add("left", 1034 * MS, 2, 0.02)
    assert out.items == {"front": 1, "left": 2}
    assert moments.superseded == 1 and not moments.ready(9.0)


def test_images_that_are_too_far_apart_do_not_meet():
    moments = collector(("front", "left"))
    moments.add("front", 1000 * MS, 0, 0.0)
    assert not moments.add("left", 1011 * MS, 1, 0.0)
    assert [m.items for m in moments.ready(0.05)] == [{"front": 0}, {"left": 1}]


def test_after_a_jump_of_time_all_begins_anew():
    moments = collector(("front", "left"))
    for name in ("front", "left"):
        moments.add(name, 5000 * MS, 0, 0.0)
    moments.forget()
    moments.add("front", 4900 * MS, 1, 0.1)
    assert len(moments.add("left", 4900 * MS, 1, 0.1)) == 1
