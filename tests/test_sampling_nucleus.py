"""The sort-free nucleus draws from exactly the distribution that sorting gives."""

import pytest
import torch
from scipy.stats import chisquare

from rrtf.sampling.nucleus import GROUP, WIDTH, likeliest, pick, uniforms

VOCABULARY = 70 * GROUP + 3  # more groups than WIDTH, and a rest that fills none


def expected(logits, *, temperature, top_p, top_k):
    """Temperature, top-k, top-p the slow way, in float64 and by a full sort."""
    order = (logits.double() / temperature).sort(descending=True, stable=True)
    kept = torch.zeros(len(logits), dtype=torch.bool)
    width = top_k or len(logits)
    probability = order.values[:width].softmax(-1)
    kept[order.indices[:width][probability.cumsum(-1) - probability < top_p]] = True
    return (
        torch.where(kept, (logits.double() / temperature).exp(), 0.0)
        / torch.where(kept, (logits.double() / temperature).exp(), 0.0).sum()
    )


@pytest.mark.parametrize(
    ("scale", "top_p", "top_k"),
    [(4.0, 0.95, 0), (1.0, 0.9, 0), (0.3, 0.95, 0), (2.0, 1.0, 0), (2.0, 0.9, 20), (2.0, 1.0, 5), (9.0, 0.5, 0)],
    ids=["narrow", "wide", "flat", "whole", "top-k then top-p", "top-k", "one token"],
)
def test_draws_follow_the_exact_distribution(scale, top_p, top_k):
    torch.manual_seed(1)
    logits = torch.randn(VOCABULARY) * scale
    wanted = expected(logits, temperature=0.8, top_p=top_p, top_k=top_k)
    draws = 40_000
    uniform = torch.rand(draws, 3)
    counts = torch.zeros(VOCABULARY)
    for start in range(0, draws, 2000):
        part = uniform[start : start + 2000]
        rows = logits.expand(len(part), -1)
        drawn = pick(rows, temperature=torch.full((len(part),), 0.8), uniform=part, top_p=top_p, top_k=top_k)
        counts += torch.bincount(drawn, minlength=VOCABULARY)
    assert counts[wanted == 0].sum() == 0
    often = wanted * draws >= 5
    seen = [*counts[often].tolist(), float(counts[~often].sum())]
    due = [*(wanted[often] * draws).tolist(), float(wanted[~often].sum() * draws)]
    if due[-1] < 1:
        seen, due = seen[:-1], due[:-1]
    if len(due) > 1:
        scaled = [value * sum(seen) / sum(due) for value in due]
        assert chisquare(seen, scaled).pvalue > 1e-4


def test_the_two_stage_partial_sort_finds_the_likeliest():
    torch.manual_seed(0)
    logits = torch.randn(9, VOCABULARY)
    values, tokens = likeliest(logits, WIDTH)
    assert torch.equal(values, logits.topk(WIDTH).values)
    assert torch.equal(logits.gather(1, tokens), values)


def test_cold_rows_take_the_likeliest_beside_warm_ones():
    torch.manual_seed(0)
    logits = torch.randn(40, VOCABULARY)
    temperature = torch.tensor([0.0, 1.5] * 20)
    drawn = pick(logits, temperature=temperature, uniform=torch.rand(40, 3), top_p=0.95, top_k=0)
    best = logits.argmax(-1)
    assert torch.equal(drawn[::2], best[::2])
    assert (drawn[1::2] != best[1::2]).any()


@pytest.mark.parametrize("top_p", [0.3, 0.95, 1.0])
def test_extreme_numbers_never_leave_the_nucleus(top_p):
    logits = torch.full((4, VOCABULARY), -1e4)
    logits[:, 17] = 0.0
    uniform = torch.tensor([[0.0] * 3, [0.5] * 3, [1.0 - 2**-24] * 3, [1.0] * 3])
    drawn = pick(logits, temperature=torch.full((4,), 0.7), uniform=uniform, top_p=top_p, top_k=0)
    assert drawn.tolist() == [17] * 4


def test_random_numbers_depend_on_the_seed_alone():
    assert (uniforms(7, 10) == uniforms(7, 20)[:10]).all()
    assert (uniforms(7, 10) != uniforms(8, 10)).any()
    assert uniforms(3, 1000).min() >= 0
    assert uniforms(3, 1000).max() < 1


@pytest.mark.parametrize("vocabulary", [6400, 6401, 63])
def test_the_likeliest_is_the_first_of_equals(vocabulary):
    logits = torch.randint(0, 40, (50, vocabulary)).bfloat16()
    cold = pick(logits, temperature=torch.zeros(50), uniform=torch.zeros(50, 3), top_p=0.95, top_k=0)
    assert cold.tolist() == [row.index(max(row)) for row in logits.tolist()]
