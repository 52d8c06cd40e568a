"""A second node of the same name, and one that has died but not yet for DDS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from relpose_ros.nodes.complaints import Complaints
from relpose_ros.nodes.diagnostics import NAME_PATIENCE, Diagnostics
from relpose_ros.nodes.health import Health


class Bench:
    """Diagnostics of a node that is not there; `same` nodes have its name."""

    def __init__(self) -> None:
        self.now, self.same = 100.0, 1
        node: Any = SimpleNamespace(
            create_publisher=lambda *_: None,
            create_timer=lambda *_, **__: None,
            get_name=lambda: "localizer",
            get_namespace=lambda: "/",
            get_fully_qualified_name=lambda: "/localizer",
            get_node_names_and_namespaces=lambda: [("localizer", "/")] * self.same + [("other", "/")],
        )
        logger = SimpleNamespace(error=lambda _: None, warning=lambda _: None, info=lambda _: None)
        self.health = Health(lambda: self.now)
        complaints = Complaints(self.health, logger, lambda: self.now)
        self.diagnostics = Diagnostics(node, self.health, complaints, 1.0, dict, lambda: self.now)

    def complains(self, seconds: float, same: int) -> list[bool]:
        """Look once a second for so long."""
        self.same, out = same, []
        for _ in range(round(seconds)):
            self.now += 1.0
            self.diagnostics._check_name()
            out.append("name" in self.health.problems())
        return out


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_one_that_was_killed_is_no_second_node(bench):
    assert not any(bench.complains(20.0, same=2))
    assert not any(bench.complains(5.0, same=1))
    assert not any(bench.complains(20.0, same=2)), "another restart: the patience begins anew"


def test_one_that_stays_is_found_and_its_end_too(bench):
    seen = bench.complains(NAME_PATIENCE + 2, same=2)
    assert seen.index(True) == NAME_PATIENCE and all(seen[int(NAME_PATIENCE) :])
    assert "2 nodes are called /localizer" in bench.health.report().text
    assert bench.complains(2.0, same=1) == [False, False]
