"""Tests given as argument lists: the expected values come from running the oracle, once a problem, away from any candidate.

The comparison is EvalPlus's (0.3.1): equal, or floats within a tolerance where types and lengths agree. A problem may bring its
own `check(args, output, expected)`, and `prepare(args)` to rebuild what JSON could not hold; neither may change its arguments.
"""

import copy
import reprlib
from collections.abc import Callable, Iterator
from typing import Any

from rrtf.judge.counting import Tally
from rrtf.judge.proxies import Function, Remote
from rrtf.judge.trusted import TESTS, BrokenTests, Halt
from rrtf.records import Problem

FLOAT_ATOL = 1e-6  # what EvalPlus takes for floats where a problem names no tolerance
RTOL = 1e-7
CHUNK = 32  # inputs sent at once: enough to keep both processes from waiting for each other


class Inputs:
    """One problem's argument lists with their expected values."""

    def __init__(self, problem: Problem, namespace: dict[str, Any]) -> None:
        self._atol = problem.tests.atol
        self._same: Callable[[Any, Any, Any], bool] = namespace.get("check", self._close)
        prepare = namespace.get("prepare", lambda args: args)
        self._arguments = [prepare(copy.deepcopy(args)) for args in problem.tests.inputs]
        self._expected = _expected(problem, self._arguments)
        self._chunks: list[tuple[bytes, int]] = []

    def run(self, candidate: Any, remote: Remote, tally: Tally) -> None:
        """Call the candidate with each argument list and compare; every list is one test."""
        outputs = self._outputs(candidate, remote)
        for place, (args, expected) in enumerate(zip(self._arguments, self._expected, strict=True), start=1):
            try:
                same = self._same(args, next(outputs)(), expected)
                wrong = None if same else AssertionError("" if tally.first else f"not {reprlib.repr(expected)}")
                tally.record(wrong, f"input {place}: ")
            except Halt:
                raise
            except BaseException as error:  # noqa: B036 - the program may raise SystemExit
                tally.record(error, f"input {place}: ")

    def _outputs(self, candidate: Any, remote: Remote) -> Iterator[Callable[[], Any]]:
        """For each input, what to call for its output. Inputs travel in chunks, ahead of the outputs; answers never do."""
        if not isinstance(candidate, Function):
            for args in self._arguments:
                yield lambda args=args: candidate(*copy.deepcopy(args))  # type: ignore[misc]
            return
        if not self._chunks:
            parts = [self._arguments[at : at + CHUNK] for at in range(0, len(self._arguments), CHUNK)]
            self._chunks = [(remote.chunk(part), len(part)) for part in parts]
        for chunk, count in self._chunks:
            remote.ask_many(candidate, chunk, count)
            for _ in range(count):
                yield remote.next_answer

    def _close(self, _: Any, output: Any, expected: Any) -> bool:
        if output == expected:
            return True
        atol = FLOAT_ATOL if self._atol == 0 and _floats(expected) else self._atol
        return atol != 0 and type(output) is type(expected) and _near(output, expected, atol)


def _near(output: Any, expected: Any, atol: float) -> bool:
    """As numpy.allclose, which takes the empty list for close to any number and spreads one row over many."""
    if isinstance(expected, (list, tuple)):
        same = isinstance(output, (list, tuple)) and len(output) == len(expected)
        return same and all(_near(mine, theirs, atol) for mine, theirs in zip(output, expected, strict=True))
    if isinstance(expected, (int, float, complex)) and isinstance(output, (int, float, complex)):
        return output == expected or abs(output - expected) <= atol + RTOL * abs(expected)
    return bool(output == expected)


def _floats(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, (list, tuple)) and all(isinstance(item, float) for item in value))


def _expected(problem: Problem, arguments: list[Any]) -> list[Any]:
    namespace: dict[str, Any] = {"__name__": TESTS}
    place = 0
    values = []
    try:
        exec(compile(problem.tests.oracle, "oracle", "exec"), namespace)
        oracle = eval(problem.entry_point, namespace)
        for place, args in enumerate(arguments, start=1):  # noqa: B007 - for the message
            values.append(oracle(*copy.deepcopy(args)))
    except Exception as error:
        where = f"on input {place}" if place else "when it loads"
        raise BrokenTests(f"the oracle raises {type(error).__name__} {where}: {error}") from None
    return values
