"""From evidence to a verdict: the rules in one place, in the order in which they decide."""

from typing import NamedTuple

from rrtf.judge.counting import Tally
from rrtf.judge.run import Bounds, Evidence, describe_status
from rrtf.records import Outcome


class Finding(NamedTuple):
    """What the tester reports of one program: the verdict without the fields that only the engine knows."""

    outcome: Outcome
    passed: int
    total: int
    detail: str
    cpu: float
    wall: float
    peak_mb: float
    again: bool = False  # too close to a limit on a busy machine: judge it once more when the machine is idle


_STOPS = {"memory": Outcome.memory_limit, "output": Outcome.output_limit, "timeout": Outcome.timeout}


def find(evidence: Evidence, tally: Tally, *, total: int, bounds: Bounds, loaded: bool, finished: bool) -> Finding:
    """The verdict of one program that answered calls.

    `total` is how many tests there are, `loaded` whether the program ran to its end and then took
    calls, `finished` whether the tests ended while the process was still there.
    """
    total = max(total, tally.total)
    outcome, detail = _outcome(evidence, tally, total, bounds, loaded=loaded, finished=finished)
    near = any(limit < used <= limit * 1.5 for used, limit in _clocks(evidence, bounds))
    late = outcome is Outcome.timeout and near
    passed = min(tally.passed, total)
    return Finding(outcome, passed, total, detail[:500], evidence.used, evidence.wall, evidence.peak_mb, late and evidence.busy)


def _clocks(evidence: Evidence, bounds: Bounds) -> list[tuple[float, float]]:
    """CPU seconds used and allowed: of the whole run and, where inputs have a limit of their own, of the slowest."""
    whole = [(evidence.used, bounds.total)]
    return [*whole, (evidence.slowest, bounds.seconds)] if bounds.total > bounds.seconds else whole


def _outcome(
    evidence: Evidence, tally: Tally, total: int, bounds: Bounds, *, loaded: bool, finished: bool
) -> tuple[Outcome, str]:
    if evidence.broken:
        return Outcome.judge_error, evidence.broken
    if evidence.uncompiled:
        return Outcome.compile_error, evidence.detail
    if evidence.stop in _STOPS:
        return _STOPS[evidence.stop], evidence.detail
    for used, limit in _clocks(evidence, bounds):
        if used > limit:
            return Outcome.timeout, f"used {used:.2f} of {limit:g} CPU seconds"
    if finished and loaded and tally.passed == total > 0:
        return Outcome.all_tests_passed, ""
    return _failure(evidence, tally, loaded=loaded, finished=finished)


def _failure(evidence: Evidence, tally: Tally, *, loaded: bool, finished: bool) -> tuple[Outcome, str]:
    """Why a program within its limits did not pass everything."""
    if evidence.starved:
        return Outcome.memory_limit, "MemoryError"
    if evidence.full:
        return Outcome.output_limit, "wrote more to files than the limit"
    if evidence.stop:
        return Outcome.runtime_error, evidence.detail
    if not loaded and evidence.detail:
        return Outcome.runtime_error, evidence.detail
    if not finished:
        return Outcome.runtime_error, _ending(evidence, tally)
    if tally.passed:
        return Outcome.some_tests_passed, tally.first
    return (Outcome.no_test_passed if tally.wrong else Outcome.runtime_error), tally.first or "no assertion of the tests ran"


def _ending(evidence: Evidence, tally: Tally) -> str:
    """Why a process that nobody stopped is gone."""
    status = describe_status(evidence.status)
    return f"the process {status} after {tally.passed} passed tests" if tally.passed else f"the process {status}"


def readable(text: str) -> str:
    """A detail that is safe to print anywhere: it may quote what the program said, so control characters become escapes."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else c.encode("unicode_escape").decode() for c in text)[:500]
