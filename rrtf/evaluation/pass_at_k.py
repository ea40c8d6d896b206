"""pass@k, unbiased, in its one home (paper section 4.1.3; Chen et al. 2021, equation 1)."""

from math import comb

from rrtf.errors import UserError


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k): the chance that k of the n samples, drawn without replacement, hold a correct one.

    Computed with whole numbers and divided once, so the result is the float nearest to the exact fraction for any n.
    Raises UserError for k outside 1..n, because a k the samples can't answer must not vanish from a table.
    """
    if not 0 <= correct <= samples:
        raise UserError(f"pass@{k}: {correct} correct of {samples} samples is impossible")
    if not 1 <= k <= samples:
        raise UserError(f"pass@{k} needs at least {max(k, 1)} samples a problem and k of 1 or more; there are {samples}")
    drawn = comb(samples, k)
    return (drawn - comb(samples - correct, k)) / drawn
