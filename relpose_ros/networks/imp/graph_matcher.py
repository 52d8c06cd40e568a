"""GM: every iteration has an attention of its own (the SuperGlue design with a head for each iteration)."""

from __future__ import annotations

from relpose_ros.networks.imp.matcher import Matcher


class GM(Matcher):
    """20,810,817 parameters with 15 iterations, 12,530,241 with 9 (descriptor size 256).

    It can be stepped like the others; the original's one-layer method raised TypeError.
    """

    @staticmethod
    def shares_attention(iteration: int) -> bool:
        return False
