"""Attention of one new token a row over its prompt and its own answer: two matrix products each, in which all answers to a
prompt, and all heads that share a key, share its reading.

Beside `scaled_dot_product_attention` on one query a row (2 Zen 4 cores, bfloat16), where no two rows share a prompt: 3.9
against 4.9 ms at 96 rows of 320 positions with 3 heads a key, 12 against 24 ms where each of 12 heads has its own key.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from rrtf.sampling.slots import Prompts

NAME = "rrtf_decoding"


def decoding_attention(
    module: torch.nn.Module,
    query: Float[Tensor, "rows heads queries width"],
    key: Float[Tensor, "rows kv_heads positions width"],
    value: Float[Tensor, "rows kv_heads positions width"],
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Float[Tensor, "rows queries heads width"], None]:
    """softmax(scale q k^T + mask) v, the softmax in float32; while prompts are computed, PyTorch's own kernel."""
    prompts: Prompts | None = getattr(key, "prompts", None)
    if prompts is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    assert attention_mask is not None  # the cache makes one for every step
    rows, heads, _, width = query.shape
    stacked = (query * options["scaling"]).view(rows, key.shape[1], -1, width)
    shared = prompts.keys.shape[2]
    scores = torch.empty(*stacked.shape[:3], attention_mask.shape[3], dtype=torch.float32, device=query.device)
    scores[..., :shared] = prompts.scores(stacked)
    scores[..., shared:] = stacked @ key.transpose(2, 3)
    weight = scores.add_(attention_mask).softmax(-1)
    mixed = weight[..., shared:].to(value.dtype) @ value + prompts.mix(weight[..., :shared].to(value.dtype))
    return mixed.view(rows, 1, heads, width), None


def use_decoding_attention(model: Any) -> None:
    """Let a model decode with this attention."""
    AttentionInterface.register(NAME, decoding_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
