"""What the engine works on: jobs as they are given, and tasks under way."""

from dataclasses import dataclass, field
from typing import NamedTuple

from rrtf.errors import InfrastructureError
from rrtf.judge.settings import Judge
from rrtf.records import Problem, TestKind, Verdict

# all inputs of the input form together may take so many times the CPU limit of one. EvalPlus lets them take 60 seconds, and so
# long is every program that is slow on each
ALL_INPUTS = 5
ENDLESS = ("while", "**", "range(")  # what programs that run long have in them, the likeliest first


class Job(NamedTuple):
    """One program to judge; "" means that no code was found in the response."""

    problem: Problem
    program: str


@dataclass(eq=False)
class Task:
    """One program under way, and every place in the output that waits for it."""

    key: str
    problem: Problem
    tests: str
    program: str
    seconds: float
    verdict: Verdict | None = None
    attempts: int = 0
    alone: bool = False
    scaled: bool = False
    measures: "list[Task]" = field(default_factory=list)  # for a reference: the tasks that wait for its time

    def brevity(self) -> int:
        """A guess: the lower, the likelier it runs to its limit."""
        return next((place for place, sign in enumerate(ENDLESS) if sign in self.program), len(ENDLESS))

    def total(self, settings: Judge) -> float:
        """CPU seconds of the whole run, where `seconds` are those of one input."""
        many = self.problem.tests.kind is TestKind.inputs
        return max(self.seconds, ALL_INPUTS * settings.time_limit) if many else self.seconds


def check_errors(errors: int, count: int, settings: Judge, reason: str) -> None:
    """Raise InfrastructureError where the judge itself failed more often than the settings allow."""
    if errors > settings.max_judge_errors * count:
        raise InfrastructureError(
            f"{errors} of {count} verdicts are judge errors (judge.max_judge_errors allows a share of "
            f"{settings.max_judge_errors:g}); the last one: {reason}"
        )
