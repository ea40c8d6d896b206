"""The losses: pure functions of each row's log-probability. A row is one response; the rows of many prompts lie end to end.

Axis names: `rows` responses, `tokens` positions. `p_i` is a row's score: the sum of its response tokens' log-probabilities,
divided by their number where `length_normalized`. Pairs are formed inside a group only, always with unequal rewards, so ties
and groups of one add nothing to the rank term. Results are sums over groups; the caller divides by the prompts of the step.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from rrtf.training.settings import CeReduction, Family, Loss, Pairing


class Rows(NamedTuple):
    """What a loss reads of each row; `target` marks the row cross-entropy trains on, `teacher` who wrote it.

    `logp` is the summed log-probability of the response tokens (natural logarithm), `reference` the same under the frozen
    starting model (zeros without one), `length` the number of those tokens, `width` the row's tokens with padding.
    """

    logp: Float[Tensor, " rows"]
    reference: Float[Tensor, " rows"]
    length: Int[Tensor, " rows"]
    width: Int[Tensor, " rows"]
    group: Int[Tensor, " rows"]
    reward: Float[Tensor, " rows"]
    target: Bool[Tensor, " rows"]
    teacher: Bool[Tensor, " rows"]


class Terms(NamedTuple):
    """The two terms, unweighted, summed over groups: L = rank_weight * rank + ce_weight * ce."""

    rank: Float[Tensor, ""]
    ce: Float[Tensor, ""]


class Ordering(NamedTuple):
    """How well scores agree with rewards, as sums and counts, so that batches and devices add up."""

    ordered: Float[Tensor, ""]
    pairs: Float[Tensor, ""]
    gap: Float[Tensor, ""]
    gaps: Float[Tensor, ""]


def terms(rows: Rows, *, loss: Loss) -> Terms:
    """Both terms of `loss` over `rows`."""
    zero = rows.logp.sum() * 0.0
    if loss.family is Family.sft:
        return Terms(zero, cross_entropy(rows, reduction=loss.ce_reduction))
    score = scores(rows, loss=loss)
    pair = pairs(rows, pairing=loss.pairing)
    rank = {
        Family.rrtf: lambda: rrtf(score, rows.reward, pair),
        Family.rrhf: lambda: rrhf(score, pair),
        Family.rrhf_released: lambda: rrhf(score, pair),
        Family.margin: lambda: margin(score, _pair_mean(pair, rows.group), beta=loss.beta, margin=loss.margin),
        Family.bradley_terry: lambda: bradley_terry(score, _pair_mean(pair, rows.group), beta=loss.beta),
        Family.listwise: lambda: listwise(score, pair, beta=loss.beta),
    }[loss.family]()
    return Terms(rank + zero, cross_entropy(rows, reduction=loss.ce_reduction))


def scores(rows: Rows, *, loss: Loss) -> Float[Tensor, " rows"]:
    """p_i = sum_t log P(y_it | x, y_i<t) / ||y_i|| (paper, section 3.4; RRHF Eq. 1).

    Family `rrhf_released` divides by the padded width instead: RRHF's train.py overwrites its own padding mask before it counts
    (GanjinZero/RRHF at e1a2b61, issue 37). Bradley-Terry with a reference scores log pi - log pi_ref (DPO, Eq. 7).
    """
    ratio = rows.logp - rows.reference if loss.reference else rows.logp
    if not loss.length_normalized:
        return ratio
    divisor = rows.width if loss.family is Family.rrhf_released else rows.length
    return ratio / divisor.clamp(min=1)


def pairs(rows: Rows, *, pairing: Pairing) -> Float[Tensor, "rows rows"]:
    """[i, j] = the weight of the pair "i should score above j": same group and r_i > r_j, else 0.

    `all`: 1 for each such pair. `teacher_student`: i is the target and j each row the student wrote, weighted by one over the
    number of those rows: the paper's one pair, in expectation over which of the student's samples is drawn.
    """
    same = rows.group[:, None] == rows.group[None, :]
    better = same & (rows.reward[:, None] > rows.reward[None, :])
    if pairing is Pairing.all:
        return better.to(rows.logp.dtype)
    drawn = same & rows.target[:, None] & ~rows.teacher[None, :]
    drawn = drawn & ~torch.eye(len(rows.group), dtype=torch.bool, device=same.device)
    return (better & drawn) / drawn.sum(dim=1, keepdim=True).clamp(min=1).to(rows.logp.dtype)


def _pair_mean(pair: Float[Tensor, "rows rows"], group: Int[Tensor, " rows"]) -> Float[Tensor, "rows rows"]:
    """`pair` scaled so that the weights of each group that has pairs add up to one."""
    same = (group[:, None] == group[None, :]).to(pair.dtype)
    total = same @ pair.sum(dim=1)
    return pair / torch.where(total > 0, total, torch.ones_like(total))[:, None]


def rrtf(score: Float[Tensor, " rows"], reward: Float[Tensor, " rows"], pair: Float[Tensor, "rows rows"]) -> Float[Tensor, ""]:
    """L_rank = - sum_{r_i > r_j} (r_i - r_j) min(0, p_i - p_j): a hinge without margin, weighted by the reward gap.

    Paper, section 3.4. By hand: rewards (1, 0), scores (-2, -1) give (1 - 0) * 1 = 1. Deviation: the paper has one pair a
    prompt; the sum here is over every pair the setting `pairing` forms.
    """
    gap = reward[:, None] - reward[None, :]
    return (pair * gap * relu(score[None, :] - score[:, None])).sum()


def rrhf(score: Float[Tensor, " rows"], pair: Float[Tensor, "rows rows"]) -> Float[Tensor, ""]:
    """L_rank = sum_{r_i > r_j} max(0, p_j - p_i) (RRHF, arXiv 2304.05302v2, Eq. 2): rewards give the order only."""
    return (pair * relu(score[None, :] - score[:, None])).sum()


def margin(score: Float[Tensor, " rows"], pair: Float[Tensor, "rows rows"], *, beta: float, margin: float) -> Float[Tensor, ""]:
    """- mean over pairs of log sigmoid(beta (p_i - p_j) - margin) (SimPO, arXiv 2405.14734, Eq. 6).

    Deviation: a group may hold more than one pair; its pairs are averaged, so that each prompt weighs the same.
    """
    return -(pair * logsigmoid(beta * (score[:, None] - score[None, :]) - margin)).sum()


def bradley_terry(score: Float[Tensor, " rows"], pair: Float[Tensor, "rows rows"], *, beta: float) -> Float[Tensor, ""]:
    """- mean over pairs of log sigmoid(beta (p_i - p_j)); with a reference in `score`, DPO (arXiv 2305.18290, Eq. 7).

    Deviation: as in `margin`, the pairs of a group are averaged.
    """
    return -(pair * logsigmoid(beta * (score[:, None] - score[None, :]))).sum()


def listwise(score: Float[Tensor, " rows"], pair: Float[Tensor, "rows rows"], *, beta: float) -> Float[Tensor, ""]:
    """- sum_i log( e^{beta p_i} / (e^{beta p_i} + sum_{j below i} e^{beta p_j}) ): Plackett-Luce over the ranking.

    Deviation: j runs over the rows with a strictly lower reward, which for a ranking without ties is Plackett-Luce exactly
    and leaves tied rows indifferent to each other.
    """
    below = (pair > 0) | torch.eye(len(score), dtype=torch.bool, device=score.device)
    rival = torch.where(below, beta * score[None, :], torch.full_like(pair, float("-inf")))
    return (torch.logsumexp(rival, dim=1) - beta * score).sum()


def cross_entropy(rows: Rows, *, reduction: CeReduction) -> Float[Tensor, ""]:
    """L_ft = - sum_t log P(y_t | x, y_<t) of each group's target row (paper, section 3.4), summed or averaged.

    `padded_mean` divides by the padded width, as RRHF's train.py does. A group with several target rows takes their mean, one
    with none adds nothing.
    """
    divisor = {
        CeReduction.sum: torch.ones_like(rows.length),
        CeReduction.mean: rows.length.clamp(min=1),
        CeReduction.padded_mean: rows.width,
    }[reduction]
    same = rows.group[:, None] == rows.group[None, :]
    targets = (same & rows.target[None, :]).sum(dim=1)
    weight = rows.target / targets.clamp(min=1).to(rows.logp.dtype)
    return -(weight * rows.logp / divisor).sum()


@torch.no_grad()
def ordering(rows: Rows, *, loss: Loss) -> Ordering:
    """Pairs ordered rightly (p_i > p_j), and the gap between each group's mean teacher and mean student score.

    Measured on length-normalised log-probabilities whatever the loss, so that losses can be compared; `gaps` counts the groups
    that have rows of both.
    """
    score = rows.logp / rows.length.clamp(min=1)
    pair = pairs(rows, pairing=loss.pairing) > 0
    same = (rows.group[:, None] == rows.group[None, :]).to(score.dtype)
    teachers, students = same @ rows.teacher.to(score.dtype), same @ (~rows.teacher).to(score.dtype)
    first = torch.tril(same, diagonal=-1).sum(dim=1) == 0
    both = first & (teachers > 0) & (students > 0)
    teacher_mean = (same @ (score * rows.teacher)) / teachers.clamp(min=1)
    student_mean = (same @ (score * ~rows.teacher)) / students.clamp(min=1)
    return Ordering(
        ordered=(pair & (score[:, None] > score[None, :])).sum().to(score.dtype),
        pairs=pair.sum().to(score.dtype),
        gap=((teacher_mean - student_mean) * both).sum(),
        gaps=both.sum().to(score.dtype),
    )
