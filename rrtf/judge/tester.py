"""The trusted process of a worker: takes programs from the engine, runs their problems' tests, reports findings."""

import json
import os
import re
import signal
import socket
import sys
from collections import OrderedDict
from typing import Any, BinaryIO, NoReturn

from rrtf.judge.counting import Halt, Tally
from rrtf.judge.run import MEBI, Bounds, Gone, Run
from rrtf.judge.stdio import StdioSuite
from rrtf.judge.suites import BrokenTests, CallSuite
from rrtf.judge.verdicts import Finding, find
from rrtf.judge.wire import Unsendable
from rrtf.records import Outcome, Problem, TestKind, from_row

KEPT_PROBLEMS = 64  # compiled test suites a worker keeps; the engine counts along
HEAVY = re.compile(r"\b(numpy|pandas|scipy|sympy|networkx|sklearn|torch)\b")


class Tester:
    """Serves the engine over two byte streams, one JSON object a line."""

    def __init__(self, control: socket.socket, orders: BinaryIO, findings: BinaryIO) -> None:
        self._control, self._orders, self._findings = control, orders, findings
        self._suites: OrderedDict[str, CallSuite | StdioSuite | str] = OrderedDict()
        self._null = os.open(os.devnull, os.O_RDONLY)
        signal.signal(signal.SIGPROF, _overrun)

    def serve(self) -> NoReturn:
        """Until the engine closes the stream."""
        sys.setrecursionlimit(20000)  # values may be nested; the tests are trusted
        for line in self._orders:
            order = json.loads(line)
            if "problem" in order:
                self._learn(order["key"], order["problem"])
            else:
                self._report(order["job"], self._judge(order))
        os._exit(0)

    def _learn(self, key: str, row: dict[str, Any]) -> None:
        """Compile a problem's tests; what is wrong with them is kept as the reason of every verdict on it."""
        try:
            problem = from_row(Problem, row)
            suite: CallSuite | StdioSuite | str = (
                StdioSuite(problem) if problem.tests.kind is TestKind.stdio else CallSuite(problem)
            )
            if suite.count() == 0:  # type: ignore[union-attr]
                suite = "the problem has no tests"
        except BrokenTests as error:
            suite = str(error)
        self._suites[key] = suite
        while len(self._suites) > KEPT_PROBLEMS:
            self._suites.popitem(last=False)

    def _judge(self, order: dict[str, Any]) -> Finding:
        suite = self._suites[order["key"]]
        self._suites.move_to_end(order["key"])
        bounds = Bounds(*order["bounds"])
        if isinstance(suite, str):
            return Finding(Outcome.judge_error, 0, 0, suite, 0.0, 0.0, 0.0)
        if isinstance(suite, StdioSuite):
            return suite.judge(self._control, order["program"], bounds, early_exit=order["early_exit"])
        try:
            return self._call_tests(suite, order["program"], bounds, early_exit=order["early_exit"])
        except BrokenTests as error:
            return Finding(Outcome.judge_error, 0, 0, str(error), 0.0, 0.0, 0.0)

    def _call_tests(self, suite: CallSuite, program: str, bounds: Bounds, *, early_exit: bool) -> Finding:
        tally = Tally(early_exit=early_exit)
        namespace, remote = suite.prepare()
        run = remote.run = Run(self._control, bounds, stdin=self._null, callback=remote.callback)
        described = load(run, program, names=suite.names, classes=suite.classes)
        finished = False
        if described is not None:
            finished = self._execute(suite, namespace, remote, described, tally, bounds)
        run.close()
        run.evidence.starved |= remote.starved
        run.evidence.full |= remote.full
        total = suite.count() if not finished or tally.raised else tally.total
        return find(run.evidence, tally, total=total, seconds=bounds.seconds, loaded=described is not None, finished=finished)

    def _execute(self, suite: CallSuite, namespace: Any, remote: Any, described: Any, tally: Tally, bounds: Bounds) -> bool:
        """True when the tests ran to their end with the candidate still alive."""
        seconds = 10 + 3 * bounds.seconds
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            suite.execute(namespace, remote, described, tally)
        except Overrun:
            remote.run.stop("timeout", f"the tests needed more than {seconds:g} CPU seconds for what the program returned")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return not remote.run.over

    def _report(self, job: int, finding: Finding) -> None:
        row = {"job": job, **finding._asdict()}
        self._findings.write(json.dumps(row).encode() + b"\n")
        self._findings.flush()


class Overrun(Halt):
    """The tests burn CPU time on what the program gave them."""


def _overrun(*_: Any) -> None:
    raise Overrun


def load(run: Run, program: str, *, names: list[str], classes: list[str], main: bool = False) -> dict[str, Any] | None:
    """Send a program to its process. What it says of `names`; None when it did not load, and the evidence says why."""
    request = {
        "program": program,
        "names": names,
        "classes": classes,
        "main": main,
        "preload": sorted(set(HEAVY.findall(program))),
        "limit": run.limit,
    }
    evidence = run.evidence
    try:
        reply = run.ask(request)
        if "uncompiled" in reply:
            evidence.uncompiled, evidence.detail = True, ": ".join(reply["uncompiled"])
            evidence.starved = reply["uncompiled"][0] == "MemoryError"
            return None
        evidence.start_cpu = float(reply["ready"])
        reply = {} if main else run.expect()
    except (Gone, KeyError, TypeError, Unsendable):
        return None
    if "raised" in reply:
        names_of_error, text, line, number = reply["raised"]
        evidence.raised, evidence.starved = names_of_error[0], "MemoryError" in names_of_error
        evidence.full = number in (27, 28, 122)
        evidence.detail = f"line {line}: {names_of_error[0]}: {text}"[:500]
        return None
    return reply.get("names", {})


__all__ = ["MEBI", "Tester", "load"]
