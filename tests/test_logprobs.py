"""Lean log-probabilities: the plain log-softmax, without its memory."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from rrtf.training.logprobs import token_logprobs


def make(tokens: int, vocabulary: int, *, bias: bool = False, dtype: torch.dtype = torch.float64) -> Any:
    torch.manual_seed(0)
    head = nn.Linear(6, vocabulary, bias=bias, dtype=dtype)
    return torch.randn(tokens, 6, dtype=dtype, requires_grad=True), torch.randint(0, vocabulary, (tokens,)), head


@pytest.mark.parametrize("logits", [1, 40, 333, 10**6])
@pytest.mark.parametrize("bias", [False, True])
def test_any_block_size_equals_log_softmax(logits: int, bias: bool) -> None:
    hidden, label, head = make(9, 31, bias=bias)
    ours = token_logprobs(hidden, label, head=head, logits=logits)
    plain = torch.log_softmax(head(hidden), dim=-1).gather(1, label[:, None])[:, 0]
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    slope = torch.randn(9, dtype=torch.float64)
    inputs = (hidden, *head.parameters())
    for a, b in zip(torch.autograd.grad(ours, inputs, slope), torch.autograd.grad(plain, inputs, slope), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_gradcheck() -> None:
    hidden, label, head = make(4, 7)
    head.weight.requires_grad_()
    assert torch.autograd.gradcheck(lambda h: token_logprobs(h, label, head=head, logits=10), (hidden,))


def test_a_frozen_head_gets_no_gradient_and_passes_one_on() -> None:
    hidden, label, head = make(4, 7)
    head.requires_grad_(False)
    token_logprobs(hidden, label, head=head, logits=10).sum().backward()
    assert hidden.grad is not None and head.weight.grad is None


class Wrapped(nn.Module):
    """A head that is not a plain linear layer, as LoRA leaves one."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner, self.out_features = inner, inner.out_features

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.inner(hidden)


def test_another_head_and_a_softcap_go_through_the_module() -> None:
    hidden, label, head = make(9, 31)
    plain = token_logprobs(hidden, label, head=head, logits=100)
    torch.testing.assert_close(token_logprobs(hidden, label, head=Wrapped(head), logits=100), plain)
    capped = token_logprobs(hidden, label, head=head, softcap=0.5, logits=100)
    wanted = torch.log_softmax(0.5 * torch.tanh(head(hidden) / 0.5), dim=-1).gather(1, label[:, None])[:, 0]
    torch.testing.assert_close(capped, wanted)


def test_autocast_is_followed() -> None:
    hidden, label, head = make(9, 31, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = token_logprobs(hidden, label, head=head, logits=100)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, token_logprobs(hidden, label, head=head, logits=100), atol=0.1, rtol=0.1)
    found.sum().backward()
    assert head.weight.grad.dtype == torch.float32


class Largest(TorchDispatchMode):
    """Remembers the most elements of any tensor that an operation returned."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_no_tensor_of_tokens_by_vocabulary_ever_lives() -> None:
    """At vocabulary 150,000 the largest tensor is the head's own gradient, for 8 tokens as for 64."""
    seen = []
    for tokens in (8, 64):
        hidden, label, head = make(tokens, 150_000, dtype=torch.float32)
        with Largest() as largest:
            token_logprobs(hidden, label, head=head, logits=100_000).sum().backward()
        seen.append(largest.elements)
    assert seen == [6 * 150_000] * 2
