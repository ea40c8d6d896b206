"""Every loss against a plain float64 loop written from its formula, and what must not change it."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.training.losses import Rows, ordering, scores, terms
from rrtf.training.settings import CeReduction, Family, Loss, Pairing

REWARDS = (-1.0, -0.6, -0.3, 0.4, 1.0)
RANKING = [family for family in Family if family is not Family.sft]


def make_rows(sizes: list[int], *, seed: int) -> Rows:
    """Random rows; rewards come from five values, so ties are common; the first row of a group is target and teacher."""
    draw = torch.Generator().manual_seed(seed)
    count = sum(sizes)
    group = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    length = torch.randint(1, 40, (count,), generator=draw)
    first = torch.cat([torch.arange(size) == 0 for size in sizes])
    reward = torch.tensor(REWARDS, dtype=torch.float64)[torch.randint(len(REWARDS), (count,), generator=draw)]
    return Rows(
        logp=(-torch.rand(count, generator=draw, dtype=torch.float64) * length * 3).requires_grad_(),
        reference=-torch.rand(count, generator=draw, dtype=torch.float64) * length * 3,
        length=length,
        width=length + 60,
        group=group,
        reward=reward,
        target=first,
        teacher=first | (torch.rand(count, generator=draw) < 0.2),
    )


def naive_rank(rows: Rows, loss: Loss) -> torch.Tensor:
    """The rank term, one pair at a time."""
    total = rows.logp.sum() * 0
    for group in rows.group.unique():
        members = [i for i in range(len(rows.group)) if rows.group[i] == group]

        def p(i: int) -> torch.Tensor:
            value = rows.logp[i] - (rows.reference[i] if loss.reference else 0)
            divisor = rows.width[i] if loss.family is Family.rrhf_released else rows.length[i]
            return value / divisor if loss.length_normalized else value

        weights = {}
        for i, j in itertools.permutations(members, 2):
            if loss.pairing is Pairing.all:
                weights[i, j] = 1.0
            elif rows.target[i] and not rows.teacher[j]:
                weights[i, j] = 1 / sum(1 for k in members if k != i and not rows.teacher[k])
        weights = {(i, j): weight for (i, j), weight in weights.items() if rows.reward[i] > rows.reward[j]}
        mass = sum(weights.values())
        for (i, j), weight in weights.items():
            gap = p(i) - p(j)
            if loss.family is Family.rrtf:
                total = total - weight * (rows.reward[i] - rows.reward[j]) * torch.clamp(gap, max=0)
            elif loss.family in (Family.rrhf, Family.rrhf_released):
                total = total + weight * torch.clamp(-gap, min=0)
            elif loss.family is Family.margin:
                total = total + weight / mass * torch.log1p(torch.exp(-(loss.beta * gap - loss.margin)))
            elif loss.family is Family.bradley_terry:
                total = total + weight / mass * torch.log1p(torch.exp(-loss.beta * gap))
        if loss.family is Family.listwise:
            for i in members:
                below = [j for j in members if (i, j) in weights]
                total = total - torch.log(torch.exp(loss.beta * p(i)) / sum(torch.exp(loss.beta * p(j)) for j in [i, *below]))
    return total


def naive_ce(rows: Rows, loss: Loss) -> torch.Tensor:
    total = rows.logp.sum() * 0
    for i in range(len(rows.group)):
        if rows.target[i]:
            divisor = {
                CeReduction.sum: 1,
                CeReduction.mean: int(rows.length[i]),
                CeReduction.padded_mean: int(rows.width[i]),
            }[loss.ce_reduction]
            total = total - rows.logp[i] / divisor
    return total


@given(
    family=st.sampled_from(Family),
    pairing=st.sampled_from(Pairing),
    reduction=st.sampled_from(CeReduction),
    normalized=st.booleans(),
    reference=st.booleans(),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_every_family_equals_a_naive_loop(
    family: Family, pairing: Pairing, reduction: CeReduction, normalized: bool, reference: bool, sizes: list[int], seed: int
) -> None:
    loss = Loss(
        family=family, pairing=pairing, ce_reduction=reduction, length_normalized=normalized, beta=0.3,
        reference=reference and family is Family.bradley_terry,
    )  # fmt: skip
    rows = make_rows(sizes, seed=seed)
    found = terms(rows, loss=loss)
    wanted = rows.logp.sum() * 0 if family is Family.sft else naive_rank(rows, loss), naive_ce(rows, loss)
    for term, naive in zip(found, wanted, strict=True):
        torch.testing.assert_close(term, naive, rtol=1e-9, atol=1e-9)
        ours, theirs = (torch.autograd.grad(value, rows.logp, retain_graph=True)[0] for value in (term, naive))
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", Family)
def test_gradcheck(family: Family) -> None:
    rows = make_rows([4, 1, 3], seed=2)

    def value(logp: torch.Tensor) -> torch.Tensor:
        found = terms(rows._replace(logp=logp), loss=Loss(family=family))
        return found.rank + 0.7 * found.ce

    assert torch.autograd.gradcheck(value, (rows.logp,))


def by_hand(logp: list[float], reward: list[float], length: list[int], **changes: object) -> Rows:
    count = len(logp)
    first = torch.arange(count) == 0
    rows = Rows(
        logp=torch.tensor(logp, dtype=torch.float64, requires_grad=True),
        reference=torch.zeros(count, dtype=torch.float64),
        length=torch.tensor(length),
        width=torch.tensor(length) * 2,
        group=torch.zeros(count, dtype=torch.long),
        reward=torch.tensor(reward, dtype=torch.float64),
        target=first,
        teacher=first,
    )
    return rows._replace(**changes)


def test_the_papers_formula_by_hand() -> None:
    """p_tea = -12/4 = -3, p_stu = -10/5 = -2; L_rank = (1 - (-0.6)) * (3 - 2) = 1.6; L_ft = 12."""
    rows = by_hand([-12.0, -10.0], [1.0, -0.6], [4, 5])
    found = terms(rows, loss=Loss(ce_reduction=CeReduction.sum))
    assert found.rank.item() == pytest.approx(1.6)
    assert found.ce.item() == pytest.approx(12.0)
    assert terms(rows, loss=Loss()).ce.item() == pytest.approx(3.0)


def test_dpo_by_hand() -> None:
    """beta ((-12 + 13) - (-10 + 9)) = 0.1 * 2: -log sigmoid(0.2)."""
    rows = by_hand([-12.0, -10.0], [1.0, 0.0], [4, 5], reference=torch.tensor([-13.0, -9.0], dtype=torch.float64))
    loss = Loss(family=Family.bradley_terry, length_normalized=False, beta=0.1, reference=True)
    assert terms(rows, loss=loss).rank.item() == pytest.approx(math.log(1 + math.exp(-0.2)))


def test_both_pairings_are_the_papers_pair_with_two_rows() -> None:
    rows = by_hand([-12.0, -10.0], [1.0, -0.6], [4, 5])
    assert terms(rows, loss=Loss(pairing=Pairing.all)) == terms(rows, loss=Loss(pairing=Pairing.teacher_student))


@pytest.mark.parametrize("family", Family)
def test_row_order_and_company_change_nothing(family: Family) -> None:
    rows, loss = make_rows([5, 1, 3, 4], seed=7), Loss(family=family)
    whole = terms(rows, loss=loss)
    order = torch.randperm(len(rows.group), generator=torch.Generator().manual_seed(1))
    shuffled = terms(Rows(*(field[order] for field in rows)), loss=loss)
    parts = [terms(Rows(*(field[rows.group == group] for field in rows)), loss=loss) for group in range(4)]
    for name in ("rank", "ce"):
        value = getattr(whole, name)
        torch.testing.assert_close(getattr(shuffled, name), value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(sum(getattr(part, name) for part in parts), value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", Family)
def test_ties_and_single_rows_leave_the_rank_term_at_zero(family: Family) -> None:
    tied = make_rows([4, 1], seed=3)
    found = terms(tied._replace(reward=torch.zeros_like(tied.reward)), loss=Loss(family=family))
    assert found.rank.item() == pytest.approx(0.0, abs=1e-12)
    (slope,) = torch.autograd.grad(found.rank, tied.logp)
    assert slope.abs().max() < 1e-12


@pytest.mark.parametrize("family", RANKING)
def test_the_gradient_lifts_the_better_row_and_lowers_the_worse(family: Family) -> None:
    rows = by_hand([-12.0, -10.0], [1.0, -0.6], [4, 4])
    (slope,) = torch.autograd.grad(terms(rows, loss=Loss(family=family)).rank, rows.logp)
    assert slope[0] < 0 < slope[1]


@pytest.mark.parametrize("family", Family)
def test_padding_changes_only_what_rrhf_released(family: Family) -> None:
    """Its divisors are padded widths: wider rows halve its scores, its rank term and its cross-entropy."""
    released = family is Family.rrhf_released
    loss = Loss(family=family, ce_reduction=CeReduction.padded_mean if released else CeReduction.mean)
    rows = make_rows([4, 3], seed=5)
    before, after = terms(rows, loss=loss), terms(rows._replace(width=rows.width * 2), loss=loss)
    factor = 0.5 if released else 1.0
    torch.testing.assert_close(after.rank, before.rank * factor, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after.ce, before.ce * factor, rtol=1e-12, atol=1e-12)


def test_released_rrhf_from_logits_as_its_script_computes_it() -> None:
    """One query, its rows padded to one width: label -100 became 0 before the length was counted, so each row's length is T."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 7, 11, generator=draw, dtype=torch.float64)
    label = torch.randint(0, 11, (3, 7), generator=draw)
    scored = torch.tensor([[0, 0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 0, 0]], dtype=torch.bool)
    reward = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    each = torch.log_softmax(logits, dim=-1).gather(-1, label[..., None])[..., 0] * scored
    score = each.sum(dim=1) / 7
    wanted_rank = sum(max(0.0, float(score[j] - score[i])) for i in range(3) for j in range(3) if reward[i] > reward[j])
    rows = by_hand(each.sum(dim=1).tolist(), reward.tolist(), scored.sum(dim=1).tolist(), width=torch.full((3,), 7))
    found = terms(rows, loss=Loss(family=Family.rrhf_released, ce_reduction=CeReduction.padded_mean))
    assert found.rank.item() == pytest.approx(wanted_rank)
    assert found.ce.item() == pytest.approx(-each[0].mean().item())


def test_plackett_luce_is_a_probability_over_rankings() -> None:
    """exp(-loss), summed over all rankings of three rows, is 1."""
    total = 0.0
    for reward in itertools.permutations([3.0, 2.0, 1.0]):
        rows = by_hand([-3.0, -5.0, -4.0], list(reward), [1, 2, 3])
        total += math.exp(-terms(rows, loss=Loss(family=Family.listwise)).rank.item())
    assert total == pytest.approx(1.0)


def test_ordering_counts_pairs_and_the_teachers_lead() -> None:
    """Scores -3, -2, -4: of the pairs 0>1, 0>2, 1>2 two are right; the teacher leads the students' mean (-3) by 0."""
    rows = by_hand([-12.0, -8.0, -16.0], [1.0, 0.0, -1.0], [4, 4, 4])
    found = ordering(rows, loss=Loss())
    assert (found.ordered, found.pairs, found.gap, found.gaps) == (2, 3, 0, 1)
    assert scores(rows, loss=Loss()).tolist() == [-3.0, -2.0, -4.0]


def test_mistakes_are_listed_in_words() -> None:
    found = Loss(rank_weight=-1.0, ce_weight=float("nan"), beta=0.0, reference=True).mistakes()
    assert [mistake.split(":")[0] for mistake in found] == [
        "loss.rank_weight", "loss.ce_weight", "loss.beta", "loss.reference",
    ]  # fmt: skip
