"""Rates in diagnostics."""

from __future__ import annotations

from relpose_ros.nodes.health import Health
from relpose_ros.nodes.rates import Rates


def test_rates_are_those_of_the_last_seconds():
    now = [0.0]
    health = Health(lambda: now[0])
    rates = Rates(health, ("received", "processed"), window=10.0, clock=lambda: now[0])
    rates.note()
    assert "received per second" not in health.report().values
    for second in range(1, 31):
        now[0] = float(second)
        for _ in range(30 if second <= 20 else 5):
            health.count("received")
        health.count("processed")
        rates.note()
        if second == 5:
            assert health.report().values["received per second"] == "30.0"
    values = health.report().values
    assert (values["received per second"], values["processed per second"]) == ("5.0", "1.0")
    assert len(rates._seen) <= 12


def test_a_clock_that_stands_still_gives_no_rate():
    health = Health()
    rates = Rates(health, ("received",), clock=lambda: 1.0)
    rates.note()
    rates.note()
    assert "received per second" not in health.report().values
