"""Validation programs in which one function is replaced by the candidate's (CoderEval): tests and candidate in one process.

Such verdicts say `trust: in_process`, because the program's own checks run where the candidate could reach them. What can be
demanded is: exit status 0, and word from the runtime that the program was executed to its last line, so that an early exit
proves nothing.
"""

import ast
import os
import socket
import textwrap

from rrtf.judge.counting import Tally
from rrtf.judge.loading import load
from rrtf.judge.run import Bounds, Gone, Run
from rrtf.judge.trusted import BrokenTests, parse
from rrtf.judge.verdicts import Finding, find
from rrtf.records import Problem


class ProgramSuite:
    """One validation program, cut open where the candidate's function goes."""

    def __init__(self, problem: Problem) -> None:
        if problem.split == "image":
            raise BrokenTests("this task runs only in the image of CoderEval's authors (benchmark codereval_full)")
        lines = problem.tests.code.split("\n")
        tree = parse(problem.tests.code, "the validation program")
        node = _function(tree, problem.entry_point, problem.signature)
        for main in tree.body:  # runs whatever the candidate does to __name__
            if isinstance(main, ast.If) and "__name__" in ast.unparse(main.test):
                _always(lines, main.test)
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        self._before, self._after = lines[: first - 1], lines[node.end_lineno :]
        self._indent = " " * node.col_offset
        self._null = os.open(os.devnull, os.O_RDONLY)

    def count(self) -> int:
        """A program is one test."""
        return 1

    def judge(self, control: socket.socket, program: str, bounds: Bounds, *, early_exit: bool) -> Finding:
        """Run the whole program with the candidate's function in place."""
        function = textwrap.indent(textwrap.dedent(program), self._indent)
        whole = "\n".join([*self._before, function, *self._after])
        run = Run(control, bounds, stdin=self._null)
        loaded = load(run, whole, names=[], classes=[], main=True, alone=textwrap.dedent(program)) is not None
        tally = Tally()
        if loaded:
            run.wait()
            if _finished(run) and run.evidence.status == 0:
                tally.record(None)
        run.close()
        if not run.evidence.detail:
            run.evidence.detail = bytes(run.evidence.errors[-300:]).decode("utf-8", "replace").strip() or "exit before the end"
        return find(run.evidence, tally, total=1, bounds=bounds, loaded=bool(tally.passed), finished=True)


def _always(lines: list[str], test: ast.expr) -> None:
    """Put `True` in place of a condition; positions of the syntax tree count bytes of UTF-8."""
    first, last = test.lineno - 1, (test.end_lineno or test.lineno) - 1
    before, after = lines[first].encode()[: test.col_offset], lines[last].encode()[test.end_col_offset :]
    start, end = (f"{before.decode()}(True", f"){after.decode()}")
    lines[first : last + 1] = [start + end] if first == last else [start, *[""] * (last - first - 1), end]


def _finished(run: Run) -> bool:
    try:
        return run.expect() == {"finished": True}
    except Gone:
        return False


def _function(tree: ast.Module, name: str, signature: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """The definition to replace; where several have that name, the one whose parameters the problem's signature names."""
    found = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name == name]
    if not found:
        raise BrokenTests(f"the validation program does not define {name!r}")
    wanted = "".join(signature.split())
    return next((n for n in found if "".join(f"{name}({ast.unparse(n.args)})".split()) in wanted), found[0])
