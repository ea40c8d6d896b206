"""The packed form: each prompt once, its responses behind it, nothing padded.

All tokens of a micro-batch lie in one row: prompt 1, its responses, prompt 2, ... Position ids restart after the prompt for
each response, so rotary and learned absolute positions both see what they would see in a padded row. Everything outside
attention works on these T = sum(P + sum_k R_k) tokens. Attention runs in two dense blocks, because a [T, T] mask would compute
mostly forbidden pairs: prompts attend to themselves causally; each response attends to its prompt's keys and to itself.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rrtf.errors import ConfigurationError
from rrtf.training.attention import Block, block_attention, fits
from rrtf.training.batches import Batch, Layout, Tokens, facts

NAME = "rrtf_packed"


def packed(groups: Sequence[Tokens], *, share: float = 1.0, last: bool = True) -> Batch:
    """One micro-batch in packed form; the same rows, in the same order, as `batches.padded`."""
    ids: list[int] = []
    positions: list[int] = []
    prompts: list[Tensor] = []
    responses: list[tuple[int, Tensor]] = []
    sources: list[Tensor] = []
    for place, group in enumerate(groups):
        prompts.append(torch.arange(len(ids), len(ids) + len(group.prompt)))
        ids += group.prompt
        positions += range(len(group.prompt))
        end = len(ids) - 1
        for response in group.responses:
            own = torch.arange(len(ids), len(ids) + len(response))
            responses.append((place, own))
            sources.append(torch.cat([torch.tensor([end]), own[:-1]]))
            ids += response
            positions += range(len(group.prompt), len(group.prompt) + len(response))
    input_ids, scored = torch.tensor(ids), torch.cat([own for _, own in responses])
    return Batch(
        input_ids=input_ids[None],
        position_ids=torch.tensor(positions)[None],
        attention_mask=torch.ones(1, len(ids), dtype=torch.bool),
        layout=layout(prompts, responses, tokens=len(ids)),
        source=torch.cat(sources),
        label=input_ids[scored],
        row=torch.repeat_interleave(torch.arange(len(responses)), torch.tensor([len(own) for _, own in responses])),
        facts=facts(groups),
        number=torch.tensor([group.number for group in groups for _ in group.responses]),
        share=share,
        last=last,
    )


def layout(prompts: Sequence[Tensor], responses: Sequence[tuple[int, Tensor]], *, tokens: int) -> Layout:
    """The gather tables of both attention blocks, from the positions of each prompt and each (prompt number, response)."""
    prompt = pad_sequence(list(prompts), batch_first=True, padding_value=-1)
    query = pad_sequence([own for _, own in responses], batch_first=True, padding_value=-1)
    owner = torch.tensor([place for place, _ in responses])
    key = torch.cat([prompt[owner], query], dim=1)
    causal = torch.ones(query.shape[1], query.shape[1], dtype=torch.bool).tril()
    before = torch.ones(query.shape[1], prompt.shape[1], dtype=torch.bool)
    # a padded query would attend to nothing and give NaN; what it sees does not matter, because it is never read
    mask = torch.cat([before, causal], dim=1) & (key >= 0)[:, None, :] | (query < 0)[:, :, None]
    slots = torch.cat([prompt.flatten(), query.flatten()])
    back = torch.empty(tokens, dtype=torch.long)
    back[slots[slots >= 0]] = (slots >= 0).nonzero().squeeze(1)
    segment, parent = torch.empty(tokens, dtype=torch.long), torch.full((tokens,), -1)
    for number, positions in enumerate(prompts):
        segment[positions] = number
    for number, (place, positions) in enumerate(responses, start=len(prompts)):
        segment[positions], parent[positions] = number, place
    return Layout(prompt.clamp(min=0), query.clamp(min=0), key.clamp(min=0), mask[:, None], back, segment, parent)


def dense_mask(layout: Layout) -> Bool[Tensor, "1 1 tokens tokens"]:
    """Who sees whom as one [T, T] mask: the definition, for attention kernels without a packed form of their own."""
    same = layout.segment[:, None] == layout.segment[None, :]
    prompt = layout.parent[:, None] == layout.segment[None, :]
    return (same | prompt).tril()[None, None]


def block_mask(layout: Layout) -> Any:
    """The same as a FlexAttention block mask, which skips the forbidden blocks."""
    from torch.nn.attention.flex_attention import create_block_mask

    segment, parent, tokens = layout.segment, layout.parent, len(layout.segment)
    return create_block_mask(
        lambda batch, head, q, k: ((segment[q] == segment[k]) | (parent[q] == segment[k])) & (q >= k),
        B=None, H=None, Q_LEN=tokens, KV_LEN=tokens, device=str(segment.device),
    )  # fmt: skip


def packed_attention(
    module: torch.nn.Module,
    query: Float[Tensor, "batch heads tokens head_width"],
    key: Float[Tensor, "batch kv_heads keys head_width"],
    value: Float[Tensor, "batch kv_heads keys head_width"],
    attention_mask: Tensor | None,
    *,
    packing: Layout | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[Float[Tensor, "batch tokens heads head_width"], None]:
    """Attention over packed tokens in the form transformers asks of an attention function; without `packing`, plain sdpa."""
    if packing is None:
        others |= {"scaling": scaling, "dropout": dropout, "sliding_window": sliding_window, "softcap": softcap}
        return sdpa_attention_forward(module, query, key, value, attention_mask, **others)
    if softcap is not None:
        raise ConfigurationError(["trainer.attention: this model caps its attention scores; packed, it needs eager or flex"])
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    causal = torch.ones(2 * packing.prompt.shape[1:], dtype=torch.bool, device=q.device).tril()[None, None]
    prompts = Block(packing.prompt, packing.prompt, causal)
    responses = Block(packing.query, packing.key, packing.mask)
    dropped = dropout if module.training else 0.0
    outputs = [_attend(q, k, v, block=block, scale=scale, dropout=dropped) for block in (prompts, responses)]
    return torch.cat(outputs)[packing.back][None], None


def _attend(q: Tensor, k: Tensor, v: Tensor, *, block: Block, scale: float, dropout: float) -> Tensor:
    """[slots, heads, head_width]: attention of the gathered queries over the gathered keys, padding slots included."""
    if q.device.type == "cpu" and dropout == 0 and fits(q, block):
        return block_attention(q, k, v, block=block, scale=scale)
    options: dict[str, Any] = {"scale": scale, "dropout_p": dropout, "enable_gqa": q.shape[1] != k.shape[1]}
    q, k, v = q[block.queries].transpose(1, 2), k[block.keys].transpose(1, 2), v[block.keys].transpose(1, 2)
    return scaled_dot_product_attention(q, k, v, attn_mask=block.mask, **options).transpose(1, 2).flatten(0, 1)


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
