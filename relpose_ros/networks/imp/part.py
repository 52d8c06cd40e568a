"""Some iterations of a matcher as a network of their own: as much of its loops as a file of ONNX can hold."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.imp.matcher import Matcher
from relpose_ros.networks.imp.pooling import received_attention
from relpose_ros.networks.imp.state import MatchingState


class Iterations(Network):
    """Those from `start` (0: the first) up to `stop`, without masks.

    `forward` takes and gives descriptors (B, D, N0) and (B, D, N1). Raises ConfigurationError for a `start`
    that shares the attention of the iteration before.
    """

    input_names = ("descriptors0", "descriptors1")
    output_names: ClassVar[tuple[str, ...]] = ("updated0", "updated1")

    def __init__(self, network: Matcher, start: int, stop: int) -> None:
        super().__init__()
        if not 0 <= start < stop <= network.iterations or network.shares_attention(start):
            raise ConfigurationError(
                f"expected iterations of {network.iterations} that begin with an attention of their own, "
                f"got those from {start} to {stop}"
            )
        self.network, self.start, self.stop = network, start, stop
        self.train(network.training)

    def forward(self, descriptors0: Tensor, descriptors1: Tensor) -> tuple[Tensor, ...]:
        """The updated descriptors."""
        state = self._state(descriptors0, descriptors1)
        return state.descriptors0, state.descriptors1

    def _state(self, descriptors0: Tensor, descriptors1: Tensor) -> MatchingState:
        before = MatchingState(descriptors0, descriptors1, self.start)
        return self.network.advance(before, self.stop - self.start)


class PooledIterations(Iterations):
    """Of a network that drops points after them: `forward` gives the attention that these received, too.

    That is (B, N) for each of `ReceivedAttention`. The probabilities, (B, 4, N0, N1), stay inside.
    """

    output_names: ClassVar[tuple[str, ...]] = ("updated0", "updated1", "own0", "other0", "own1", "other1")

    def forward(self, descriptors0: Tensor, descriptors1: Tensor) -> tuple[Tensor, ...]:
        """The updated descriptors, and the received attention."""
        state = self._state(descriptors0, descriptors1)
        if state.attention is None:
            raise ConfigurationError(f"iteration {self.stop - 1} shares no attention that could be received")
        got = received_attention(state.attention)
        return state.descriptors0, state.descriptors1, got.own0, got.other0, got.own1, got.other1


def part(network: Matcher, start: int, stop: int) -> Iterations:
    """The iterations with all that comes after them needs."""
    kind = PooledIterations if network.pools_after(stop - 1) else Iterations
    return kind(network, start, stop)
