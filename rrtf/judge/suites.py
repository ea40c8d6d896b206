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
from enum import Enum
from typing import Any

from rrtf.judge import closeness, files
from rrtf.judge.annotations import watch_hints
from rrtf.judge.counting import JUDGE, Overrun, Tally, bounded, end_threads, free_names, rewrite
from rrtf.judge.evaluating import watched
from rrtf.judge.exchange import Classes
from rrtf.judge.inheriting import SUPER, is_subclass, parent
from rrtf.judge.inputs import Inputs
from rrtf.judge.lending import behaves
from rrtf.judge.meaning import imported, looked_into, made_by, operators
from rrtf.judge.proxies import Remote
from rrtf.judge.pytest_style import run_pytest
from rrtf.judge.run import Gone
from rrtf.judge.subject import shares, take_out
from rrtf.judge.surroundings import watch_patches, watch_seeds
from rrtf.judge.things import Class, Thing
from rrtf.judge.trusted import TESTS, BrokenTests, Halt, Unsupported, parse
from rrtf.judge.wire import LACKING, WHOLE
from rrtf.records import Problem, TestKind

# classes of the tests made from these have rules of their own
VALUES = (int, float, str, bytes, tuple, list, dict, set, frozenset, BaseException, Enum)
BUILTIN = frozenset(dir(builtins)) | {"__name__", "__file__"}
ALIASES = {"np": "numpy", "pd": "pandas"}
DRY_SECONDS, DRY_IDLE = 20.0, 2.0  # CPU seconds of the tests against no program, and how long they may wait for it
# tests that change a list which they got, or ask which one it is
ALTERS = re.compile(
    r"\.(append|extend|insert|pop|popitem|remove|clear|sort|reverse|update|add|discard|setdefault)\(|\]\s*([-+*|&]|//?)?=(?!=)"
    r"|\bdel\b|\bassertIs(Not)?\(|\bis (?!(not )?(None|True|False)\b)"
)
# what of the program's process its tests can't see
FILES = r"\btempfile\b|\btmp_?path|\btmpdir\b"
UNSEEN = {
    FILES: "files that they and the program both see",
    r"\bassertLogs\b|\bcaplog\b": "the program's log records",
}
watch_seeds()


class CallSuite:
    """Tests that call what the program defines: kinds asserts, check, pytest and inputs."""

    def __init__(self, problem: Problem) -> None:
        tests = problem.tests
        self._problem, self._kind = problem, tests.kind
        self._entry, self.reference = problem.entry_point, problem.reference
        self._root = self._entry.partition("(")[0].partition(".")[0]
        self._entry_code: Any = None
        with contextlib.suppress(Exception):  # what is wrong with it is said where it is used
            self._entry_code = compile(self._entry.strip(), TESTS, "eval")
        source = {TestKind.asserts: "", TestKind.inputs: tests.checker}.get(tests.kind, tests.code)
        text = "\n".join([tests.setup, source, *tests.asserts])
        for pattern, words in UNSEEN.items():
            if re.search(pattern, text) and not (pattern == FILES and files.shared(text)):
                raise BrokenTests(f"the tests need {words}, which is not supported")
        trees = [
            parse(tests.setup, "the tests' setup"),
            parse(source, "the tests"),
            *(parse(t, "a test") for t in tests.asserts),
        ]
        self._subject = take_out(trees, self._root)
        wanted = set().union(*(free_names(tree) for tree in trees)) - BUILTIN | {self._root} | self._subject.names
        self._given = _given_definitions(problem, self._root)
        self._imports, defined = imported(problem.reference)
        self._own = {self._root} | self._subject.names | defined
        self._modules = looked_into(trees)
        self._body = [compile(trees[0], TESTS, "exec"), compile(_counted(trees[1], tests.kind), TESTS, "exec")]
        self._asserts = [compile(tree, TESTS, "exec") for tree in trees[2:]]
        self._keeps = bool(ALTERS.search(text))
        self._shares = shares(trees)
        self.files = files.shared(text)
        self._text, self._arrays = text, "numpy" in text or "np." in text
        if self._arrays:
            closeness.guard(testing="testing" in text)
        if "get_type_hints" in text:
            watch_hints(Thing)
        if "patch" in text:
            watch_patches()
        self._operators = operators(problem, {self._root} | self._subject.names)
        self._makes = made_by(problem, {self._root} | self._subject.names, text)
        self._late = len(self._body)
        namespace = self._namespace(wanted)
        self.names = sorted(name for name in wanted if name and (name not in namespace or name == self._root))
        self.names += [WHOLE] if self._subject.modules else []
        own = _own_classes(namespace, self._root)
        self.classes, self._lent = sorted(own), {name for name, kind in own.items() if behaves(kind)}
        self._inputs = Inputs(problem, namespace) if tests.kind is TestKind.inputs else None
        self._dry: int | None = None

    def _namespace(self, program: set[str] | frozenset[str] = frozenset()) -> dict[str, Any]:
        """What the tests see before they run. Code that needs names of the `program` at once runs after it has loaded."""
        module = sys.modules[TESTS] = type(sys)(TESTS)
        namespace = module.__dict__
        namespace["__file__"] = f"{TESTS}.py"
        namespace |= {SUPER: parent, "issubclass": is_subclass}
        namespace[JUDGE] = Tally()
        for code in self._given:
            with contextlib.suppress(Exception):  # a prompt is text first; what of it runs helps
                exec(code, namespace)
        path = list(sys.path)
        for place, code in enumerate(self._body[: self._late]):
            try:
                exec(code, namespace)
            except Exception as error:
                if not isinstance(error, NameError) or error.name not in program:
                    raise BrokenTests(f"the tests' own code raises {type(error).__name__}: {error}") from None
                self._late = place
                break
        sys.path[:] = path  # tests that look for the program add to it each time
        return namespace

    def prepare(self) -> tuple[dict[str, Any], Remote]:
        """A fresh namespace for one run, and the remote that its classes cross by."""
        random.seed(0)
        namespace = self._namespace()
        classes = Classes(_own_classes(namespace, self._root))
        return namespace, Remote(
            classes, text=self._text, arrays=self._arrays, operators=self._operators, keeps=self._keeps, shares=self._shares
        )

    def execute(self, namespace: dict[str, Any], remote: Remote, described: dict[str, Any] | None, tally: Tally) -> None:
        """Run every test. `described` is what the program says of the names the tests use; None: it never loaded."""
        namespace[JUDGE] = tally
        described = described or {}
        lending = set(described.pop(LACKING, ())) & self._lent if described else self._lent
        remote.lending.classes = Classes({n: k for n, k in remote.lending.classes.by_name.items() if n not in lending})
        check = namespace.get("check")  # before an entry point of that name takes its place (Mbpp/56)
        try:
            with watched(self._text):
                self._bind(namespace, remote, described)
                self._run(namespace, remote, check, tally)
        except (Overrun, Unsupported):
            raise
        except (Halt, Gone):
            pass
        except Exception as error:
            if self._late == len(self._body):
                raise
            tally.record(error, "before the tests: ")
        finally:
            tally.closed = True

    def _run(self, namespace: dict[str, Any], remote: Remote, check: Any, tally: Tally) -> None:
        if self._kind is TestKind.asserts:
            self._run_asserts(namespace, tally)
        elif self._kind is TestKind.check:
            self._run_check(check, namespace, tally)
        elif self._inputs is not None:
            self._inputs.run(self._candidate(namespace), remote, tally)
        else:
            run_pytest(namespace, tally)

    def _bind(self, namespace: dict[str, Any], remote: Remote, described: dict[str, Any]) -> None:
        """The program's names among the tests', then what of the tests could not run before."""
        for module in self._subject.modules:
            sys.modules.pop(module, None)
        for name, value in described.items():
            if name in self.names:
                namespace[name] = self._value(name, value, remote)
                if name in self._makes and isinstance(namespace[name], Class):
                    remote.makes.add(namespace[name]._rrtf_handle)
        for other, name in self._subject.aliases.items():
            if name in namespace:
                namespace[other] = namespace[name]
        if WHOLE in namespace:
            whole = namespace.pop(WHOLE)
            for module in self._subject.modules:
                namespace[module] = sys.modules[module] = whole
        for code in self._body[self._late :]:
            exec(code, namespace)

    def _value(self, name: str, described: Any, remote: Remote) -> Any:
        """A name of the program as the tests see it. What the reference imports from the standard library, and names of known
        modules, are that, whatever the program says."""
        wanted = ALIASES.get(name, name)
        if name in self._own:
            return remote.value(described)
        if name in self._imports:
            return self._imports[name]
        if wanted in sys.stdlib_module_names or wanted in ALIASES.values():
            module = importlib.import_module(wanted)
            found = module if name in self._modules else getattr(module, name, None)  # `datetime(2024, 1, 1)`
            if found is not None:
                return found
        return remote.value(described)

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
            return eval(self._entry_code or self._entry, namespace)
        except Exception as error:
            return _broken(error)

    def count(self) -> int:
        """How many tests run against a program that answers nothing: the total where a program never ran."""
        if self._dry is None:
            tally = Tally()
            namespace, remote = self.prepare()
            try:
                with bounded(DRY_SECONDS, idle=DRY_IDLE):
                    self.execute(namespace, remote, None, tally)
                self._dry = tally.total
            except (Overrun, Unsupported):  # they wait for what never comes; or they can't run, as the first verdict will say
                self._dry = tally.total + 1
            end_threads()
        return self._dry


def _counted(tree: ast.Module, kind: TestKind) -> ast.Module:
    return tree if kind is TestKind.inputs else rewrite(tree)


def _broken(error: Exception) -> Any:
    def candidate(*_: Any, **__: Any) -> Any:
        raise error

    return candidate


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


def _own_classes(namespace: dict[str, Any], root: str) -> dict[str, type]:
    found = {n: k for n, k in namespace.items() if isinstance(k, type) and k.__module__ == TESTS and n != root}
    return {name: kind for name, kind in found.items() if not issubclass(kind, VALUES)}
