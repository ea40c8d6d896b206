"""Intervals, paired comparisons and power: what a benchmark number is worth.

The unit is always the problem. Samples of one problem are not independent, so they are averaged into one number a problem
before anything here sees them (the paper prints no interval at all; all of this is ours).
"""

from collections import Counter
from collections.abc import Sequence
from math import ceil, floor, fsum, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rrtf.errors import UserError

# ours: enough that the ends of an interval move by less than 0.1 point between seeds at 164 problems
RESAMPLES = 10_000
SEED = 0
# ours: with fewer problems that differ from the rest, what happened to be drawn hides what could have been: bootstrap intervals
# "of 95 %" held the truth in 69 to 80 % of simulated benchmarks of 20 and 60 problems. The usual rule for rare events is five
FEW = 5
# p below this is a difference
SIGNIFICANT = 0.05
Z95 = NormalDist().inv_cdf(0.975)


class Interval(NamedTuple):
    """A 95 % interval on [0, 1] and the name of the method that made it."""

    low: float
    high: float
    method: str


def wilson(solved: int, problems: int) -> Interval:
    """Wilson's score interval for a share of yes/no results (greedy decoding: one result a problem)."""
    if not 0 <= solved <= problems or problems == 0:
        raise UserError(f"an interval needs 0 <= solved <= problems and a problem; got {solved} of {problems}")
    share, square = solved / problems, Z95 * Z95
    centre = (share + square / (2 * problems)) / (1 + square / problems)
    half = Z95 / (1 + square / problems) * sqrt(share * (1 - share) / problems + square / (4 * problems**2))
    low = 0.0 if solved == 0 else max(0.0, centre - half)
    high = 1.0 if solved == problems else min(1.0, centre + half)
    return Interval(low, high, "wilson")


def resampled_means(values: Sequence[float], *, seed: int = SEED, resamples: int = RESAMPLES) -> npt.NDArray[np.float64]:
    """Means of bootstrap samples over problems, sorted.

    Equal values are drawn together, as counts of a multinomial: the same distribution as drawing problems one by one, at
    the cost of the distinct values (at most n+1 of them) instead of the problems. It also makes the order of problems
    irrelevant, so two runs that list them differently print the same interval.
    """
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(values), counts / len(values), size=resamples)
    return np.sort(drawn @ distinct / len(values))


def bootstrap(values: Sequence[float], *, seed: int = SEED) -> Interval:
    """Percentile bootstrap over problems for the mean of one number a problem (pass@k of n samples), each in [0, 1].

    Where all but a FEW problems scored the same, resampling shows hardly any spread or none; the spread of a share with that
    mean over as many yes/no problems is an upper bound and is printed instead.
    """
    if not values:
        raise UserError("an interval needs at least one problem")
    if len(values) - max(Counter(values).values()) < FEW:
        return wilson_of_sum(fsum(values), len(values))
    low, high = np.quantile(resampled_means(values, seed=seed), [0.025, 0.975])
    return Interval(float(low), float(high), "bootstrap over problems")


def wilson_of_sum(total: float, problems: int) -> Interval:
    """Wilson's interval around a mean of values in [0, 1] whose sum need not be a whole count; an upper bound for any."""
    return Interval(wilson(floor(total), problems).low, wilson(min(problems, ceil(total)), problems).high, "wilson bound")


def interval(values: Sequence[float], *, seed: int = SEED) -> Interval:
    """Wilson where every problem is a plain yes or no, else the bootstrap over problems."""
    if values and all(value in (0.0, 1.0) for value in values):
        return wilson(int(sum(values)), len(values))
    return bootstrap(values, seed=seed)
