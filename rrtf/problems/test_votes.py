"""Tests for problems that have none: programs and tests vote for each other.

For each call that a writer proposes (calls), every independent program says what it returns; a value that enough of the
votes agree on becomes a test, its share of the votes the test's confidence. Who agrees with the others more often counts for
more: dual execution agreement (Chen et al. 2022, CodeT), with values in the place of whole tests. Programs that differ only in
names, comments or annotations are one voter, or a model that repeats itself would outvote all others.

What it can't see: a mistake that most programs share. experiments/test_votes measures how often that is so.
"""

import ast
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, NamedTuple

from rrtf.fences import without_thoughts
from rrtf.problems.calls import Call, read_calls, request_calls, varied
from rrtf.problems.data_settings import TestVotes
from rrtf.problems.dropped import Dropped
from rrtf.problems.tree import program_labels
from rrtf.records import Candidate, Problem, TestKind, Tests, Verdict

# asks a writer: one problem is one message (profile style `verbatim`), one candidate is its answer
Ask = Callable[[Sequence[Problem]], Iterable[Candidate]]
# judges (problem, program) pairs, in order: rrtf.judge with its settings
Run = Callable[[Iterable[tuple[Problem, str]]], Iterable[Verdict]]

_MARK = "returned "
# the judge keeps 300 characters of an assert's message; a value that may have been cut is no value
_LONGEST = 280


class Vote(NamedTuple):
    """A call, the value most votes agree on (as text), its share of the votes, and how many programs gave it."""

    call: str
    value: str
    confidence: float
    programs: int


@dataclass(kw_only=True)
class Voted:
    """Problems with voted tests, and those that got none."""

    problems: list[Problem] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    # calls that were voted on and how many of them were agreed on
    calls: int = 0
    agreed: int = 0


def write_calls(problems: Sequence[Problem], ask: Ask, settings: TestVotes) -> dict[str, list[Call]]:
    """task_id -> the calls that a writer proposes, with those made from them; empty where its answer held none."""
    answers: dict[str, list[str]] = defaultdict(list)
    for candidate in ask([request_calls(problem, settings) for problem in problems]):
        answers[candidate.task_id].append(without_thoughts(candidate.response)[0])
    calls = {}
    for problem in problems:
        written = read_calls("\n".join(answers[request_calls(problem, settings).task_id]), problem)
        calls[problem.task_id] = [*written, *varied(written, settings)]
    return calls


def vote(
    problems: Iterable[Problem],
    programs: Mapping[str, Sequence[str]],
    calls: Mapping[str, Sequence[Call]],
    run: Run,
    settings: TestVotes,
    *,
    progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> Voted:
    """Give each problem the tests its programs agree on (kind asserts, `confidence` filled); both maps go by task_id.

    Problems are dropped, by rule: few_programs, no_calls, no_agreement, no_value. InfrastructureError of `run` passes through.
    """
    asked = list(problems)
    voters = {problem.task_id: independent(programs.get(problem.task_id, ())) for problem in asked}
    enough = {task_id for task_id, programs_of in voters.items() if len(programs_of) >= settings.least_programs}
    ballots = {task_id: calls.get(task_id, ()) for task_id in enough}
    answers = _answers(asked, voters, ballots, run)
    result = Voted()
    for done, problem in enumerate(asked, start=1):
        own = ballots.get(problem.task_id, ())
        table = list(islice(answers, len(own)))
        votes = agreed(own, table, settings)
        result.calls, result.agreed = result.calls + len(table), result.agreed + len(votes)
        idle = all(one.value == "None" for one in votes)
        if len(votes) >= settings.least_tests and not idle:
            result.problems.append(_with_tests(problem, votes))
        else:
            result.dropped.append(_dropped(problem, len(voters[problem.task_id]), len(own), len(votes), settings, idle=idle))
        progress(done, len(asked), f"{result.agreed} of {result.calls} calls agreed on")
    return result


def independent(programs: Iterable[str]) -> list[str]:
    """One program of each normalized syntax tree, the first; what does not parse can't vote."""
    first: dict[tuple[str, ...], str] = {}
    for program in programs:
        if labels := program_labels(program):
            first.setdefault(labels, program)
    return list(first.values())


def _answers(
    problems: Sequence[Problem], voters: Mapping[str, Sequence[str]], calls: Mapping[str, Sequence[Call]], run: Run
) -> Iterator[list[str]]:
    """For each problem, for each of its calls: what each voter returns, as text; "" for an error or no plain value."""

    def jobs() -> Iterator[tuple[Problem, str]]:
        for problem in problems:
            for call in calls.get(problem.task_id, ()):
                for program in voters[problem.task_id]:
                    yield _probe(problem, call), program

    verdicts = iter(run(jobs()))
    for problem in problems:
        for _ in calls.get(problem.task_id, ()):
            yield [_value(verdict) for verdict in islice(verdicts, len(voters[problem.task_id]))]


def _probe(problem: Problem, call: Call) -> Problem:
    """A problem whose only test fails and tells the value: the judge shows an assert's message, and nothing else gets out."""
    tests = Tests(kind=TestKind.asserts, setup=problem.tests.setup, asserts=(f"assert False, {_MARK!r} + repr({call.text})",))
    return replace(problem, task_id=f"{problem.task_id}~{call.text[:60]}", tests=tests, reference="")


def _value(verdict: Verdict) -> str:
    _, found, value = verdict.detail.partition(f"AssertionError: {_MARK}")
    return value if found and len(value) < _LONGEST else ""


def agreed(calls: Sequence[Call], table: Sequence[Sequence[str]], settings: TestVotes) -> list[Vote]:
    """The calls whose value is agreed on, most agreed first. `table[c][p]` is what program p returns for call c.

    A voter's weight is the mean confidence of what it says, a value's confidence the share of weight behind it; both start even
    and are computed in turns. The writer votes with its expected values at `writer_vote`; an error votes against all values.
    """
    ballots = [_Ballot(row, call.expected) for call, row in zip(calls, table, strict=True)]
    weights = [1.0] * (len(table[0]) if table else 0)
    for _ in range(settings.rounds):
        shares = [ballot.shares(weights, settings.writer_vote) for ballot in ballots]
        said = [[share[ballot.place[p]] for share, ballot in zip(shares, ballots, strict=True)] for p in range(len(weights))]
        weights = [sum(column) / len(column) for column in said]
    votes = []
    for call, ballot in zip(calls, ballots, strict=True):
        share = ballot.shares(weights, settings.writer_vote)
        best = max(range(1, len(share)), key=lambda place: share[place], default=0)
        supporters = ballot.place.count(best)
        if best and share[best] >= settings.agreement and supporters >= settings.least_programs:
            votes.append(Vote(call.text, ballot.values[best], round(share[best], 4), supporters))
    return sorted(votes, key=lambda one: -one.confidence)[: settings.most_tests]


class _Ballot:
    """One call's votes: `values[0]` stands for errors, `place[p]` is where program p's value is among `values`."""

    def __init__(self, row: Sequence[str], expected: str) -> None:
        self.values = [""]
        self._read: list[Any] = [None]
        self.place = [self._place(text) for text in row]
        self._writer = self._place(expected)

    def _place(self, text: str) -> int:
        try:
            value = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return 0
        for place, known in enumerate(self._read[1:], start=1):
            if _same(value, known):
                return place
        self.values.append(text)
        self._read.append(value)
        return len(self.values) - 1

    def shares(self, weights: Sequence[float], writer: float) -> list[float]:
        """Each value's share of all weight; errors hold index 0, which never gains by agreeing."""
        held = [0.0] * len(self.values)
        for place, weight in zip(self.place, weights, strict=True):
            held[place] += weight
        if self._writer:
            held[self._writer] += writer
        total = sum(held)
        return [0.0, *(one / total if total else 0.0 for one in held[1:])]


def _same(one: Any, other: Any) -> bool:
    """Equal as a test would find them, floats within what `_assert` allows."""
    if type(one) is float and type(other) is float:
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return type(one) is type(other) and one == other


def _with_tests(problem: Problem, votes: Sequence[Vote]) -> Problem:
    tests = Tests(
        kind=TestKind.asserts,
        setup=problem.tests.setup,
        asserts=tuple(map(_assert, votes)),
        confidence=tuple(one.confidence for one in votes),
    )
    return replace(problem, tests=tests)


def _assert(one: Vote) -> str:
    """A float is compared within 1e-6: programs that are both right differ in its last digits."""
    if isinstance(ast.literal_eval(one.value), float):
        return f"assert abs({one.call} - {one.value}) <= 1e-6 * max(1, abs({one.value}))"
    return f"assert {one.call} == {one.value}"


def _dropped(problem: Problem, programs: int, calls: int, agreed_on: int, settings: TestVotes, *, idle: bool) -> Dropped:
    if programs < settings.least_programs:
        rule, detail = "few_programs", f"{programs} independent programs"
    elif not calls:
        rule, detail = "no_calls", "the writer proposed no call"
    elif idle and agreed_on:
        rule, detail = "no_value", f"None is all that {agreed_on} calls return"
    else:
        rule, detail = "no_agreement", f"{agreed_on} of {calls} calls agreed on"
    return Dropped(task_id=problem.task_id, step="test_votes", rule=rule, detail=detail, text=problem.text)
