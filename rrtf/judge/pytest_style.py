"""Tests written for pytest or unittest, run without either: functions, classes, fixtures of the file, marks.

Each assert counts (see `counting`); a test function that asserts nothing counts as one test, a skipped one as none. What needs
pytest's own machinery (most built-in fixtures, plugins) is refused by name instead of passed.
"""

import inspect
import unittest
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

from rrtf.judge.counting import Tally, skips
from rrtf.judge.fixtures import Fixtures
from rrtf.judge.things import Thing
from rrtf.judge.trusted import BrokenTests, Halt


def run_pytest(namespace: dict[str, Any], tally: Tally) -> None:
    """Run every test of the module in the order of its text."""
    _call_if_there(namespace, "setUpModule", "setup_module")
    shared: dict[str, Any] = {}
    for name, test in list(namespace.items()):
        if isinstance(test, Thing):
            continue
        if isinstance(test, type) and (issubclass(test, unittest.TestCase) or name.startswith("Test")):
            _run_class(test, namespace, shared, tally)
        elif name.startswith("test_") and inspect.isfunction(test):
            _Test(test, Fixtures(namespace, None, shared)).run([*_marks(namespace), *_marks(test)], tally)


def _run_class(kind: type, namespace: dict[str, Any], shared: dict[str, Any], tally: Tally) -> None:
    """Every test method, between what the class does before its first and after its last; without the first, all fail."""
    methods = _methods(kind)
    failed = _failure(lambda: _call_if_there(kind, "setUpClass", "setup_class", given=kind))
    for method in methods:
        if failed is None:
            marks = [*_marks(namespace), *_marks(kind), *_marks(getattr(kind, method))]
            _Test(getattr(kind, method), Fixtures(namespace, kind, shared), kind, method).run(marks, tally)
        elif not skips(failed):
            tally.record(failed)
    if failed is None and (failed := _failure(lambda: _call_if_there(kind, "tearDownClass", "teardown_class", given=kind))):
        tally.record(failed)


def _failure(hook: Callable[[], Any]) -> BaseException | None:
    try:
        hook()
    except (Halt, BrokenTests):
        raise
    except BaseException as error:  # noqa: B036 - SystemExit of the program
        return error
    return None


def _methods(kind: type) -> list[str]:
    """In the order of unittest, by name, or of the text, as pytest does."""
    text = [name for base in reversed(kind.__mro__) for name in vars(base)]
    names = dir(kind) if issubclass(kind, unittest.TestCase) else dict.fromkeys(text)
    return [name for name in names if name.startswith("test") and callable(getattr(kind, name))]


def _marks(owner: Any) -> list[Any]:
    found = owner.get("pytestmark", []) if isinstance(owner, dict) else getattr(owner, "pytestmark", [])
    return [*found] if isinstance(found, (list, tuple)) else [found]


class _Test(NamedTuple):
    """One test function, or the method `name` of a class of tests."""

    function: Callable[..., Any]
    fixtures: Fixtures
    kind: type | None = None
    name: str = ""

    def run(self, marks: list[Any], tally: Tally) -> None:
        """Every combination of parameters, unless a mark says that the test does not run or may fail."""
        if any(mark.name in ("skip", "xfail") or (mark.name == "skipif" and mark.args[:1] == (True,)) for mark in marks):
            return
        for values in _parameters(marks):
            for chosen in self.fixtures.choices(self.function):
                _count(lambda values=values, chosen=chosen: self._once(values, chosen), tally)  # type: ignore[misc]

    def _once(self, values: dict[str, Any], chosen: dict[str, Any]) -> None:
        if getattr(self.function, "__unittest_expecting_failure__", False):
            raise unittest.SkipTest("expected to fail")
        case: Any = None
        if self.kind is not None:
            case = self.kind(self.name) if issubclass(self.kind, unittest.TestCase) else self.kind()
        with self.fixtures.ready(case, values, chosen) as arguments:
            _call_if_there(case, "setUp", "setup_method", "asyncSetUp", given=self.function)
            try:
                test = self.function if case is None else getattr(case, self.name)
                _finish(test() if isinstance(case, unittest.TestCase) else test(**arguments(test)))
            finally:
                _call_if_there(case, "asyncTearDown", "tearDown", "teardown_method", given=self.function)
                if isinstance(case, unittest.TestCase):
                    case.doCleanups()


def _finish(result: Any) -> None:
    """A test that is a coroutine or a generator has not run yet."""
    if inspect.iscoroutine(result):
        import asyncio  # only where tests have coroutines: it takes long to load

        asyncio.run(result)
    elif inspect.isgenerator(result):
        for _ in result:
            pass


def _call_if_there(owner: Any, *names: str, given: Any = None) -> None:
    """Call the hooks of these names; one that wants to know for which test is told `given`."""
    for name in names:
        hook = owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
        if callable(hook):
            _finish(hook(*[given] * len(inspect.signature(hook).parameters)))


def _count(test: Callable[[], Any], tally: Tally) -> None:
    """One test function: its asserts count themselves; none at all, or an exception outside them, counts once."""
    before = tally.total
    try:
        test()
    except (Halt, BrokenTests):
        raise
    except BaseException as error:  # noqa: B036 - SystemExit of the program
        if not skips(error):
            tally.record(error)
        return
    if tally.total == before:
        tally.record(None)


def _parameters(marks: list[Any]) -> Iterator[dict[str, Any]]:
    """Every combination of the `parametrize` marks."""
    choices = []
    for mark in marks:
        if mark.name == "parametrize":
            given = dict(zip(("argnames", "argvalues"), mark.args, strict=False)) | mark.kwargs
            names = given["argnames"]
            names = names if not isinstance(names, str) else [name.strip() for name in names.split(",")]
            choices.append([dict(zip(names, _row(values, len(names)), strict=True)) for values in given["argvalues"]])
    for rows in product(*choices):
        yield {name: value for row in rows for name, value in row.items()}


def _row(values: Any, count: int) -> Any:
    if type(values).__name__ == "ParameterSet":  # pytest.param(...)
        return values.values
    return values if count > 1 else (values,)
