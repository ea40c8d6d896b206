"""How much a greedy score moves by batch size alone: floating-point sums differ between batch shapes, and a token may flip.

Published harness scores moved by five points so (lm-evaluation-harness, pull request 1992). Measured once a model and printed.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rrtf.errors import UserError
from rrtf.evaluation.comparison import mcnemar, shown_p
from rrtf.records import Judged, Outcome


class Sensitivity(NamedTuple):
    """Two greedy runs that differ only in batch size: shares of problems with another text, program and verdict; scores.

    `batch_sizes` are at most the problems: more answers than there are can't share a step.
    """

    problems: int
    texts: float
    programs: float
    verdicts: float
    gained: int
    lost: int
    first: float
    second: float
    batch_sizes: tuple[int, int]

    @property
    def sentence(self) -> str:
        """What a reader should know before comparing greedy scores across batch sizes."""
        small, large = self.batch_sizes
        if small == large:
            return f"batch size was not put to the test: {small} answers at once are all of them, so both runs drew them alike"
        scores = f"{100 * self.first:.1f} % at batch {small}, {100 * self.second:.1f} % at batch {large}"
        if self.texts == 0:
            return f"batch size changes nothing: all {self.problems} greedy answers are the same text ({scores})"
        changed = f"{100 * self.texts:.1f} % of the answers, {100 * self.verdicts:.1f} % of the verdicts differ"
        noise = f"{self.gained} gained, {self.lost} lost, {shown_p(mcnemar(self.gained, self.lost))}"
        return f"batch size alone moves greedy decoding: {scores}; {changed} ({noise})"


def batch_sensitivity(first: Sequence[Judged], second: Sequence[Judged], *, batch_sizes: tuple[int, int]) -> Sensitivity:
    """Compare one model's greedy answers at two batch sizes, a problem at a time.

    Raises UserError where the runs do not hold one answer for each of the same problems.
    """
    before, after = _one_each(first), _one_each(second)
    if set(before) != set(after):
        raise UserError(f"batch sizes {batch_sizes}: the two runs answer different problems")
    pairs = [(before[task], after[task]) for task in sorted(before)]
    passed = [(_passes(a), _passes(b)) for a, b in pairs]
    count = len(pairs)
    return Sensitivity(
        problems=count,
        texts=sum(a.candidate.response != b.candidate.response for a, b in pairs) / count,
        programs=sum(a.candidate.program != b.candidate.program for a, b in pairs) / count,
        verdicts=sum(a.verdict.outcome is not b.verdict.outcome for a, b in pairs) / count,
        gained=sum(b and not a for a, b in passed),
        lost=sum(a and not b for a, b in passed),
        first=sum(a for a, _ in passed) / count,
        second=sum(b for _, b in passed) / count,
        batch_sizes=(min(batch_sizes[0], count), min(batch_sizes[1], count)),
    )


def _passes(row: Judged) -> bool:
    return row.verdict.outcome is Outcome.all_tests_passed


def _one_each(rows: Sequence[Judged]) -> Mapping[str, Judged]:
    found = {row.candidate.task_id: row for row in rows}
    if len(found) != len(rows) or not rows:
        raise UserError(f"greedy runs have one answer a problem; this one has {len(rows)} for {len(found)} problems")
    return found
