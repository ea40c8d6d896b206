"""Verdicts of one benchmark run -> scores with intervals, and one row a problem.

Pure: the pipeline samples and judges; this counts. A judge failure is never counted as a wrong answer.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from math import fsum
from typing import NamedTuple

from rrtf.errors import InfrastructureError, UserError
from rrtf.evaluation.pass_at_k import pass_at_k
from rrtf.evaluation.statistics import interval
from rrtf.records import Outcome, Problem, Score, Verdict


class ProblemResult(NamedTuple):
    """One problem of a benchmark run: how many samples there were, how many passed, and what happened to them."""

    task_id: str
    group: str
    samples: int
    correct: int
    outcomes: dict[str, int]


class BenchmarkResult(NamedTuple):
    """A benchmark run's numbers: one Score per k for the whole set, the same per group, and the problems behind them."""

    scores: list[Score]
    groups: dict[str, list[Score]]
    problems: list[ProblemResult]


def score(
    benchmark: str,
    problems: Iterable[Problem],
    verdicts: Mapping[str, Sequence[Verdict]],
    *,
    model: str,
    protocol: str,
    ks: Sequence[int],
) -> BenchmarkResult:
    """Score the verdicts of one model on one benchmark.

    `verdicts` holds all verdicts of a task, one a sample; groups are the problems' difficulties (LeetCode easy, medium,
    hard; CoderEval's six levels), printed only where there are two or more. Raises UserError for a problem without a sample,
    a sample of an unknown problem or a k above the number of samples, InfrastructureError where the judge itself failed.
    """
    listed = list(problems)
    require_complete(benchmark, listed, verdicts, ks=ks)
    results = [_problem_result(problem, verdicts[problem.task_id]) for problem in listed]
    names = sorted({result.group for result in results}, key=_level)

    def scores(name: str, members: Sequence[ProblemResult]) -> list[Score]:
        return [_score(name, members, k, model=model, protocol=protocol) for k in ks]

    groups = {name: scores(f"{benchmark}/{name or 'other'}", [r for r in results if r.group == name]) for name in names}
    return BenchmarkResult(scores(benchmark, results), groups if len(groups) > 1 else {}, results)


def _level(name: str) -> tuple[int, str]:
    """Easy before medium before hard, whatever their case; other levels by name."""
    known = ("easy", "medium", "hard")
    return (known.index(name.lower()) if name.lower() in known else len(known), name)


def by_task(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """Verdicts collected by their task, in order."""
    collected: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        collected.setdefault(verdict.task_id, []).append(verdict)
    return collected


def values(results: Iterable[ProblemResult], k: int = 1) -> dict[str, float]:
    """pass@k of each problem: what `comparison.compare` takes."""
    return {result.task_id: pass_at_k(result.samples, result.correct, k) for result in results}


def require_complete(benchmark: str, problems: Iterable[Problem], answers: Mapping[str, Sized], *, ks: Sequence[int]) -> None:
    """Raise UserError unless each problem, and no other, has answers, and enough of them for each k.

    `answers` holds the candidates or verdicts of each task; asking before judging saves the wait.
    """
    wanted = {problem.task_id for problem in problems}
    if not wanted:
        raise UserError(f"{benchmark}: no problems")
    missing = sorted(task for task in wanted if not answers.get(task))
    unknown = sorted(set(answers) - wanted)
    if missing:
        raise UserError(
            f"{benchmark}: {len(missing)} of {len(wanted)} problems have no sample ({_some(missing)}); "
            "a score over the others would not be the benchmark's. Add samples, or limit the benchmark's problems"
        )
    if unknown:
        raise UserError(f"{benchmark}: {len(unknown)} samples' tasks are not in the benchmark ({_some(unknown)})")
    fewest = min(len(answers[task]) for task in wanted)
    for k in ks:
        pass_at_k(fewest, 0, k)


def _some(tasks: Sequence[str]) -> str:
    return ", ".join((*tasks[:3], "…") if len(tasks) > 3 else tasks)


def _problem_result(problem: Problem, verdicts: Sequence[Verdict]) -> ProblemResult:
    outcomes = Counter(verdict.outcome.value for verdict in verdicts)
    if failures := outcomes[Outcome.judge_error.value]:
        detail = next(v.detail for v in verdicts if v.outcome is Outcome.judge_error)
        raise InfrastructureError(f"{problem.task_id}: the judge failed on {failures} samples, so there is no score: {detail}")
    correct = outcomes[Outcome.all_tests_passed.value]
    return ProblemResult(problem.task_id, problem.difficulty, len(verdicts), correct, dict(sorted(outcomes.items())))


def _score(name: str, results: Sequence[ProblemResult], k: int, *, model: str, protocol: str) -> Score:
    numbers = list(values(results, k).values())
    ends = interval(numbers)
    return Score(
        benchmark=name,
        model=model,
        protocol=protocol,
        k=k,
        value=fsum(numbers) / len(numbers),
        low=ends.low,
        high=ends.high,
        interval=ends.method,
        problems=len(results),
        samples=sum(result.samples for result in results),
        solved=sum(result.correct > 0 for result in results),
    )
