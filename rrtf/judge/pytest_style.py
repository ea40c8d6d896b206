"""Tests written for pytest or unittest, run without either: functions, classes, fixtures of the file, parametrize.

Each assert counts (see `counting`); a test function that asserts nothing counts as one test. What needs pytest's own machinery
(built-in fixtures, plugins) is refused by name instead of passed.
"""

import inspect
import unittest
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from rrtf.judge.counting import Halt, Tally
from rrtf.judge.trusted import BrokenTests


def run_pytest(namespace: dict[str, Any], tally: Tally) -> None:
    """Run every test of the module in the order of its text."""
    for name, test in list(namespace.items()):
        if isinstance(test, type) and (issubclass(test, unittest.TestCase) or name.startswith("Test")):
            for method in _methods(test):
                _run_method(test, method, namespace, tally)
        elif name.startswith("test_") and inspect.isfunction(test):
            for values in _parameters(test):
                _count(lambda test=test, values=values: test(**_arguments(test, values, namespace)), tally)  # type: ignore[misc]


def _methods(kind: type) -> list[str]:
    return [name for name in dir(kind) if name.startswith("test") and callable(getattr(kind, name))]


def _run_method(kind: type, name: str, namespace: dict[str, Any], tally: Tally) -> None:
    for values in _parameters(getattr(kind, name)):

        def run(values: dict[str, Any] = values) -> None:
            case = kind(name) if issubclass(kind, unittest.TestCase) else kind()
            _call_if_there(kind, "setUpClass", "setup_class")
            _call_if_there(case, "setUp", "setup_method")
            method = getattr(case, name)
            method(**_arguments(method, values, namespace))
            _call_if_there(case, "tearDown", "teardown_method")

        _count(run, tally)


def _call_if_there(owner: Any, *names: str) -> None:
    for name in names:
        hook = getattr(owner, name, None)
        if callable(hook):
            hook(*[None] * len(inspect.signature(hook).parameters))


def _count(test: Callable[[], Any], tally: Tally) -> None:
    """One test function: its asserts count themselves; none at all, or an exception outside them, counts once."""
    before = tally.total
    try:
        test()
    except (Halt, BrokenTests):
        raise
    except BaseException as error:  # noqa: B036 - SystemExit of the program
        tally.record(error)
        return
    if tally.total == before:
        tally.record(None)


def _parameters(test: Any) -> Iterator[dict[str, Any]]:
    """Every combination of the `parametrize` marks."""
    choices = []
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            names = mark.args[0] if not isinstance(mark.args[0], str) else [n.strip() for n in mark.args[0].split(",")]
            choices.append([dict(zip(names, _row(values, len(names)), strict=True)) for values in mark.args[1]])
    for rows in product(*choices):
        yield {name: value for row in rows for name, value in row.items()}


def _row(values: Any, count: int) -> Any:
    if type(values).__name__ == "ParameterSet":  # pytest.param(...)
        return values.values
    return values if count > 1 else (values,)


def _arguments(test: Any, values: dict[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    """The parameters, and for the rest the file's own fixtures."""
    arguments = dict(values)
    for name, parameter in inspect.signature(test).parameters.items():
        if name not in arguments and parameter.default is inspect.Parameter.empty:
            arguments[name] = _fixture(name, namespace)
    return arguments


def _fixture(name: str, namespace: dict[str, Any]) -> Any:
    known = namespace.get(name)
    function = getattr(known, "_get_wrapped_function", lambda: getattr(known, "__wrapped__", None))()
    if function is None:
        raise BrokenTests(f"the tests need pytest's fixture {name!r}, which is not supported")
    value = function(**_arguments(function, {}, namespace))
    return next(value) if inspect.isgenerator(value) else value
