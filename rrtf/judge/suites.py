"""The tests of a problem, compiled once and run against one candidate after another.

A suite never trusts the candidate: it runs in the tester's process, and the names it takes from the program are proxies.
"""

import ast
import builtins
import importlib
import random
import sys
from typing import Any

from rrtf.judge.counting import JUDGE, Halt, Tally, free_names, rewrite
from rrtf.judge.exchange import Classes
from rrtf.judge.proxies import Remote
from rrtf.judge.run import Gone
from rrtf.records import Problem, TestKind

TESTS = "tests"  # __name__ of the tests' module
BUILTIN = frozenset(dir(builtins)) | {"__name__", "__file__"}
ALIASES = {"np": "numpy", "pd": "pandas"}


class BrokenTests(Exception):
    """The tests themselves can't run; the program is not to blame."""


class CallSuite:
    """Tests that call functions of the program: kinds asserts and check."""

    def __init__(self, problem: Problem) -> None:
        tests = problem.tests
        self._entry = problem.entry_point
        self._root = self._entry.partition("(")[0].partition(".")[0]
        setup = _parse(tests.setup, "the tests' setup")
        self._asserts = [_compile(text, "a test") for text in tests.asserts] if tests.kind is TestKind.asserts else []
        trees = [setup, *(_parse(text, "a test") for text in tests.asserts)]
        code = _parse(tests.code, "the tests") if tests.kind is not TestKind.asserts else ast.Module([], [])
        trees.append(code)
        self._check = tests.kind is not TestKind.asserts
        self._body = [compile(setup, TESTS, "exec"), compile(rewrite(code), TESTS, "exec")]
        self._given = _given_definitions(problem, self._root)
        self.text = "\n".join([tests.setup, tests.code, *tests.asserts])
        self.arrays = "numpy" in self.text or "np." in self.text
        wanted = set().union(*(free_names(tree) for tree in trees)) - BUILTIN - {JUDGE}
        if self._root:
            wanted.add(self._root)
        namespace = self._namespace()
        self.names = sorted(name for name in wanted if name not in namespace or name == self._root)
        self.classes = sorted(_own_classes(namespace, self._root))
        self._dry: int | None = None

    def _namespace(self) -> dict[str, Any]:
        namespace: dict[str, Any] = {"__name__": TESTS, JUDGE: Tally()}
        module = sys.modules[TESTS] = type(sys)(TESTS)
        module.__dict__.update(namespace)
        namespace = module.__dict__
        for code in (*self._given, *self._body):
            try:
                exec(code, namespace)
            except Gone:
                raise
            except Exception as error:
                raise BrokenTests(f"the tests' own code raises {type(error).__name__}: {error}") from None
        return namespace

    def prepare(self) -> tuple[dict[str, Any], Remote]:
        """A fresh namespace for one run, and the remote that its classes cross by."""
        random.seed(0)
        namespace = self._namespace()
        return namespace, Remote(Classes(_own_classes(namespace, self._root)), arrays=self.arrays)

    def execute(self, namespace: dict[str, Any], remote: Remote, described: dict[str, Any] | None, tally: Tally) -> None:
        """Run every test. `described` is what the program says of the names the tests use; None is a program that never loaded."""
        namespace[JUDGE] = tally
        for name in self.names:
            if described is not None and name in described:
                namespace[name] = _bind(name, described[name], remote)
        try:
            if self._check:
                self._execute_check(namespace, tally)
            for place, code in enumerate(self._asserts):
                try:
                    exec(code, namespace)
                    tally.record(None)
                except Exception as error:
                    tally.record(error, f"test {place + 1}: ")
                except (SystemExit, KeyboardInterrupt) as error:
                    tally.record(error, f"test {place + 1}: ")
        except Halt:
            pass

    def _execute_check(self, namespace: dict[str, Any], tally: Tally) -> None:
        try:
            candidate = eval(self._entry, namespace)
        except Exception as error:
            candidate = _broken(error)
        check = namespace.get("check")
        if not callable(check):
            raise BrokenTests("the tests define no function `check`")
        try:
            check(candidate)
        except Halt:
            raise
        except BaseException as error:  # noqa: B036 - SystemExit of the candidate, and whatever a condition of the tests raised
            tally.record(error, "outside a test: ")

    def count(self) -> int:
        """How many tests run against a program that answers nothing: the total where a program never ran."""
        if self._dry is None:
            if self._asserts:
                self._dry = len(self._asserts)
            else:
                tally = Tally()
                namespace, remote = self.prepare()
                self.execute(namespace, remote, None, tally)
                self._dry = tally.total
        return self._dry


def _broken(error: Exception) -> Any:
    def candidate(*_: Any, **__: Any) -> Any:
        raise error

    return candidate


def _bind(name: str, described: Any, remote: Remote) -> Any:
    """A name of the program as the tests see it; a module the program imported is the real one, if its name says which."""
    if type(described) is dict and "m" in described:
        wanted = ALIASES.get(name, name)
        if wanted in sys.stdlib_module_names or wanted in ALIASES.values():
            return importlib.import_module(wanted)
    return remote.value(described)


def _parse(text: str, what: str) -> ast.Module:
    try:
        return ast.parse(text, TESTS)
    except (SyntaxError, ValueError) as error:
        raise BrokenTests(f"{what} do not parse: {error}") from None


def _compile(text: str, what: str) -> Any:
    return compile(_parse(text, what), TESTS, "exec")


def _given_definitions(problem: Problem, root: str) -> list[Any]:
    """What the problem's own prompt defines beside the function to write: imports, helpers and classes that tests may use."""
    if not problem.prompt:
        return []
    try:
        tree = ast.parse(problem.prompt)
    except (SyntaxError, ValueError):
        return []
    kept = [node for node in tree.body if getattr(node, "name", None) != root and not _is_main(node)]
    return [compile(ast.Module(kept, []), TESTS, "exec")]


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If)


def _own_classes(namespace: dict[str, Any], root: str) -> dict[str, type]:
    return {n: k for n, k in namespace.items() if isinstance(k, type) and k.__module__ == TESTS and n != root}
