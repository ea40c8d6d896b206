"""The packed form gives the padded form's loss and gradients, for every model family."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from training_models import FAMILIES, groups, tiny, tokenizer
from transformers import PreTrainedModel

from rrtf.errors import ConfigurationError
from rrtf.training import attention
from rrtf.training.attention import Block, block_attention
from rrtf.training.batches import Batch, encode, from_rows, padded
from rrtf.training.losses import terms
from rrtf.training.packing import NAME, block_mask, dense_mask, packed
from rrtf.training.scorer import Scorer
from rrtf.training.settings import Batching, Loss

TOKENS = encode(groups(5), tokenizer(), batching=Batching(max_length=200))


def loss_and_gradient(
    model: PreTrainedModel, batch: Batch, *, kernel: str, logits: int = 3000
) -> tuple[torch.Tensor, torch.Tensor]:
    model.set_attn_implementation(kernel)
    model.zero_grad()
    found = terms(batch.facts._replace(logp=Scorer(model, logits=logits)(batch)), loss=Loss())
    (found.rank + found.ce).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return torch.stack(found).detach(), gradient


def close(ours: tuple[torch.Tensor, torch.Tensor], theirs: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    assert (ours[1] - theirs[1]).abs().max() <= 1e-5 * theirs[1].abs().max()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kernel", [NAME, "eager"])
def test_packed_equals_padded(family: str, kernel: str) -> None:
    model = tiny(family)
    close(
        loss_and_gradient(model, packed(TOKENS), kernel=kernel), loss_and_gradient(model, padded(TOKENS, pad=0), kernel="sdpa")
    )


def left(batch: Batch, extra: int) -> Batch:
    """The same rows with all padding, and `extra` columns more of it, on the left."""
    rows, width = batch.input_ids.shape
    ids = torch.zeros(rows, width + extra, dtype=torch.long)
    present, scored = torch.zeros_like(ids, dtype=torch.bool), torch.zeros_like(ids, dtype=torch.bool)
    for i in range(rows):
        count = int(batch.attention_mask[i].sum())
        ids[i, -count:] = batch.input_ids[i, :count]
        present[i, -count:] = True
        scored[i, -int(batch.facts.length[i]) :] = True
    return from_rows(ids, present, scored, batch.facts, number=batch.number)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("extra", [0, 9])
def test_padding_side_and_width_change_nothing(family: str, extra: int) -> None:
    model, batch = tiny(family), padded(TOKENS, pad=0)
    close(loss_and_gradient(model, left(batch, extra), kernel="sdpa"), loss_and_gradient(model, batch, kernel="sdpa"))


@pytest.mark.parametrize("make", [packed, lambda groups: padded(groups, pad=0)])
def test_company_order_and_block_size_change_nothing(make: Callable[..., Batch]) -> None:
    model = tiny("qwen2")
    whole = loss_and_gradient(model, make(TOKENS), kernel=NAME)
    close(loss_and_gradient(model, make(TOKENS[::-1]), kernel=NAME, logits=17), whole)
    parts = [loss_and_gradient(model, make([group]), kernel=NAME) for group in TOKENS]
    close((sum(part[0] for part in parts), sum(part[1] for part in parts)), whole)


def test_gradient_checkpointing_changes_nothing() -> None:
    model = tiny("llama")
    whole = loss_and_gradient(model, packed(TOKENS), kernel=NAME)
    model.train()
    model.activation_checkpointing_enable({"use_reentrant": False})
    close(loss_and_gradient(model, packed(TOKENS), kernel=NAME), whole)


def test_the_mask_lets_each_response_see_its_prompt_and_itself() -> None:
    batch = packed(TOKENS[:2])
    assert batch.layout is not None
    mask, owner = dense_mask(batch.layout)[0, 0], []
    for g, group in enumerate(TOKENS[:2]):
        owner += [(g, 0)] * len(group.prompt)
        for k, response in enumerate(group.responses, start=1):
            owner += [(g, k)] * len(response)
    for query, key in torch.cartesian_prod(torch.arange(len(owner)), torch.arange(len(owner))).tolist()[::7]:
        same_group, part = owner[query][0] == owner[key][0], owner[key][1]
        allowed = same_group and part in (0, owner[query][1]) and key <= query
        assert bool(mask[query, key]) == allowed


def test_the_block_mask_of_flex_attention_is_the_same_mask() -> None:
    layout = packed(TOKENS).layout
    assert layout is not None
    tokens, zero = torch.arange(len(layout.segment)), torch.tensor(0)
    allowed = block_mask(layout).mask_mod(zero, zero, tokens[:, None], tokens[None, :])
    assert torch.equal(allowed, dense_mask(layout)[0, 0])


def test_it_holds_each_prompt_once() -> None:
    batch = packed(TOKENS)
    assert batch.input_ids.numel() == sum(len(g.prompt) + sum(map(len, g.responses)) for g in TOKENS)


@pytest.mark.parametrize("at_once", [1, 10**9])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_block_attention_is_attention(monkeypatch: pytest.MonkeyPatch, at_once: int, kv_heads: int) -> None:
    monkeypatch.setattr(attention, "AT_ONCE", at_once)
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(12, h, 3, generator=draw, dtype=torch.float64).requires_grad_() for h in (4, kv_heads, kv_heads))
    queries, keys = torch.randint(0, 12, (3, 4), generator=draw), torch.randint(0, 12, (3, 5), generator=draw)
    mask = torch.rand(3, 1, 4, 5, generator=draw) < 0.6
    mask[..., 0] = True
    block = Block(queries, keys, mask)
    ours = block_attention(q, k, v, block=block, scale=0.7)
    gathered = q[queries].transpose(1, 2), k[keys].transpose(1, 2), v[keys].transpose(1, 2)
    theirs = scaled_dot_product_attention(*gathered, attn_mask=mask, scale=0.7, enable_gqa=True).transpose(1, 2).flatten(0, 1)
    torch.testing.assert_close(ours, theirs)
    slope = torch.randn(12, 4, 3, generator=draw, dtype=torch.float64)
    torch.testing.assert_close(torch.autograd.grad(ours, (q, k, v), slope), torch.autograd.grad(theirs, (q, k, v), slope))


def test_long_rows_take_the_fused_kernel_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    whole = loss_and_gradient(model, packed(TOKENS), kernel=NAME)
    monkeypatch.setattr(attention, "MOST", 0)
    close(loss_and_gradient(model, packed(TOKENS), kernel=NAME), whole)


def test_what_it_cannot_do_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match="sdpa has no packed form"):
        loss_and_gradient(tiny("llama"), packed(TOKENS), kernel="sdpa")
