"""pytest's fixtures as far as a file of tests brings them itself, and the built-in `request.param`, capsys, monkeypatch,
recwarn and tmp_path."""

import contextlib
import inspect
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

from rrtf.judge.surroundings import follow
from rrtf.judge.trusted import BrokenTests


class Fixture(NamedTuple):
    """One definition: the function, whether it belongs to the test's class, what it is made for, and its parameters."""

    function: Callable[..., Any]
    method: bool
    autouse: bool
    scope: str
    params: tuple[Any, ...]


class Fixtures:
    """The fixtures that tests of a module, or of one of its classes, may ask for; `shared` keeps values of wide scopes."""

    def __init__(self, namespace: Mapping[str, Any], kind: type | None, shared: dict[str, Any]) -> None:
        self._known = dict(_found(namespace, method=False))
        if kind is not None:
            self._known |= _found({name: inspect.getattr_static(kind, name) for name in dir(kind)}, method=True)
        self._shared = shared

    def choices(self, test: Callable[..., Any]) -> Iterator[dict[str, Any]]:
        """Every combination of parameters of the fixtures that the test uses."""
        names = [name for name in self._used(test) if self._known[name].params]
        for chosen in product(*(self._known[name].params for name in names)):
            yield dict(zip(names, chosen, strict=True))

    def _used(self, test: Callable[..., Any]) -> list[str]:
        waiting = [*_parameters(test), *(name for name, fixture in self._known.items() if fixture.autouse)]
        used: list[str] = []
        while waiting:
            name = waiting.pop(0)
            if name in self._known and name not in used:
                used.append(name)
                waiting += _parameters(self._known[name].function)
        return used

    @contextlib.contextmanager
    def ready(self, case: Any, values: dict[str, Any], chosen: dict[str, Any]) -> Iterator[Callable[..., dict[str, Any]]]:
        """For one test of `case`: gives the function that finds the arguments of another one, and tears down what that made."""
        made = dict(values)
        with contextlib.ExitStack() as stack:

            def value(name: str) -> Any:
                if name not in made:
                    made[name] = self._shared[name] if name in self._shared else self._make(name, case, chosen, value, stack)
                return made[name]

            for name, fixture in self._known.items():
                if fixture.autouse:
                    value(name)
            yield lambda function: {name: value(name) for name in _parameters(function)}

    def _make(
        self, name: str, case: Any, chosen: dict[str, Any], value: Callable[[str], Any], stack: contextlib.ExitStack
    ) -> Any:
        if name in _BUILT_IN:
            return stack.enter_context(_BUILT_IN[name]())
        if name not in self._known:
            raise BrokenTests(f"the tests need pytest's fixture {name!r}, which is not supported")
        fixture = self._known[name]
        request = SimpleNamespace(param=chosen.get(name), instance=case, addfinalizer=stack.callback)
        wanted = _parameters(fixture.function)[1 if fixture.method else 0 :]
        given = {key: request if key == "request" else value(key) for key in wanted}
        found = fixture.function(case, **given) if fixture.method else fixture.function(**given)
        if inspect.isgenerator(found):
            steps, found = found, next(found)
            if fixture.scope == "function":
                stack.callback(lambda: next(steps, None))
        if fixture.scope != "function" and not fixture.params:
            self._shared[name] = found
        return found


def _parameters(function: Callable[..., Any]) -> list[str]:
    """What a test must be given: its parameters without a default, but for those that `unittest.mock.patch` gives it."""
    patched = sum(not patch.attribute_name for patch in getattr(function, "patchings", ()))
    found = inspect.signature(function).parameters.values()
    return [p.name for p in found if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)][patched:]


def _found(owner: Mapping[str, Any], *, method: bool) -> Iterator[tuple[str, Fixture]]:
    for name, value in owner.items():
        if type(value) is not FunctionType and type(value).__module__ != "_pytest.fixtures":
            continue  # never ask an object of the program
        mark = getattr(value, "_fixture_function_marker", None) or getattr(value, "_pytestfixturefunction", None)
        if mark is not None:
            function = getattr(value, "_get_wrapped_function", lambda value=value: value.__wrapped__)()
            scope = mark.scope if isinstance(mark.scope, str) else "function"
            yield mark.name or name, Fixture(function, method, bool(mark.autouse), scope, tuple(mark.params or ()))


class _Captured(NamedTuple):
    out: str
    err: str


@contextlib.contextmanager
def _capsys() -> Iterator[Any]:
    caught = io.StringIO(), io.StringIO()

    def read() -> _Captured:
        texts = [stream.getvalue() for stream in caught]
        for stream in caught:
            stream.seek(0)
            stream.truncate()
        return _Captured(*texts)

    with contextlib.redirect_stdout(caught[0]), contextlib.redirect_stderr(caught[1]):
        yield SimpleNamespace(readouterr=read, disabled=contextlib.nullcontext)


@contextlib.contextmanager
def _monkeypatch() -> Iterator[Any]:
    from pytest import MonkeyPatch  # only where the tests already do

    with MonkeyPatch.context() as patch:
        follow(patch)
        yield patch


@contextlib.contextmanager
def _tmp_path() -> Iterator[Path]:
    yield Path(tempfile.mkdtemp())  # emptied with the whole scratch folder


@contextlib.contextmanager
def _tmp_path_factory() -> Iterator[Any]:
    yield SimpleNamespace(mktemp=lambda name, **_: Path(tempfile.mkdtemp(prefix=str(name))))


@contextlib.contextmanager
def _recwarn() -> Iterator[Any]:
    from pytest import WarningsRecorder

    with WarningsRecorder(_ispytest=True) as recorder:
        warnings.simplefilter("default")
        yield recorder


_BUILT_IN = {"capsys": _capsys, "capfd": _capsys, "monkeypatch": _monkeypatch}
_BUILT_IN |= {"tmp_path": _tmp_path, "tmp_path_factory": _tmp_path_factory, "recwarn": _recwarn}
