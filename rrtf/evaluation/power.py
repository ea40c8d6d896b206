"""How large a difference a benchmark can show: the exact power of McNemar's exact test."""

import numpy as np
import numpy.typing as npt

from rrtf.evaluation.statistics import SIGNIFICANT

# problems that differ are drawn so seldom beyond this many standard deviations that they change no digit shown
FAR = 6


def smallest_difference(problems: int, *, discordant: float, power: float = 0.8) -> float:
    """The smallest true difference a paired yes/no comparison of so many problems finds with this power at p < 0.05.

    `discordant` is the share of problems on which the two runs disagree (at least as many as the difference itself). 1.0 where
    even a difference on every problem is found too seldom. Connor's (1987) formula, made for the asymptotic test, promises
    80 % where the exact one has 74 to 79.
    """
    low, high = 0.0, 1.0
    for _ in range(14):  # to 0.006 points
        middle = (low + high) / 2
        found = chance(problems, gained=(max(discordant, middle) + middle) / 2, lost=max(0.0, discordant - middle) / 2)
        low, high = (middle, high) if found < power else (low, middle)
    return high


def power_sentence(problems: int, *, value: float) -> str:
    """What this many problems can show about a score of `value`, in words.

    Two unrelated models of that score would disagree on 2 v (1 - v) of the problems; two checkpoints of one model usually
    on less, so this is the cautious number.
    """
    points = 100 * smallest_difference(problems, discordant=2 * value * (1 - value))
    if points >= 100:
        few = "1 problem is" if problems == 1 else f"{problems} problems are"
        return f"{few} too few to show any difference (80 % power, p < 0.05)"
    shown = f"can show a difference of {points:.1f} points or more (80 % power, p < 0.05)"
    return f"{problems} problems at {100 * value:.1f} % {shown}"


def chance(problems: int, *, gained: float, lost: float) -> float:
    """How often McNemar's exact p is below 0.05 when each problem is gained or lost with these chances."""
    share = gained + lost
    spread = FAR * (problems * share * (1 - share)) ** 0.5 + 1
    totals = np.arange(max(0, int(problems * share - spread)), min(problems, int(problems * share + spread)) + 1)
    counts = np.arange(totals[-1] // 2 + 1)
    table = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, problems + 1)))))
    rejected = 2 * np.cumsum(_binomial(counts, totals[:, None], 0.5, table), axis=1) < SIGNIFICANT
    few = sum(_binomial(counts, totals[:, None], part / share, table) for part in (gained, lost))
    return float(_binomial(totals, np.array(problems), share, table) @ np.sum(few * rejected, axis=1))


def _binomial(
    hits: npt.NDArray[np.int64], draws: npt.NDArray[np.int64], share: float, factorials: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Chance of so many hits; `factorials` are logarithms. Nothing where there are more hits than draws."""
    missed = np.maximum(draws - hits, 0)
    share = min(max(share, 1e-300), 1 - 1e-16)
    logarithm = factorials[draws] - factorials[hits] - factorials[missed] + hits * np.log(share) + missed * np.log1p(-share)
    return np.where(hits <= draws, np.exp(logarithm), 0.0)
