"""The next token of every row: temperature, top-k, then top-p, without sorting the vocabulary.

The nucleus of most steps lies in the few likeliest tokens, which a two-stage partial sort finds. A wider nucleus is not
sorted at all: a token drawn from the whole distribution is kept if it lies in the nucleus, which one masked sum tells, and
drawn again if not. Both give the exact top-p distribution (tests compare it with the sorted form).
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

# wide enough for a 0.95 nucleus at temperature 0.8 in all but a few steps of code
WIDTH = 64
# tokens whose maximum is taken in the first stage of the partial sort; WIDTH best groups hold the WIDTH best tokens
GROUP = 64
# draws from the whole distribution before a wide nucleus is sorted after all; 0.05^3 of them come to that
TRIES = 3
# logits handled at once on a CPU: what stays in the second-level cache
CHUNK = 1 << 18


def uniforms(seed: int, count: int) -> np.ndarray:
    """The random numbers in [0, 1) of one answer, TRIES for each token: a function of its seed and nothing else."""
    return np.random.Generator(np.random.Philox(key=seed)).random((count, TRIES), dtype=np.float32)


def pick(
    logits: Float[Tensor, "rows vocabulary"],
    *,
    temperature: Float[Tensor, " rows"],
    uniform: Float[Tensor, "rows tries"],
    top_p: float,
    top_k: int,
) -> Int[Tensor, " rows"]:
    """One token a row. Rows at temperature 0 take the likeliest; the others invert the distribution at `uniform`."""
    size = max(1, CHUNK // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    cold = (temperature <= 0).tolist()
    parts = []
    for start in range(0, len(logits), size):
        rows = slice(start, start + size)
        if all(cold[rows]):
            parts.append(_first_best(logits[rows]))
            continue
        drawn = _draw(logits[rows], temperature[rows], uniform[rows], top_p=top_p, top_k=top_k)
        parts.append(torch.where(temperature[rows] > 0, drawn, _first_best(logits[rows])) if any(cold[rows]) else drawn)
    return torch.cat(parts)


def _first_best(logits: Float[Tensor, "rows vocabulary"]) -> Int[Tensor, " rows"]:
    """What argmax(-1) gives, the first of equals, in two stages: a maximum is vectorized, its place is not (3 to 1 in time)."""
    rows, vocabulary = logits.shape
    if vocabulary % GROUP:
        return logits.argmax(-1)
    groups = logits.view(rows, -1, GROUP)
    chosen = groups.amax(-1).argmax(-1)
    return chosen * GROUP + groups[torch.arange(rows, device=logits.device), chosen].argmax(-1)


def _draw(
    logits: Float[Tensor, "rows vocabulary"],
    temperature: Float[Tensor, " rows"],
    uniform: Float[Tensor, "rows tries"],
    *,
    top_p: float,
    top_k: int,
) -> Int[Tensor, " rows"]:
    """Tokens of a few rows; half-precision logits become float32 by the division."""
    scaled = logits / temperature.clamp(min=1e-6)[:, None]
    if top_k:
        values, tokens = scaled.topk(min(top_k, scaled.shape[1]), dim=-1)
        return tokens.gather(1, _from_sorted(values.softmax(-1), uniform[:, 0], top_p)[:, None])[:, 0]
    if top_p == 1.0:
        return _invert(scaled.softmax(-1), uniform[:, 0])
    values, tokens = likeliest(scaled, WIDTH)
    weights = scaled.sub_(values[:, :1]).exp_()
    whole = weights.sum(-1, keepdim=True)
    probability = (values - values[:, :1]).exp() / whole
    place = _from_sorted(probability, uniform[:, 0], top_p)
    chosen = tokens.gather(1, place[:, None])[:, 0]
    wide = probability.sum(-1) < top_p
    if wide.any():
        chosen[wide] = _from_whole(weights[wide] / whole[wide], uniform[wide], top_p)
    return chosen


def likeliest(
    logits: Float[Tensor, "rows vocabulary"], width: int
) -> tuple[Float[Tensor, "rows width"], Int[Tensor, "rows width"]]:
    """The `width` largest values of each row in falling order, and where they are."""
    rows, vocabulary = logits.shape
    groups = vocabulary // GROUP
    if groups <= width:
        best = logits.topk(min(width, vocabulary), dim=-1)
        return best.values, best.indices
    even = logits[:, : groups * GROUP].view(rows, groups, GROUP)
    chosen = even.amax(-1).topk(width, dim=-1).indices
    tokens = (chosen[:, :, None] * GROUP + torch.arange(GROUP, device=logits.device)).view(rows, -1)
    tokens = torch.cat([tokens, torch.arange(groups * GROUP, vocabulary, device=logits.device).expand(rows, -1)], 1)
    best = logits.gather(1, tokens).topk(width, dim=-1)
    return best.values, tokens.gather(1, best.indices)


def _from_sorted(
    probability: Float[Tensor, "rows width"], uniform: Float[Tensor, " rows"], top_p: float
) -> Int[Tensor, " rows"]:
    """A place in falling probabilities; the token that crosses `top_p` still belongs to the nucleus."""
    before = probability.cumsum(-1) - probability
    kept = before < top_p
    kept[:, 0] = True
    return _invert(probability * kept, uniform)


def _from_whole(
    probability: Float[Tensor, "rows vocabulary"], uniform: Float[Tensor, "rows tries"], top_p: float
) -> Int[Tensor, " rows"]:
    """A token of a wide nucleus. One is inside if the likelier ones (of equals: the earlier ones) sum to less than top_p."""
    chosen = torch.empty(len(probability), dtype=torch.long, device=probability.device)
    left = torch.arange(len(probability), device=probability.device)
    order = torch.arange(probability.shape[1], device=probability.device)
    for attempt in range(TRIES):
        token = _invert(probability[left], uniform[left, attempt])
        own = probability[left].gather(1, token[:, None])
        likelier = (probability[left] > own) | ((probability[left] == own) & (order < token[:, None]))
        inside = (probability[left] * likelier).sum(-1) < top_p
        chosen[left[inside]] = token[inside]
        left = left[~inside]
        if not len(left):
            return chosen
    values, tokens = probability[left].sort(dim=-1, descending=True, stable=True)
    chosen[left] = tokens.gather(1, _from_sorted(values, uniform[left, 0], top_p)[:, None])[:, 0]
    return chosen


def _invert(weight: Float[Tensor, "rows choices"], uniform: Float[Tensor, " rows"]) -> Int[Tensor, " rows"]:
    """The first choice whose cumulative weight exceeds `uniform` of the total, never one of weight zero."""
    cumulative = weight.cumsum(-1)
    place = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)[:, 0]
    # rounding may push the target to the total itself: then the last choice that has any weight
    last = torch.searchsorted(cumulative, cumulative[:, -1:].contiguous())[:, 0]
    return torch.minimum(place, last)
