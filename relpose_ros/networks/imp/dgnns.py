"""DGNNS, the network of IMP: from the fourth iteration on, every other one reuses the last attention."""

from __future__ import annotations

from relpose_ros.networks.imp.matcher import Matcher


class DGNNS(Matcher):
    """19,231,809 parameters with 15 iterations (4,869,953 for descriptor size 128)."""

    @staticmethod
    def shares_attention(iteration: int) -> bool:
        """True for the iterations 3, 5, 7, ... counted from 0."""
        return iteration >= 3 and iteration % 2 == 1
