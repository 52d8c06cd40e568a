"""The two kinds of graph layer: one computes its attention, one reuses that of the layer two before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.networks.imp.layers import Pointwise, activation_layer, norm_layer

HEADS = 4


def split_heads(x: Tensor) -> Tensor:
    """(B, D, N) to (B, 4, N, D/4). Channel c belongs to head c mod 4, as in the published weights."""
    b, d, n = x.shape
    return x.reshape(b, d // HEADS, HEADS, n).permute(0, 2, 3, 1)


def join_heads(x: Tensor) -> Tensor:
    """The inverse of `split_heads`."""
    b, h, n, d = x.shape
    return x.permute(0, 3, 1, 2).reshape(b, d * h, n)


def _softmax(logits: Tensor) -> Tensor:
    """Over the last axis; of plain inference on a CPU in the memory of the logits.

    They are 16 MB for 1024 keypoints, in each of the four attentions of an iteration.
    """
    plain = logits.device.type == "cpu" and logits.dtype == torch.float32 and not logits.requires_grad
    if not plain or torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return logits.softmax(dim=-1)
    return torch.softmax(logits, dim=-1, out=logits)


class MultiHeadAttention(nn.Module):
    """Dot-product attention with 4 heads; `proj` holds the maps of query, key and value."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.merge = Pointwise(size, size)
        self.proj = nn.ModuleList([Pointwise(size, size) for _ in range(3)])

    def forward(
        self, x: Tensor, source: Tensor, keep: Tensor | None, with_probabilities: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The message (B, D, N) from `source` (B, D, M) to `x` (B, D, N).

        Source points where `keep` (B, M) is false are not attended to. The probabilities (B, 4, N, M) are
        returned only if asked for: without them the fused kernel needs no memory for them.
        """
        query, key, value = (split_heads(p(y)) for p, y in zip(self.proj, (x, source, source), strict=True))
        allowed = None if keep is None else keep[:, None, None, :]
        if not with_probabilities:
            # Contiguous: of other layouts the fused kernel on the CPU knows nothing.
            query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
            message = functional.scaled_dot_product_attention(query, key, value, allowed)
            return self.merge(join_heads(message)), None
        # The queries are scaled, not the logits, of which there are many more.
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        if allowed is not None:
            logits = logits.masked_fill(~allowed, torch.finfo(logits.dtype).min)
        probabilities = _softmax(logits)
        return self.merge(join_heads(probabilities.to(value.dtype) @ value)), probabilities


def update_network(size: int, norm_fn: str, ac_fn: str) -> nn.Sequential:
    """The perceptron 2D -> 2D -> D that turns a descriptor and its message into the descriptor's change."""
    return nn.Sequential(
        Pointwise(2 * size, 2 * size),
        norm_layer(norm_fn, 2 * size),
        activation_layer(ac_fn),
        Pointwise(2 * size, size),
    )


class AttentionLayer(nn.Module):
    """Graph layer with an attention of its own."""

    def __init__(self, size: int, norm_fn: str, ac_fn: str) -> None:
        super().__init__()
        self.attn = MultiHeadAttention(size)
        self.mlp = update_network(size, norm_fn, ac_fn)

    def forward(
        self, x: Tensor, source: Tensor, keep: Tensor | None, with_probabilities: bool
    ) -> tuple[Tensor, Tensor | None]:
        """The change (B, D, N) of `x`, and the probabilities; arguments as `MultiHeadAttention.forward`."""
        message, probabilities = self.attn(x, source, keep, with_probabilities)
        return self.mlp(torch.cat([x, message], dim=1)), probabilities


class SharedAttentionLayer(nn.Module):
    """Graph layer that applies given attention probabilities to new values (IMP, section 3)."""

    def __init__(self, size: int, norm_fn: str, ac_fn: str) -> None:
        super().__init__()
        self.proj = Pointwise(size, size)
        self.merge = Pointwise(size, size)
        self.mlp = update_network(size, norm_fn, ac_fn)

    def forward(self, x: Tensor, source: Tensor, probabilities: Tensor) -> Tensor:
        """The change (B, D, N) of `x` from `source` (B, D, M) with `probabilities` (B, 4, N, M)."""
        value = split_heads(self.proj(source))
        message = self.merge(join_heads(probabilities.to(value.dtype) @ value))
        change: Tensor = self.mlp(torch.cat([x, message], dim=1))
        return change
