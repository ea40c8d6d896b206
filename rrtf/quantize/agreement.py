"""Does a small format still say what the original says, and is a better or worse score more than noise?

The paper's int8 gained 2.4 points and its GPTQ lost 11 (Table 4) without saying why. Four numbers, from what is nearest to the
weights to what is nearest to the score: drift of log-probabilities, share of equal answers, where answers part, which verdicts
flip.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median

from rrtf.errors import UserError
from rrtf.evaluation.comparison import compare
from rrtf.progress import Report
from rrtf.quantize.worker import Worker
from rrtf.records import Candidate, Judged, Outcome

AT_ONCE = 16  # answers that a process scores between two reports
# task_id -> the log-probability of each token of an answer
Scores = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The natural log-probability that a model gives to each token of one answer."""

    task_id: str
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A small format against the original on the same prompts, greedy.

    `drift` is the mean over all tokens of the original's answers of log p(small) - log p(original), in nats; `drift_size` the
    mean of its absolute value. `same_text` is the share of answers that are equal to the last character,
    `first_difference` the median index (from 0) of the first differing token among the others (-1 where there are none).
    `gained` and `lost` name the problems whose verdict flipped; `effect`, its 95 % interval and `p` are the paired test's.
    """

    name: str
    original: str
    problems: int
    tokens: int
    drift: float
    drift_size: float
    same_text: float
    first_difference: float
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    effect: float
    low: float
    high: float
    p: float
    sentence: str


def agree(
    original: Sequence[Judged],
    small: Sequence[Judged],
    *,
    original_scores: Scores,
    small_scores: Scores,
    encode: Callable[[str], list[int]],
) -> Agreement:
    """Compare the judged greedy answers (one a problem) and the log-probabilities both give to the original's answers.

    `encode` turns text into the ids of the original's tokenizer. Raises UserError where problems or tokens don't match.
    """
    first, second = _by_task(original), _by_task(small)
    names = (original[0].candidate.source, small[0].candidate.source)
    found = compare(_solved(first), _solved(second), names=names)
    drifts = _drifts(original_scores, small_scores)
    parts = {task: _parting(first[task].candidate, second[task].candidate, encode) for task in first}
    parted = [index for index in parts.values() if index >= 0]
    one, two = _solved(first), _solved(second)
    return Agreement(
        name=names[1],
        original=names[0],
        problems=len(first),
        tokens=len(drifts),
        drift=mean(drifts),
        drift_size=mean(map(abs, drifts)),
        same_text=1 - len(parted) / len(first),
        first_difference=float(median(parted)) if parted else -1.0,
        gained=tuple(task for task in first if two[task] > one[task]),
        lost=tuple(task for task in first if two[task] < one[task]),
        effect=found.effect,
        low=found.low,
        high=found.high,
        p=found.p,
        sentence=found.sentence,
    )


def score_answers(
    folder: Path,
    answers: Sequence[Candidate],
    *,
    threads: int = 0,
    report: Report = lambda done, total, note: None,
) -> dict[str, list[float]]:
    """The log-probability that the checkpoint in `folder` gives to each token of each answer, in a process of its own."""
    found: dict[str, list[float]] = {}
    with Worker(folder, threads=threads, scoring=True) as worker:
        encode = partial(worker.ask, "encode")
        for first in range(0, len(answers), AT_ONCE):
            some = answers[first : first + AT_ONCE]
            pairs = {a.task_id: (encode(text=a.prompt), encode(text=a.response)) for a in some}
            pairs = {task: pair for task, pair in pairs.items() if pair[1]}  # an empty answer has no token to score
            found |= zip(pairs, worker.ask("score", pairs=list(pairs.values())), strict=True)
            report(first + len(some), len(answers), "answers scored")
    return found


def _by_task(judged: Sequence[Judged]) -> dict[str, Judged]:
    found = {row.candidate.task_id: row for row in judged}
    if len(found) < len(judged):
        raise UserError("agreement needs greedy answers: one a problem, and some problem has several")
    if not found:
        raise UserError("agreement needs answers, and there are none")
    return found


def _solved(judged: Mapping[str, Judged]) -> dict[str, float]:
    return {task: float(row.verdict.outcome is Outcome.all_tests_passed) for task, row in judged.items()}


def _drifts(original: Scores, small: Scores) -> list[float]:
    """The difference at every token of every answer."""
    if set(original) != set(small):
        raise UserError("the two sets of log-probabilities are of different answers")
    pairs = [(a, b) for task in original for a, b in _paired(original[task], small[task], task)]
    if not pairs:
        raise UserError("no token was scored: every answer is empty")
    return [b - a for a, b in pairs]


def _paired(first: Sequence[float], second: Sequence[float], task: str) -> list[tuple[float, float]]:
    if len(first) != len(second):
        raise UserError(f"{task}: {len(first)} tokens scored by the original, {len(second)} by the other: tokenizers differ")
    return list(zip(first, second, strict=True))


def _parting(first: Candidate, second: Candidate, encode: Callable[[str], list[int]]) -> int:
    """The index of the first token in which two answers differ; -1 where they are the same text."""
    if first.response == second.response:
        return -1
    one, two = encode(first.response), encode(second.response)
    return next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
