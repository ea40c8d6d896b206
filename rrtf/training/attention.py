"""Attention over gathered blocks, for CPUs: batched matrix products where PyTorch's fused kernel is slow to train.

Measured on 2 cores in bf16 at 12 rows x 128 queries x 256 keys: forward and backward 42 ms, against 90 ms for
`scaled_dot_product_attention`, whose CPU backward pass takes most of that. The weights are computed again in the backward
pass, so nothing of the size queries x keys is kept.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# attention weights that exist at one time: 4 MiB in bf16, which stays in the cache
AT_ONCE = 2**21
# a row with more than this many weights goes to the fused kernel, whose memory does not grow with their number
MOST = 2**25


class Block(NamedTuple):
    """Which packed tokens ask (`queries`), which they look at (`keys`), and which pairs are allowed."""

    queries: Int[Tensor, "rows query_tokens"]
    keys: Int[Tensor, "rows key_tokens"]
    mask: Bool[Tensor, "mask_rows 1 query_tokens key_tokens"]


def block_attention(
    query: Float[Tensor, "tokens heads head_width"],
    key: Float[Tensor, "tokens kv_heads head_width"],
    value: Float[Tensor, "tokens kv_heads head_width"],
    *,
    block: Block,
    scale: float,
) -> Float[Tensor, "slots heads head_width"]:
    """softmax(scale q k^T) v for each row of the block, the rows end to end (slots = rows x query_tokens).

    Under autocast in autocast's precision, like PyTorch's own attention; gradients come back in the precision of the inputs.
    """
    kind = query.device.type
    if torch.is_autocast_enabled(kind) and query.dtype != torch.float64:
        lower = torch.get_autocast_dtype(kind)
        query, key, value = query.to(lower), key.to(lower), value.to(lower)
    return _BlockAttention.apply(query, key, value, block.queries, block.keys, block.mask, scale)


def fits(query: Tensor, block: Block) -> bool:
    """Whether one row's weights are few enough to be written out."""
    return int(query.shape[1]) * block.queries.shape[1] * block.keys.shape[1] <= MOST


class _Part(NamedTuple):
    """A few rows of a block as batched matrices: queries that share a key head lie under each other."""

    query: Float[Tensor, "batch stacked head_width"]
    key: Float[Tensor, "batch key_tokens head_width"]
    value: Float[Tensor, "batch key_tokens head_width"]
    weight: Float[Tensor, "batch stacked key_tokens"]


def _stack(flat: Tensor, place: Tensor, kv_heads: int) -> Tensor:
    """[tokens, heads, width] -> [rows * kv_heads, heads per key head * queries, width]."""
    rows, queries = place.shape
    split = flat[place].view(rows, queries, kv_heads, -1, flat.shape[2])
    return split.permute(0, 2, 3, 1, 4).reshape(rows * kv_heads, -1, flat.shape[2])


def _unstack(stacked: Tensor, place: Tensor, kv_heads: int) -> Tensor:
    """The way back: [rows * queries, heads, width]."""
    rows, queries = place.shape
    split = stacked.view(rows, kv_heads, -1, queries, stacked.shape[2])
    return split.permute(0, 3, 1, 2, 4).reshape(rows * queries, -1, stacked.shape[2])


def _part(query: Tensor, key: Tensor, value: Tensor, block: Block, scale: float) -> _Part:
    kv_heads, rows = key.shape[1], len(block.queries)
    q = _stack(query, block.queries, kv_heads)
    k, v = _stack(key, block.keys, kv_heads), _stack(value, block.keys, kv_heads)
    scores = torch.bmm(q * scale, k.transpose(1, 2))
    forbidden = torch.zeros_like(block.mask, dtype=scores.dtype).masked_fill_(~block.mask, float("-inf"))
    scores.view(rows, kv_heads, -1, *block.mask.shape[2:]).add_(forbidden[:, :, None])
    return _Part(q, k, v, torch.softmax(scores, dim=-1))


def _pieces(query: Tensor, block: Block) -> list[tuple[slice, Block]]:
    """The block a few rows at a time; a mask all rows share stays one."""
    size = max(1, AT_ONCE // (int(query.shape[1]) * block.queries.shape[1] * block.keys.shape[1]))
    spans = [slice(start, start + size) for start in range(0, len(block.queries), size)]
    shared = len(block.mask) == 1
    return [(s, Block(block.queries[s], block.keys[s], block.mask if shared else block.mask[s])) for s in spans]


class _BlockAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, queries: Tensor, keys: Tensor, mask: Tensor, scale: float
    ) -> Tensor:
        """Keeps the inputs only."""
        ctx.save_for_backward(query, key, value, queries, keys, mask)
        ctx.scale = scale
        outputs = []
        for _, piece in _pieces(query, Block(queries, keys, mask)):
            part = _part(query, key, value, piece, scale)
            outputs.append(_unstack(torch.bmm(part.weight, part.value), piece.queries, key.shape[1]))
        return torch.cat(outputs)

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        """Key and value gradients add up in fp32, because a prompt's keys are read by all its responses."""
        query, key, value, queries, keys, mask = ctx.saved_tensors
        wide = torch.float64 if key.dtype == torch.float64 else torch.float32
        d_query = torch.zeros_like(query)
        d_key, d_value = torch.zeros_like(key, dtype=wide), torch.zeros_like(value, dtype=wide)
        slope = slopes[0].view(*queries.shape, *query.shape[1:])
        for span, piece in _pieces(query, Block(queries, keys, mask)):
            part = _part(query, key, value, piece, ctx.scale)
            rows, kv_heads = len(piece.queries), key.shape[1]
            flat = slope[span].flatten(0, 1)
            d_out = _stack(flat, torch.arange(len(flat), device=flat.device).view(rows, -1), kv_heads)
            d_weight = torch.bmm(d_out, part.value.transpose(1, 2))
            d_scores = torch.ops.aten._softmax_backward_data(d_weight, part.weight, -1, d_weight.dtype).mul_(ctx.scale)
            d_query.index_add_(0, piece.queries.flatten(), _unstack(torch.bmm(d_scores, part.key), piece.queries, kv_heads))
            places = piece.keys.flatten()
            for total, stacked in (
                (d_key, torch.bmm(d_scores.transpose(1, 2), part.query)),
                (d_value, torch.bmm(part.weight.transpose(1, 2), d_out)),
            ):
                total.index_add_(0, places, _unstack(stacked, piece.keys, kv_heads).to(wide))
        return d_query, d_key.to(key.dtype), d_value.to(value.dtype), None, None, None, None
