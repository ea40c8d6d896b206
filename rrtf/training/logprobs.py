"""Lean log-probabilities: the log-probability of each response token, without ever holding a [tokens, vocabulary] tensor.

Logits exist for one chunk of response positions at a time; the backward pass computes each chunk again. Peak memory of
the head is therefore chunk x vocabulary, whatever the batch. The price is one more tokens x width x vocabulary product.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint


def token_logprobs(
    hidden: Float[Tensor, "targets width"],
    label: Int[Tensor, " targets"],
    *,
    head: torch.nn.Module,
    softcap: float | None = None,
    chunk: int,
) -> Float[Tensor, " targets"]:
    """log softmax(head(hidden))[label], each at least in fp32.

    `softcap`: Gemma 2 squeezes its logits to softcap * tanh(logits / softcap). A plain linear head takes the fused backward
    pass; any other (with a LoRA on it, quantized, capped) is called as it is, under checkpointing.
    """
    if type(head) is torch.nn.Linear and softcap is None:
        weight, bias = _autocast(head.weight), None if head.bias is None else _autocast(head.bias)
        return _LinearLogprobs.apply(hidden.to(weight.dtype), weight, bias, label, chunk)
    pieces = [
        checkpoint(_module_logprobs, part, wanted, head, softcap, use_reentrant=False)
        for part, wanted in zip(hidden.split(chunk), label.split(chunk), strict=True)
    ]
    return torch.cat(pieces) if pieces else hidden.new_zeros(0)


def _autocast(weight: Tensor) -> Tensor:
    """`weight` in the format that autocast would give a matrix product, once for all chunks."""
    device = weight.device.type
    return weight.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else weight


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def _module_logprobs(hidden: Tensor, label: Tensor, head: torch.nn.Module, softcap: float | None) -> Tensor:
    logits = _wide(head(hidden))
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return logits.gather(1, label[:, None]).squeeze(1) - torch.logsumexp(logits, dim=1)


class _LinearLogprobs(torch.autograd.Function):
    """The same for logits = hidden weight^T + bias, with d logp_t / d logits = onehot(label_t) - softmax_t written out."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, label: Tensor, chunk: int) -> Tensor:
        """One pass over the chunks; keeps hidden states and log-normalizers, no logits."""
        picked = hidden.new_empty(len(hidden), dtype=_wide(hidden[:0]).dtype)
        normalizer = torch.empty_like(picked)
        for start in range(0, len(hidden), chunk):
            span = slice(start, start + chunk)
            logits = _wide(linear(hidden[span], weight, bias))
            normalizer[span] = torch.logsumexp(logits, dim=1)
            picked[span] = logits.gather(1, label[span, None]).squeeze(1)
        ctx.save_for_backward(hidden, weight, bias, label, normalizer)
        ctx.chunk = chunk
        return picked - normalizer

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """The chunks once more; weight gradients add up in fp32."""
        (slope,) = gradients
        hidden, weight, bias, label, normalizer = ctx.saved_tensors
        need_hidden, need_weight, need_bias = ctx.needs_input_grad[:3]
        d_hidden = torch.empty_like(hidden) if need_hidden else None
        d_weight = torch.zeros_like(weight, dtype=normalizer.dtype) if need_weight else None
        d_bias = torch.zeros_like(bias, dtype=normalizer.dtype) if need_bias else None
        for start in range(0, len(hidden), ctx.chunk):
            span = slice(start, start + ctx.chunk)
            logits = _wide(linear(hidden[span], weight, bias))
            d_logits = logits.sub_(normalizer[span, None]).exp_().mul_(-slope[span, None])
            d_logits.scatter_add_(1, label[span, None], slope[span, None])
            narrow = d_logits.to(weight.dtype)
            if d_hidden is not None:
                d_hidden[span] = narrow @ weight
            if d_weight is not None:
                d_weight += narrow.T @ hidden[span]
            if d_bias is not None:
                d_bias += d_logits.sum(dim=0)
        to_weight = None if d_weight is None else d_weight.to(weight.dtype)
        return d_hidden, to_weight, None if d_bias is None else d_bias.to(weight.dtype), None, None
