"""The tests of a problem, compiled once and run against one candidate after another.

A suite never trusts the candidate: it runs in the tester's process, and the names it takes from the program are proxies.
"""

import ast
import builtins
import contextlib
import importlib
import random
import re
import sys
from typing import Any

from rrtf.judge.counting import JUDGE, Halt, Overrun, Tally, free_names, rewrite
from rrtf.judge.exchange import Classes
from rrtf.judge.inputs import Inputs
from rrtf.judge.proxies import Remote
from rrtf.judge.pytest_style import run_pytest
from rrtf.judge.run import Gone
from rrtf.judge.trusted import TESTS, BrokenTests, parse
from rrtf.records import Problem, TestKind

BUILTIN = frozenset(dir(builtins)) | {"__name__", "__file__"}
ALIASES = {"np": "numpy", "pd": "pandas"}


class CallSuite:
    """Tests that call what the program defines: kinds asserts, check, pytest and inputs."""

    def __init__(self, problem: Problem) -> None:
        tests = problem.tests
        self._problem, self._kind = problem, tests.kind
        self._entry = problem.entry_point
        self._root = self._entry.partition("(")[0].partition(".")[0]
        source = {TestKind.asserts: "", TestKind.inputs: tests.checker}.get(tests.kind, tests.code)
        trees = [
            parse(tests.setup, "the tests' setup"),
            parse(source, "the tests"),
            *(parse(t, "a test") for t in tests.asserts),
        ]
        wanted = set().union(*(free_names(tree) for tree in trees)) - BUILTIN | {self._root}
        self._given = _given_definitions(problem, self._root)
        self._body = [compile(trees[0], TESTS, "exec"), compile(_counted(trees[1], tests.kind), TESTS, "exec")]
        self._asserts = [compile(tree, TESTS, "exec") for tree in trees[2:]]
        text = "\n".join([tests.setup, source, *tests.asserts])
        self._arrays = "numpy" in text or "np." in text
        self._about_a_class = _defines_class(problem, self._root)
        namespace = self._namespace()
        self.names = sorted(name for name in wanted if name and (name not in namespace or name == self._root))
        self.classes = sorted(_own_classes(namespace, self._root))
        self._inputs = Inputs(problem, namespace) if tests.kind is TestKind.inputs else None
        self._dry: int | None = None

    def _namespace(self) -> dict[str, Any]:
        module = sys.modules[TESTS] = type(sys)(TESTS)
        namespace = module.__dict__
        namespace[JUDGE] = Tally()
        for code in self._given:
            with contextlib.suppress(Exception):  # a prompt is text first; what of it runs helps
                exec(code, namespace)
        for code in self._body:
            try:
                exec(code, namespace)
            except Exception as error:
                raise BrokenTests(f"the tests' own code raises {type(error).__name__}: {error}") from None
        return namespace

    def prepare(self) -> tuple[dict[str, Any], Remote]:
        """A fresh namespace for one run, and the remote that its classes cross by."""
        random.seed(0)
        namespace = self._namespace()
        classes = Classes(_own_classes(namespace, self._root))
        return namespace, Remote(classes, arrays=self._arrays, operators=self._about_a_class)

    def execute(self, namespace: dict[str, Any], remote: Remote, described: dict[str, Any] | None, tally: Tally) -> None:
        """Run every test. `described` is what the program says of the names the tests use; None: it never loaded."""
        namespace[JUDGE] = tally
        check = namespace.get("check")  # before an entry point of that name takes its place (Mbpp/56)
        try:
            for name in self.names:
                if described is not None and name in described:
                    namespace[name] = _bind(name, described[name], remote, self._root)
            if self._kind is TestKind.asserts:
                self._run_asserts(namespace, tally)
            elif self._kind is TestKind.check:
                self._run_check(check, namespace, tally)
            elif self._inputs is not None:
                self._inputs.run(self._candidate(namespace), remote, tally)
            else:
                run_pytest(namespace, tally)
        except Overrun:
            raise
        except (Halt, Gone):
            pass

    def _run_asserts(self, namespace: dict[str, Any], tally: Tally) -> None:
        for place, code in enumerate(self._asserts):
            try:
                exec(code, namespace)
                tally.record(None)
            except Halt:
                raise
            except BaseException as error:  # noqa: B036 - the program may raise SystemExit
                tally.record(error, f"test {place + 1}: ")

    def _run_check(self, check: Any, namespace: dict[str, Any], tally: Tally) -> None:
        if not callable(check):
            raise BrokenTests("the tests define no function `check`")
        try:
            check(self._candidate(namespace))
        except Halt:
            raise
        except BaseException as error:  # noqa: B036 - SystemExit of the program, or what a condition of the tests raised
            tally.record(error, "outside a test: ")

    def _candidate(self, namespace: dict[str, Any]) -> Any:
        """The entry point: usually a name, for class problems an expression like `Solution().f`."""
        try:
            return eval(self._entry, namespace)
        except Exception as error:
            return _broken(error)

    def count(self) -> int:
        """How many tests run against a program that answers nothing: the total where a program never ran."""
        if self._dry is None:
            tally = Tally()
            namespace, remote = self.prepare()
            self.execute(namespace, remote, None, tally)
            self._dry = tally.total
        return self._dry


def _counted(tree: ast.Module, kind: TestKind) -> ast.Module:
    return tree if kind is TestKind.inputs else rewrite(tree)


def _broken(error: Exception) -> Any:
    def candidate(*_: Any, **__: Any) -> Any:
        raise error

    return candidate


def _bind(name: str, described: Any, remote: Remote, root: str) -> Any:
    """A name of the program as the tests see it. A name that means a known module is that module, whatever the program says."""
    wanted = ALIASES.get(name, name)
    if name != root and (wanted in sys.stdlib_module_names or wanted in ALIASES.values()):
        return importlib.import_module(wanted)
    return remote.value(described)


def _given_definitions(problem: Problem, root: str) -> list[Any]:
    """What the problem's own prompt defines beside the function to write: imports, helpers and classes that tests may use."""
    if not problem.prompt:
        return []
    try:
        tree = ast.parse(problem.prompt)
    except (SyntaxError, ValueError):
        return []
    kept = [node for node in tree.body if getattr(node, "name", None) != root and not isinstance(node, ast.If)]
    return [compile(ast.Module(kept, []), TESTS, "exec")]


def _defines_class(problem: Problem, root: str) -> bool:
    """Whether the thing under test is a class, by what the problem says: then its operators are its behaviour."""
    text = "\n".join([problem.reference, problem.prompt, problem.signature])
    return problem.entry_point == root and re.search(rf"^class {re.escape(root)}\b", text, re.MULTILINE) is not None


def _own_classes(namespace: dict[str, Any], root: str) -> dict[str, type]:
    return {n: k for n, k in namespace.items() if isinstance(k, type) and k.__module__ == TESTS and n != root}
