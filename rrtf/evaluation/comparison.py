"""Are two runs on the same problems different? Effect, interval, p and a plain sentence."""

from collections.abc import Mapping, Sequence
from math import comb, fsum, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from rrtf.errors import UserError
from rrtf.evaluation.statistics import RESAMPLES, SEED, Interval, resampled_means, wilson

SIGNIFICANT = 0.05


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
            return f"{self.second} against {self.first}: within noise, p = {self.p:.2g} ({points}; {counts})"
        word = "better" if self.effect > 0 else "worse"
        return f"{self.second} is {word} than {self.first}, {_p(self.p)} ({points}; {counts})"


def _p(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


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
    paired randomization test, which McNemar's is a special case of. Raises UserError where the problems differ.
    """
    _same_problems(first, second, names)
    differences = [second[task] - first[task] for task in sorted(first)]
    gained = sum(value > 0 for value in differences)
    lost = sum(value < 0 for value in differences)
    yes_no = {*first.values(), *second.values()} <= {0.0, 1.0}
    return Comparison(
        *names,
        problems=len(differences),
        effect=fsum(differences) / len(differences),
        low=(ends := paired_bootstrap(differences)).low,
        high=ends.high,
        gained=gained,
        lost=lost,
        p=mcnemar(gained, lost) if yes_no else randomization_p(differences),
        test="McNemar, exact" if yes_no else "paired randomization",
    )


def paired_bootstrap(differences: Sequence[float], *, seed: int = SEED) -> Interval:
    """95 % percentile interval of the mean difference, resampling problems.

    Where no problem differs, resampling shows no spread; as many differences as could have hidden bound it instead.
    """
    if not any(differences):
        hidden = wilson(0, len(differences)).high
        return Interval(-hidden, hidden, "wilson bound")
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


def smallest_difference(problems: int, *, discordant: float, power: float = 0.8) -> float:
    """The smallest true difference a paired yes/no comparison of so many problems finds with this power at p < 0.05.

    `discordant` is the share of problems on which the two runs disagree (at least as many as the difference itself).
    Solves Connor's (1987) sample-size formula for McNemar's test, n = (z_a sqrt(D) + z_b sqrt(D - d^2))^2 / d^2, for d by
    bisection; never less than the six one-sided problems that exact significance needs.
    """
    z_a, z_b = NormalDist().inv_cdf(1 - SIGNIFICANT / 2), NormalDist().inv_cdf(power)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        share = max(discordant, middle)
        needed = (z_a * sqrt(share) + z_b * sqrt(max(0.0, share - middle**2))) ** 2
        low, high = (middle, high) if middle**2 * problems < needed else (low, middle)
    return min(1.0, max(high, 6 / problems))


def power_sentence(problems: int, *, value: float) -> str:
    """What this many problems can show about a score of `value`, in words.

    Two unrelated models of that score would disagree on 2 v (1 - v) of the problems; two checkpoints of one model usually
    on less, so this is the cautious number.
    """
    points = 100 * smallest_difference(problems, discordant=2 * value * (1 - value))
    if points >= 100:
        return f"{problems} problems are too few to show any difference (80 % power, p < 0.05)"
    shown = f"can show a difference of {points:.1f} points or more (80 % power, p < 0.05)"
    return f"{problems} problems at {100 * value:.1f} % {shown}"
