"""The trusted process of a worker: takes programs from the engine, runs their problems' tests, reports findings."""

import json
import os
import socket
import sys
from collections import OrderedDict
from typing import Any, BinaryIO, NoReturn

from rrtf.judge import evaluating, files
from rrtf.judge.counting import Overrun, Tally, bounded, end_threads
from rrtf.judge.loading import load
from rrtf.judge.programs import ProgramSuite
from rrtf.judge.run import Bounds, Run
from rrtf.judge.stdio import StdioSuite
from rrtf.judge.suites import CallSuite
from rrtf.judge.trusted import BrokenTests, Unsupported
from rrtf.judge.verdicts import Finding, find, readable
from rrtf.judge.walls import Walls
from rrtf.records import Outcome, Problem, TestKind, from_row

Suite = CallSuite | StdioSuite | ProgramSuite
KEPT_BYTES = 8 << 20  # of their rows; expected values may be many times that
KEPT_PROBLEMS = 16  # compiled test suites a worker keeps; the engine counts along


class Tester:
    """Serves the engine over two byte streams, one JSON object a line."""

    def __init__(self, control: socket.socket, orders: BinaryIO, findings: BinaryIO, walls: Walls) -> None:
        self._control, self._orders, self._findings, self._walls = control, orders, findings, walls
        self._suites: OrderedDict[str, Suite | str] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._null = os.open(os.devnull, os.O_RDONLY)

    def serve(self) -> NoReturn:
        """Until the engine closes the stream."""
        evaluating.install()
        files.together = self._walls.scratch == files.ROOT
        os.chdir(self._walls.scratch)
        sys.setrecursionlimit(20000)  # values may be nested; the tests are trusted
        for line in self._orders:
            order = json.loads(line)
            if "problem" in order:
                self._learn(order["key"], order["size"], order["problem"])
            else:
                self._report(order["job"], self._judge(order))
        os._exit(0)

    def _learn(self, key: str, size: int, row: dict[str, Any]) -> None:
        """Compile a problem's tests; what is wrong with them is kept as the reason of every verdict on it."""
        try:
            suite: Suite | str = _suite(from_row(Problem, row))
        except (BrokenTests, ValueError) as error:
            suite = str(error)
        self._suites[key], self._sizes[key] = suite, size
        while len(self._suites) > KEPT_PROBLEMS or (len(self._suites) > 1 and sum(self._sizes.values()) > KEPT_BYTES):
            del self._sizes[self._suites.popitem(last=False)[0]]

    def _judge(self, order: dict[str, Any]) -> Finding:
        suite = self._suites[order["key"]]
        self._suites.move_to_end(order["key"])
        bounds = Bounds(*order["bounds"])
        if isinstance(suite, str):
            return Finding(Outcome.judge_error, 0, 0, suite, 0.0, 0.0, 0.0)
        try:
            if not isinstance(suite, CallSuite):
                return suite.judge(self._control, order["program"], bounds, early_exit=order["early_exit"])
            return self._call_tests(suite, order["program"], bounds, early_exit=order["early_exit"])
        except Unsupported as error:
            if isinstance(suite, CallSuite) and self._avoids(suite, order["program"], bounds):
                return Finding(Outcome.runtime_error, 0, suite.count(), f"{error}, and need not be", 0.0, 0.0, 0.0)
            return Finding(Outcome.judge_error, 0, 0, str(error), 0.0, 0.0, 0.0)
        except BrokenTests as error:
            return Finding(Outcome.judge_error, 0, 0, str(error), 0.0, 0.0, 0.0)

    def _avoids(self, suite: CallSuite, program: str, bounds: Bounds) -> bool:
        """Whether the problem's reference passes: then it was the program that asked the tests for what can't cross."""
        if suite.reference in ("", program):
            return False
        try:
            return self._call_tests(suite, suite.reference, bounds, early_exit=True).outcome is Outcome.all_tests_passed
        except (BrokenTests, Unsupported):
            return False

    def _call_tests(self, suite: CallSuite, program: str, bounds: Bounds, *, early_exit: bool) -> Finding:
        tally = Tally(early_exit=early_exit)
        if suite.files:
            self._walls.wipe()
        namespace, remote = suite.prepare()
        run = remote.run = Run(self._control, bounds, stdin=self._null, callback=remote.serve)
        finished = False
        try:
            described = load(run, program, names=suite.names, classes=suite.classes)
            if described is not None:
                finished = self._execute(suite, namespace, remote, described, tally, bounds)
        finally:
            run.close()
            end_threads()
        if remote.lending.refused is not None:
            raise remote.lending.refused
        run.evidence.starved |= remote.errors.starved
        run.evidence.full |= remote.errors.full
        total = suite.count() if not finished or tally.raised else tally.total
        return find(run.evidence, tally, total=total, bounds=bounds, loaded=described is not None, finished=finished)

    def _execute(self, suite: CallSuite, namespace: Any, remote: Any, described: Any, tally: Tally, bounds: Bounds) -> bool:
        """True when the tests ran to their end with the candidate still alive."""
        seconds = 2 + 3 * bounds.seconds
        try:
            with bounded(seconds, heard=lambda: remote.run.turns):
                suite.execute(namespace, remote, described, tally)
        except Overrun:
            words = f"the tests needed more than {seconds:g} seconds for what the program returned, or waited for more"
            remote.run.stop("timeout", words)
        return not remote.run.over

    def _report(self, job: int, finding: Finding) -> None:
        row = {"job": job, **finding._asdict(), "detail": readable(finding.detail)}
        self._findings.write(json.dumps(row).encode() + b"\n")
        self._findings.flush()


def _suite(problem: Problem) -> Suite:
    suite: Suite
    if problem.tests.kind is TestKind.stdio:
        suite = StdioSuite(problem)
    elif problem.tests.kind is TestKind.program:
        suite = ProgramSuite(problem)
    else:
        suite = CallSuite(problem)
    if suite.count() == 0:
        raise BrokenTests("the problem has no tests")
    return suite
