"""Programs that read standard input and print: one process a pair, compared line by line outside it."""

import math
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from rrtf.judge.counting import Overrun, Tally, bounded
from rrtf.judge.loading import load
from rrtf.judge.run import Bounds, Run
from rrtf.judge.verdicts import Finding, find
from rrtf.records import Outcome, Problem, StdioPair

CHECKING = 10.0  # CPU seconds of a checker for one output
TOLERANCE = 1e-6  # relative or absolute, for numbers written with a point or an exponent; the usual one of such problems


class StdioSuite:
    """The pairs of one problem and how outputs are compared."""

    def __init__(self, problem: Problem) -> None:
        self._pairs = problem.tests.pairs
        self._same: Callable[[StdioPair, str], bool] = _same_lines
        if problem.tests.checker:
            self._same = _checker(problem.tests.checker)

    def count(self) -> int:
        """How many pairs there are."""
        return len(self._pairs)

    def judge(self, control: socket.socket, program: str, bounds: Bounds, *, early_exit: bool) -> Finding:
        """Run every pair until one of them ends by a limit; a pair that crashes or prints something else is a failed test."""
        tally = Tally()
        findings: list[Finding] = []
        for place, pair in enumerate(self._pairs):
            finding = self._one(control, program, pair, bounds)
            findings.append(finding)
            _record(tally, finding, f"input {place + 1}: ")
            if finding.outcome not in (Outcome.all_tests_passed, Outcome.no_test_passed, Outcome.runtime_error):
                break
            if early_exit and tally.passed <= place:
                break
        return _together(findings, tally, len(self._pairs))

    def _one(self, control: socket.socket, program: str, pair: StdioPair, bounds: Bounds) -> Finding:
        stdin = _as_file(pair.input)
        run = Run(control, bounds, stdin=stdin)
        os.close(stdin)
        loaded = load(run, program, names=[], classes=[], main=True) is not None
        if loaded:
            run.wait()
        run.close()
        tally = Tally()
        evidence = run.evidence
        ended_well = loaded and not evidence.stop and evidence.status == 0
        if ended_well:
            tally.record(self._compare(pair, evidence.output.decode("utf-8", "replace")))
        if evidence.errors.startswith(b"MemoryError"):
            evidence.starved = True
        if not ended_well and not evidence.detail and evidence.errors:
            evidence.detail = bytes(evidence.errors[-300:]).decode("utf-8", "replace").strip()
        return find(evidence, tally, total=1, bounds=bounds, loaded=ended_well, finished=loaded and not evidence.stop)

    def _compare(self, pair: StdioPair, printed: str) -> Exception | None:
        """None where the output is right. A checker that fails on it has not accepted it."""
        try:
            with bounded(CHECKING):
                if self._same(pair, printed):
                    return None
        except (Exception, Overrun) as error:
            return AssertionError(f"the checker raised {type(error).__name__}: {error}")
        return AssertionError(f"printed {_short(printed)}, not {_short(pair.output)}")


def _record(tally: Tally, finding: Finding, place: str) -> None:
    if finding.passed:
        tally.record(None)
    else:
        kind = AssertionError if finding.outcome is Outcome.no_test_passed else RuntimeError
        tally.record(kind(finding.detail), place)


def _together(findings: list[Finding], tally: Tally, total: int) -> Finding:
    """One finding for the whole problem: the pair that stopped it decides, else the count."""
    last = findings[-1]
    outcome = last.outcome
    if all(f.outcome in (Outcome.all_tests_passed, Outcome.no_test_passed, Outcome.runtime_error) for f in findings):
        wrong = any(f.outcome is Outcome.no_test_passed for f in findings)
        outcome = Outcome.no_test_passed if wrong else Outcome.runtime_error
        if tally.passed:
            outcome = Outcome.all_tests_passed if tally.passed == total else Outcome.some_tests_passed
    detail = tally.first.replace("AssertionError: ", "").replace("RuntimeError: ", "")
    cpu, wall = sum(f.cpu for f in findings), sum(f.wall for f in findings)
    return Finding(outcome, tally.passed, total, detail, cpu, wall, max(f.peak_mb for f in findings), last.again)


def _as_file(text: str) -> int:
    """A descriptor to read `text` from: a real file, so that seeking and mapping work, that has no name anywhere."""
    data = text.encode("utf-8", "surrogateescape")
    if sys.platform == "linux":
        descriptor = os.memfd_create("input", os.MFD_CLOEXEC)
    else:
        descriptor, name = tempfile.mkstemp()
        os.unlink(name)  # noqa: PTH108
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _same_lines(pair: StdioPair, printed: str) -> bool:
    """Equal line by line without trailing blanks; where words differ, as numbers within TOLERANCE. Never a prefix."""
    got, wanted = _lines(printed), _lines(pair.output)
    return got == wanted or (
        len(got) == len(wanted) and all(a == b or _same_words(a.split(), b.split()) for a, b in zip(got, wanted, strict=True))
    )


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_words(got: list[str], wanted: list[str]) -> bool:
    return len(got) == len(wanted) and all(a == b or _same_number(a, b) for a, b in zip(got, wanted, strict=True))


def _same_number(got: str, wanted: str) -> bool:
    if not any(mark in wanted for mark in ".eE"):
        return False
    try:
        a, b = float(got), float(wanted)
    except ValueError:
        return False
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _checker(source: str) -> Callable[[StdioPair, str], bool]:
    namespace: dict[str, Any] = {"__name__": "checker"}
    exec(compile(source, "checker", "exec"), namespace)
    return lambda pair, printed: bool(namespace["check"](pair.input, printed, pair.output))


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
