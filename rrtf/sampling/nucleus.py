"""The next token of every row: temperature, top-k, then top-p, without sorting the vocabulary.

The nucleus of almost every step lies in the few likeliest tokens. They are found by a partial sort, and their share of the
whole distribution is known exactly from the log of the sum over the vocabulary; a row whose nucleus is wider gets a wider
partial sort. What is drawn follows the full top-p distribution exactly (tests compare it with the sorted form).
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

# wide enough for a 0.95 nucleus at temperature 1 in all but a few steps of code
FIRST_WIDTH = 64


def uniforms(seed: int, count: int) -> np.ndarray:
    """The random numbers in [0, 1) of one answer, one per token: a function of its seed and nothing else."""
    return np.random.Generator(np.random.Philox(key=seed)).random(count, dtype=np.float32)


def pick(
    logits: Float[Tensor, "rows vocabulary"],
    *,
    temperature: Float[Tensor, " rows"],
    uniform: Float[Tensor, " rows"],
    top_p: float,
    top_k: int,
) -> Int[Tensor, " rows"]:
    """One token a row. Rows at temperature 0 take the likeliest; the others invert the distribution at `uniform`."""
    warm = temperature > 0
    if not warm.any():
        return logits.argmax(-1)
    if not warm.all():
        chosen = logits.argmax(-1)
        chosen[warm] = pick(
            logits[warm], temperature=temperature[warm], uniform=uniform[warm], top_p=top_p, top_k=top_k
        )
        return chosen
    scaled = logits.float() / temperature[:, None]
    if top_p == 1.0 and not top_k:
        return _invert(scaled.softmax(-1), uniform)
    return _narrow(scaled, uniform, top_p=top_p, top_k=top_k)


def _narrow(
    scaled: Float[Tensor, "rows vocabulary"], uniform: Float[Tensor, " rows"], *, top_p: float, top_k: int
) -> Int[Tensor, " rows"]:
    """Draw from the nucleus, looking at FIRST_WIDTH tokens and at eight times more for rows where that is too few."""
    vocabulary = scaled.shape[1]
    width = min(top_k or FIRST_WIDTH, vocabulary)
    chosen = torch.empty(len(scaled), dtype=torch.long, device=scaled.device)
    left = torch.arange(len(scaled), device=scaled.device)
    # top-k comes first: what it cuts is no part of the whole that top-p takes its share of
    whole = None if top_k else scaled.logsumexp(-1, keepdim=True)
    while len(left):
        values, tokens = scaled[left].topk(width, dim=-1)
        if whole is None:
            probability = values.softmax(-1)
        else:
            probability = (values - whole[left]).exp()
        cumulative = probability.cumsum(-1)
        enough = (cumulative[:, -1] >= top_p) | (width == vocabulary) | (top_k > 0)
        kept = (cumulative - probability) < top_p  # the token that crosses the border still belongs to the nucleus
        kept[:, 0] = True
        place = _invert(probability * kept, uniform[left])
        drawn = tokens.gather(1, place[:, None])[:, 0]
        chosen[left[enough]] = drawn[enough]
        left = left[~enough]
        width = min(width * 8, vocabulary)
    return chosen


def _invert(weight: Float[Tensor, "rows choices"], uniform: Float[Tensor, " rows"]) -> Int[Tensor, " rows"]:
    """The first choice whose cumulative weight exceeds `uniform` of the total, never one of weight zero."""
    cumulative = weight.cumsum(-1)
    target = uniform[:, None] * cumulative[:, -1:]
    place = (cumulative <= target).sum(-1)
    last = (weight > 0).long().cumsum(-1).argmax(-1)  # rounding may push the target to the total itself
    return torch.minimum(place, last)
