"""Are two runs on the same problems different? Effect, interval, p and a plain sentence."""

from collections.abc import Mapping, Sequence
from math import comb, fsum, hypot
from typing import NamedTuple

import numpy as np

from rrtf.errors import UserError
from rrtf.evaluation.statistics import FEW, RESAMPLES, SEED, SIGNIFICANT, Interval, resampled_means, wilson_of_sum


class Comparison(NamedTuple):
    """How a second run differs from a first on the same problems.

    `effect` is second minus first (0.05 is five points), `low` and `high` its 95 % interval, `gained` and `lost` the
    problems on which the second did better and worse, `p` two-sided.
    """

    first: str
    second: str
    problems: int
    effect: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    test: str

    @property
    def sentence(self) -> str:
        """One sentence a reader may quote."""
        points = f"{100 * self.effect:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        counts = f"{self.gained} problem{'s' * (self.gained != 1)} gained, {self.lost} lost of {self.problems}"
        if self.p >= SIGNIFICANT:
            return f"{self.second} against {self.first}: within noise, {shown_p(self.p)} ({points}; {counts})"
        word = "better" if self.effect > 0 else "worse"
        return f"{self.second} is {word} than {self.first}, {shown_p(self.p)} ({points}; {counts})"


def shown_p(p: float) -> str:
    """p in words: two digits, or as many as it takes to be seen on its side of 0.05; never 0."""
    if p < 1e-4:
        return "p < 0.0001"
    digits = next(digits for digits in range(2, 18) if p == SIGNIFICANT or float(f"{p:.{digits}g}") != SIGNIFICANT)
    return f"p = {p:.{digits}g}"


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact two-sided p: were as many problems gained as lost, as a fair coin would have it?"""
    discordant = gained + lost
    tail = sum(comb(discordant, i) for i in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / 2**discordant)


def randomization_p(differences: Sequence[float], *, seed: int = SEED, resamples: int = RESAMPLES) -> float:
    """Two-sided p of a paired randomization test: under "no difference" each problem's sign is a coin toss.

    Equal differences are tossed together (a binomial), like the bootstrap. Never 0: (1 + hits) / (1 + draws).
    """
    sizes, counts = np.unique(np.abs(np.asarray(differences, dtype=np.float64)), return_counts=True)
    rng = np.random.default_rng(seed)
    heads = rng.binomial(counts, 0.5, size=(resamples, len(counts)))
    sums = np.abs((2 * heads - counts) @ sizes)
    hits = int(np.sum(sums >= abs(float(np.sum(differences))) - 1e-9))
    return (1 + hits) / (1 + resamples)


def compare(first: Mapping[str, float], second: Mapping[str, float], *, names: tuple[str, str] = ("A", "B")) -> Comparison:
    """Compare one number a problem (pass@k, 0 to 1) of two runs on the same problems.

    The interval is the paired bootstrap over problems. p is McNemar's exact test where all numbers are 0 or 1, else the
    paired randomization test, which McNemar's is a special case of. A difference of 0 that p does not rule out stands in the
    interval, too: the bootstrap alone leaves it out from four one-sided problems on, the test from six. Raises UserError
    where the problems differ.
    """
    _same_problems(first, second, names)
    differences = [second[task] - first[task] for task in sorted(first)]
    gained = sum(value > 0 for value in differences)
    lost = sum(value < 0 for value in differences)
    ends = paired_bootstrap(differences)
    yes_no = {*first.values(), *second.values()} <= {0.0, 1.0}
    p = mcnemar(gained, lost) if yes_no else randomization_p(differences)
    return Comparison(
        *names,
        problems=len(differences),
        effect=fsum(differences) / len(differences),
        low=min(ends.low, 0.0) if p >= SIGNIFICANT else ends.low,
        high=max(ends.high, 0.0) if p >= SIGNIFICANT else ends.high,
        gained=gained,
        lost=lost,
        p=p,
        test="McNemar, exact" if yes_no else "paired randomization",
    )


def paired_bootstrap(differences: Sequence[float], *, seed: int = SEED) -> Interval:
    """95 % percentile interval of the mean difference, resampling problems.

    Where all but a FEW problems came out the same, resampling shows hardly any spread or none: the interval is put together
    from Wilson's of what was gained and of what was lost (Newcombe's square-and-add, 1998) as if the two were independent.
    """
    if sum(difference != 0 for difference in differences) < FEW:
        gain, loss = (fsum(max(0.0, sign * value) for value in differences) for sign in (1, -1))
        up, down = (wilson_of_sum(total, len(differences)) for total in (gain, loss))
        gain, loss = gain / len(differences), loss / len(differences)
        low = gain - loss - hypot(gain - up.low, down.high - loss)
        return Interval(low, gain - loss + hypot(up.high - gain, loss - down.low), "wilson bound")
    low, high = np.quantile(resampled_means(differences, seed=seed), [0.025, 0.975])
    return Interval(float(low), float(high), "paired bootstrap over problems")


def _same_problems(first: Mapping[str, float], second: Mapping[str, float], names: tuple[str, str]) -> None:
    if not first or not second:
        raise UserError("nothing to compare: a run has no problems")
    only = {names[0]: sorted(set(first) - set(second)), names[1]: sorted(set(second) - set(first))}
    wrong = [
        f"{len(tasks)} only in {name} ({', '.join(tasks[:3])}{', …' if len(tasks) > 3 else ''})"
        for name, tasks in only.items()
        if tasks
    ]
    if wrong:
        raise UserError(f"a paired comparison needs the same problems in both runs: {'; '.join(wrong)}")
