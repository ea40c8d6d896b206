"""Lean log-probabilities: the log-probability of each response token, without ever holding a [tokens, vocabulary] tensor.

The vocabulary is walked in blocks, so that only `logits` numbers exist at a time, whatever the batch and the vocabulary; the
backward pass computes each block again. Blocks of the vocabulary, not of the tokens, because then each row of the
head's gradient is written once, and a block that fits the cache makes everything but the matrix products nearly free.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint


def token_logprobs(
    hidden: Float[Tensor, "targets width"],
    label: Int[Tensor, " targets"],
    *,
    head: torch.nn.Module,
    softcap: float | None = None,
    logits: int,
) -> Float[Tensor, " targets"]:
    """log softmax(head(hidden))[label], each at least in fp32.

    `softcap`: Gemma 2 squeezes its logits to softcap * tanh(logits / softcap). A plain linear head takes the fused backward
    pass (cut-cross-entropy's exact kernel on a GPU that has the package); any other (with a LoRA on it, quantized, capped, in
    ZeRO 3's shards) is called as it is, a few tokens at a time, under checkpointing.
    """
    if type(head) is torch.nn.Linear and softcap is None and not hasattr(head.weight, "ds_id"):
        weight, bias = _autocast(head.weight), None if head.bias is None else _autocast(head.bias)
        if hidden.is_cuda and weight.element_size() == 2 and find_spec("cut_cross_entropy"):
            from cut_cross_entropy import linear_cross_entropy

            return -linear_cross_entropy(
                hidden.to(weight.dtype), weight, label, bias, reduction="none", impl="cce_exact"
            ).float()
        return _LinearLogprobs.apply(hidden.to(weight.dtype), weight, bias, label, logits)
    out_features: Any = head.out_features
    chunk = max(1, logits // int(out_features))
    pieces = [
        checkpoint(_module_logprobs, part, wanted, head, softcap, use_reentrant=False)
        for part, wanted in zip(hidden.split(chunk), label.split(chunk), strict=True)
    ]
    return torch.cat(pieces)


def _autocast(weight: Tensor) -> Tensor:
    """`weight` in the format that autocast would give a matrix product, once for all blocks."""
    device = weight.device.type
    if device == "meta" or not torch.is_autocast_enabled(device):
        return weight
    return weight.to(torch.get_autocast_dtype(device))


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _module_logprobs(hidden: Tensor, label: Tensor, head: torch.nn.Module, softcap: float | None) -> Tensor:
    scores = _wide(head(hidden))
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    return scores.gather(1, label[:, None]).squeeze(1) - torch.logsumexp(scores, dim=1)


def _blocks(tokens: int, vocabulary: int, logits: int) -> Iterator[slice]:
    """The vocabulary in pieces of at most `logits` logits (and at least one word)."""
    size = max(1, logits // max(1, tokens))
    return (slice(start, min(start + size, vocabulary)) for start in range(0, vocabulary, size))


def _within(label: Tensor, block: slice) -> tuple[Int[Tensor, "targets 1"], Bool[Tensor, " targets"]]:
    """Each label's place in the block (somewhere in it, where it is not inside), and whether it is inside."""
    inside = (label >= block.start) & (label < block.stop)
    return (label - block.start).clamp(0, block.stop - block.start - 1)[:, None], inside


def _scores(hidden: Tensor, weight: Tensor, bias: Tensor | None, block: slice) -> Tensor:
    """A block of logits that may be overwritten."""
    return _wide(linear(hidden, weight[block], None if bias is None else bias[block]))


class _LinearLogprobs(torch.autograd.Function):
    """The same for logits = hidden weight^T + bias, with d logp_t / d logits = onehot(label_t) - softmax_t written out."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, label: Tensor, logits: int) -> Tensor:
        """One pass over the vocabulary with a running log-sum-exp; keeps hidden states and normalizers, no logits."""
        picked = torch.zeros_like(hidden[:, 0], dtype=_wide(hidden[:0]).dtype)
        normalizer = torch.full_like(picked, float("-inf"))
        for block in _blocks(len(hidden), len(weight), logits):
            scores = _scores(hidden, weight, bias, block)
            place, inside = _within(label, block)
            picked = torch.where(inside, scores.gather(1, place).squeeze(1), picked)
            highest = scores.amax(dim=1)
            total = scores.sub_(highest[:, None]).exp_().sum(dim=1).log_().add_(highest)
            normalizer = torch.logaddexp(normalizer, total)
        ctx.save_for_backward(hidden, weight, bias, label, normalizer)
        ctx.logits = logits
        return picked - normalizer

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        """The blocks once more. With q = softmax - onehot: d hidden = -slope (q weight), d weight = -q^T (slope hidden)."""
        slope = slopes[0][:, None]
        hidden, weight, bias, label, normalizer = ctx.saved_tensors
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        sloped = (hidden * -slope).to(weight.dtype)
        d_hidden = torch.zeros_like(hidden, dtype=normalizer.dtype)
        d_weight = torch.empty_like(weight) if need_weight else None
        d_bias = torch.empty_like(bias) if need_bias else None
        for block in _blocks(len(hidden), len(weight), ctx.logits):
            q = _scores(hidden, weight, bias, block).sub_(normalizer[:, None]).exp_()
            place, inside = _within(label, block)
            q.scatter_add_(1, place, -inside[:, None].to(q.dtype))
            narrow = q.to(weight.dtype)
            if need_hidden:
                d_hidden += narrow @ weight[block]
            if d_weight is not None:
                torch.mm(narrow.T, sloped, out=d_weight[block])
            if d_bias is not None:
                d_bias[block] = (q.T @ -slope.to(q.dtype)).squeeze(1)
        return (d_hidden * -slope).to(hidden.dtype), d_weight, d_bias, None, None
