"""Counting each assert of trusted test code, also in loops, and going on after one that fails.

The code is rewritten before it is compiled: an assert becomes a unit that is recorded and whose exception stops there; a
call or an assignment of a test function outside any assert becomes a guard, so that one failed call costs one test and not
all that follow; in a block that may handle exceptions itself, the block does.
Units inside units are transparent: the outermost counts. A `try` or `with ...raises(...)` block is one unit, because its own
handlers decide.
"""

import _signal
import ast
import contextlib
import ctypes
import signal
import sys
import threading
import time
import unittest
import weakref
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from rrtf.judge.trusted import Halt, Raisers

JUDGE = "__rrtf_judge__"
# a call of the program may keep the tests waiting, until its own limits end it (30 seconds and 30 times its CPU limit)
ASLEEP = 18
LOOK = 0.5  # seconds between two looks at tests that may wait for what never comes
STILL = 0.02  # CPU seconds between two looks in which nothing moves


class Overrun(Halt):
    """The tests burn CPU time, or wait, on what the program gave them."""


@contextlib.contextmanager
def bounded(seconds: float, *, idle: float | None = None, heard: Callable[[], int] = int) -> Iterator[None]:
    """Trusted code that works on what a program gave it: so many CPU seconds, and many times that asleep. Raises Overrun.

    It may be `idle` (as long) while nothing comes from the program: `heard` counts the news of it.
    """
    _signal.signal(signal.SIGPROF, _overrun)  # that of `signal` makes enums of what it is given, and of what it returns
    _signal.signal(signal.SIGALRM, _Watch(ASLEEP * seconds, seconds if idle is None else idle, heard))
    signal.setitimer(signal.ITIMER_PROF, seconds, 1)  # again where the tests catch everything
    signal.setitimer(signal.ITIMER_REAL, LOOK, LOOK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _overrun(*_: object) -> None:
    raise Overrun


class _Watch:
    """Looks from time to time whether trusted code still gets on."""

    def __init__(self, asleep: float, idle: float, heard: Callable[[], int]) -> None:
        self._idle, self._heard = idle, heard
        self._end = time.monotonic() + asleep
        self._before, self._moved = (0, 0.0), time.monotonic()

    def __call__(self, *_: object) -> None:
        now, (news, used) = time.monotonic(), (self._heard(), time.process_time())
        if news != self._before[0] or used > self._before[1] + STILL:
            self._before, self._moved = (news, used), now
        if now > self._end or now > self._moved + self._idle:
            self._end, self._moved = max(now, self._end) + ASLEEP, now  # again where the tests catch everything
            raise Overrun


_ended: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def end_threads() -> None:
    """Threads of the tests that run on when these have ended must not meet the next program; sleeping ones may sleep on."""
    deadline = time.monotonic() + 0.1
    for thread in {*threading.enumerate()} - {threading.main_thread(), *_ended}:
        _ended.add(thread)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Halt))
        thread.join(max(0.0, deadline - time.monotonic()))


def skips(error: BaseException) -> bool:
    """Whether trusted code says that a test does not run here; what a program raises never arrives as one of these classes."""
    pytest = sys.modules.get("_pytest.outcomes")
    return isinstance(error, unittest.SkipTest) or (pytest is not None and isinstance(error, pytest.Skipped))


class Tally:
    """Passed and failed tests of one run. In the rewritten code it is the context manager of every unit."""

    def __init__(self, *, early_exit: bool = False) -> None:
        self.passed = self.wrong = self.raised = 0
        self.first = ""
        self.closed = False  # the tests have ended; a thread of theirs may run on
        self._depth = 0
        self._early_exit = early_exit

    @property
    def total(self) -> int:
        """Tests that ran."""
        return self.passed + self.wrong + self.raised

    def record(self, error: BaseException | None, place: str = "") -> None:
        """One test's end: no error, a failed assert, or an exception."""
        if self.closed:
            raise Halt
        if error is None:
            self.passed += 1
            return
        if isinstance(error, AssertionError):
            self.wrong += 1
        else:
            self.raised += 1
        if not self.first:
            text = str(error).strip()[:300]
            self.first = f"{place}{type(error).__name__}{': ' if text else ''}{text}"
        if self._early_exit:
            raise Halt

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._depth -= 1
        if self._depth or isinstance(error, (Halt, GeneratorExit)) or (error is not None and skips(error)):
            return False
        self.record(error, f"line {trace.tb_lineno}: " if trace is not None else "")
        return True

    def failed(self, error: BaseException) -> "Poison":
        """A guarded statement raised: one failed test, unless a unit around it decides. Returns what its targets become."""
        if self._depth or isinstance(error, (Halt, GeneratorExit)) or skips(error):
            raise error
        self.record(error, f"line {error.__traceback__.tb_lineno}: " if error.__traceback__ is not None else "")
        return Poison()


class Poison:
    """The value of a variable whose computation failed: every use fails too."""

    def _use(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("it needs a value that an earlier failed call should have given")

    __getattr__ = __call__ = __iter__ = __len__ = __bool__ = __getitem__ = __contains__ = __hash__ = _use
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = _use
    __str__ = __repr__ = __float__ = __int__ = __index__ = __abs__ = __neg__ = __reduce_ex__ = _use


class _Rewriter(ast.NodeTransformer):
    """Wraps statements inside functions; module level code (constants, imports, definitions) stays as it is."""

    def __init__(self) -> None:
        self._inside = 0
        self._open = False  # where an exception is for nobody but the judge: not what a block or a caller waits for

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self._inside += 1
        self._visit_as(node, exposed=self._inside == 1 and node.name.startswith(("test", "check")))
        self._inside -= 1
        return node

    def _visit_as(self, node: ast.AST, *, exposed: bool) -> None:
        before, self._open = self._open, exposed
        self.generic_visit(node)
        self._open = before

    def _block(self, node: ast.stmt) -> ast.AST:
        """One whose own handlers see exceptions first."""
        self._visit_as(node, exposed=False)
        return _guard(node, []) if self._open else node

    def visit_Assert(self, node: ast.Assert) -> ast.AST:
        return _unit(node) if self._inside else node

    def visit_Try(self, node: ast.Try) -> ast.AST:
        if self._inside and node.handlers and _checks(node):
            return _unit(node)
        return self._block(node) if node.handlers else self.generic_visit(node)

    visit_TryStar = visit_Try

    def visit_With(self, node: ast.With) -> ast.AST:
        if self._inside and any(_expects(_called(item.context_expr).lower()) for item in node.items):
            return _unit(node)
        return self._block(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if not self._inside or not isinstance(node.value, ast.Call):
            return node
        name = _called(node.value)
        if name.startswith("assert") and isinstance(node.value.func, ast.Attribute):
            return _unit(node)
        return _guard(node, []) if self._open else node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        calls = any(isinstance(part, ast.Call) for part in ast.walk(node.value))
        return _guard(node, names) if self._open and calls and len(names) == len(node.targets) else node


def _called(node: ast.AST) -> str:
    """The last name of what a call calls ("" where it has none)."""
    function = node.func if isinstance(node, ast.Call) else node
    return getattr(function, "attr", getattr(function, "id", ""))


def _expects(name: str) -> bool:
    """Whether a context manager of that name fails a test by itself."""
    return any(word in name for word in ("raises", "warns", "deprecated_call", "assertlogs"))


def _checks(node: ast.AST) -> bool:
    return any(isinstance(part, (ast.Assert, ast.Raise)) or "fail" in _called(part) for part in ast.walk(node))


def _unit(node: ast.stmt) -> ast.stmt:
    unit = ast.With(items=[ast.withitem(context_expr=ast.Name(JUDGE, ast.Load()))], body=[node])
    return ast.copy_location(unit, node)


def _guard(node: ast.stmt, names: list[str]) -> ast.stmt:
    failed = ast.Call(ast.Attribute(ast.Name(JUDGE, ast.Load()), "failed", ast.Load()), [ast.Name(f"{JUDGE}e", ast.Load())], [])
    caught: ast.stmt = ast.Expr(failed)
    if names:
        caught = ast.Assign([ast.Name(name, ast.Store()) for name in names], failed)
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), f"{JUDGE}e", [caught])
    return ast.copy_location(ast.Try([node], [handler], [], []), node)


def rewrite(tree: ast.Module) -> ast.Module:
    """The same test code, counted. `JUDGE` must be a Tally among its globals when it runs."""
    return ast.fix_missing_locations(Raisers().visit(_Rewriter().visit(tree)))


def free_names(tree: ast.AST) -> set[str]:
    """Names the code reads and never binds anywhere itself; the candidate's program may define them."""
    read: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return read - bound
