"""The graph network that GM, DGNNS (IMP) and AdaGMN (EIMP) share, one iteration at a time or as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.imp.assignment import dual_softmax, sinkhorn
from relpose_ros.networks.imp.attention import HEADS, AttentionLayer, SharedAttentionLayer
from relpose_ros.networks.imp.keypoint_encoder import KeypointEncoder
from relpose_ros.networks.imp.layers import Pointwise, full_precision
from relpose_ros.networks.imp.mutual import Matches, mutual_matches
from relpose_ros.networks.imp.state import Attention, MatchingState


class GraphLayers(nn.Module):
    """The layers, self and cross in turn, two for each iteration."""

    def __init__(self, shared: list[bool], size: int, norm_fn: str, ac_fn: str) -> None:
        super().__init__()
        kinds = [SharedAttentionLayer if s else AttentionLayer for s in shared for _ in ("self", "cross")]
        self.layers = nn.ModuleList([kind(size, norm_fn, ac_fn) for kind in kinds])


class Matcher(Network):
    """Matches two sets of keypoints by iterations of self and cross attention (specs/imp.md section 4).

    iterations       L: each has a self layer, a cross layer and a final projection of its own
    descriptor_size  256 for SuperPoint, 128 for SIFT; a multiple of 4
    norm_fn, ac_fn   `in` or `bn`; `relu`, `gelu` or `lrelu`
    with_sinkhorn    assignment by `sinkhorn_iterations` of Sinkhorn, else by dual softmax
    match_threshold  of `forward`: least assignment value of a match
    """

    input_names = ("keypoints0", "keypoints1", "scores0", "scores1", "descriptors0", "descriptors1")
    output_names = ("matches0", "matching_scores0", "assignment")

    def __init__(
        self,
        iterations: int = 15,
        descriptor_size: int = 256,
        norm_fn: str = "in",
        ac_fn: str = "relu",
        with_sinkhorn: bool = True,
        sinkhorn_iterations: int = 20,
        match_threshold: float = 0.2,
    ) -> None:
        super().__init__()
        if iterations < 1 or descriptor_size < HEADS or descriptor_size % HEADS:
            raise ConfigurationError(
                f"expected iterations >= 1 and a descriptor_size divisible by {HEADS}, "
                f"got {iterations} and {descriptor_size}"
            )
        self.iterations, self.descriptor_size = iterations, descriptor_size
        self.with_sinkhorn, self.sinkhorn_iterations = with_sinkhorn, sinkhorn_iterations
        self.match_threshold = match_threshold
        self.bin_score = nn.Parameter(torch.tensor(1.0))
        self.kenc = KeypointEncoder(descriptor_size, norm_fn, ac_fn)
        shared = [self.shares_attention(i) for i in range(iterations)]
        self.gnn = GraphLayers(shared, descriptor_size, norm_fn, ac_fn)
        self.final_proj = nn.ModuleList([Pointwise(descriptor_size, descriptor_size) for _ in shared])

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {"iterations": 5, "descriptor_size": 32}

    @classmethod
    def parameters_from(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        return {
            "iterations": sum(key.startswith("final_proj.") and key.endswith(".weight") for key in shapes),
            "descriptor_size": shapes["final_proj.0.weight"][0],
            "norm_fn": "bn" if "kenc.encoder.1.weight" in shapes else "in",
        }

    def example_inputs(self, batch: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """37 and 29 keypoints; the descriptors of 20 of them agree."""

        def image(points: int, shared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            own = torch.randn(batch, points - shared.shape[1], self.descriptor_size, generator=generator)
            descriptors = nn.functional.normalize(torch.cat([shared, own], dim=1), dim=2)
            keypoints = torch.rand(batch, points, 2, generator=generator) * 1.4 - 0.7
            return keypoints, torch.rand(batch, points, generator=generator), descriptors

        shared = torch.randn(batch, 20, self.descriptor_size, generator=generator)
        (k0, s0, d0), (k1, s1, d1) = image(37, shared), image(29, shared)
        return k0, k1, s0, s1, d0, d1

    @staticmethod
    def shares_attention(iteration: int) -> bool:
        """Whether `iteration` (from 0) takes the attention of the one before instead of its own."""
        raise NotImplementedError

    def encode(
        self,
        keypoints0: Tensor,
        keypoints1: Tensor,
        scores0: Tensor,
        scores1: Tensor,
        descriptors0: Tensor,
        descriptors1: Tensor,
    ) -> MatchingState:
        """The state before the first iteration.

        Normalised keypoints (B, N, 2) (`normalise_keypoints`), their detection scores (B, N) and
        descriptors (B, N, D), unit length, of image 0 and image 1.
        """
        return MatchingState(
            self.encode_image(keypoints0, scores0, descriptors0),
            self.encode_image(keypoints1, scores1, descriptors1),
        )

    def encode_image(self, keypoints: Tensor, scores: Tensor, descriptors: Tensor) -> Tensor:
        """The half of `encode` that is of one image: (B, D, N). It may serve pairs with several others."""
        encoded: Tensor = full_precision(descriptors.transpose(1, 2)) + self.kenc(keypoints, scores)
        return encoded

    def step(self, state: MatchingState) -> MatchingState:
        """One iteration: a self layer, then a cross layer, on both images."""
        if state.iteration >= self.iterations:
            raise ConfigurationError(f"this network has {self.iterations} iterations, all of them are done")
        self_layer, cross_layer = self.gnn.layers[2 * state.iteration : 2 * state.iteration + 2]
        if self.shares_attention(state.iteration):
            return self._shared_step(state, self_layer, cross_layer)
        needed = state.iteration + 1 < self.iterations and self.shares_attention(state.iteration + 1)
        x0, x1, keep0, keep1 = state.descriptors0, state.descriptors1, state.keep0, state.keep1
        change0, self0 = self_layer(x0, x0, keep0, needed)
        change1, self1 = self_layer(x1, x1, keep1, needed)
        x0, x1 = x0 + change0, x1 + change1
        change0, cross0 = cross_layer(x0, x1, keep1, needed)
        change1, cross1 = cross_layer(x1, x0, keep0, needed)
        attention = Attention(self0, self1, cross0, cross1) if needed else None
        return replace(
            state,
            descriptors0=x0 + change0,
            descriptors1=x1 + change1,
            iteration=state.iteration + 1,
            attention=attention,
        )

    def advance(self, state: MatchingState, iterations: int) -> MatchingState:
        """So many iterations."""
        for _ in range(iterations):
            state = self.step(state)
        return state

    def stops(self, iterations: int) -> list[int]:
        """After how many iterations, of so many, points may be dropped or a pose tried: where attention has
        been shared, and at the end."""
        return [n for n in range(1, iterations + 1) if n == iterations or self.shares_attention(n - 1)]

    def pools_after(self, iteration: int) -> bool:
        """Whether points are dropped after `iteration` (from 0)."""
        return False

    @staticmethod
    def _shared_step(state: MatchingState, self_layer: nn.Module, cross_layer: nn.Module) -> MatchingState:
        """As `step`, with the attention of the iteration before; it stays in the state, for pooling."""
        given = state.attention
        if given is None:
            raise ConfigurationError(
                "this iteration shares the attention of the one before, but points were taken out since; "
                "pool after an iteration for which shares_attention is true"
            )
        x0, x1 = state.descriptors0, state.descriptors1
        x0, x1 = x0 + self_layer(x0, x0, given.self0), x1 + self_layer(x1, x1, given.self1)
        return replace(
            state,
            descriptors0=x0 + cross_layer(x0, x1, given.cross0),
            descriptors1=x1 + cross_layer(x1, x0, given.cross1),
            iteration=state.iteration + 1,
        )

    def similarity(self, state: MatchingState) -> Tensor:
        """<f(d0), f(d1)> / sqrt(D), (B, N0, N1), with the projection f of the last iteration done."""
        project = self.final_proj[state.iteration - 1]
        first, second = project(state.descriptors0), project(state.descriptors1)
        with torch.autocast(first.device.type, enabled=False):
            product: Tensor = full_precision(first).mT @ full_precision(second) / self.descriptor_size**0.5
            return product

    def scores(self, state: MatchingState) -> Tensor:
        """The assignment (B, N0+1, N1+1) after the last iteration done; masked points have zeros."""
        similarity = self.similarity(state)
        if self.with_sinkhorn:
            return sinkhorn(similarity, self.bin_score, self.sinkhorn_iterations, state.keep0, state.keep1)
        return dual_softmax(similarity, self.bin_score, state.keep0, state.keep1)

    def match(self, assignment: Tensor, threshold: float | None = None) -> Matches:
        """Mutual best pairs of an assignment above `threshold`, by default `match_threshold`."""
        return mutual_matches(assignment, self.match_threshold if threshold is None else threshold)

    def iterate(self, *inputs: Tensor) -> Iterator[tuple[MatchingState, Tensor]]:
        """The state and the assignment of every iteration; inputs as `encode`, shapes never change."""
        state = self.encode(*inputs)
        for _ in range(self.iterations):
            state = self.step(state)
            yield state, self.scores(state)

    def last(self, *inputs: Tensor) -> Tensor:
        """The assignment (B, N0+1, N1+1) of the last iteration alone; inputs as `encode`."""
        return self.scores(self.advance(self.encode(*inputs), self.iterations))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Inputs as `encode`.

        In eval mode, of the last iteration: partners (B, N0) int64 in image 1 or -1, their scores (B, N0)
        and the assignment (B, N0+1, N1+1). In train mode, of all iterations: assignments
        (B, L, N0+1, N1+1) and which points took part, (B, L, N0) and (B, L, N1) bool.
        """
        if self.training:
            return self._training_outputs(*inputs)
        assignment = self.last(*inputs)
        matches = self.match(assignment)
        return matches.indices0, matches.scores0, assignment

    def _training_outputs(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        assignments, kept0, kept1 = [], [], []
        for state, assignment in self.iterate(*inputs):
            assignments.append(assignment)
            all0, all1 = (
                x.new_ones(x.shape[::2], dtype=torch.bool) for x in (state.descriptors0, state.descriptors1)
            )
            kept0.append(all0 if state.keep0 is None else state.keep0)
            kept1.append(all1 if state.keep1 is None else state.keep1)
        return torch.stack(assignments, dim=1), torch.stack(kept0, dim=1), torch.stack(kept1, dim=1)
