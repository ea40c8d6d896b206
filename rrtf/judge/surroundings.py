"""What tests change around a call in one process, carried to the process where the program runs.

Output that tests catch (`redirect_stdout`, capsys) is that of the program during the call, and so are its warnings; input that
they lay out (another `sys.stdin`) is what it reads; a seed that they set is that of its random numbers; what they put in place
of a function (`patch`, monkeypatch) or of the environment is what it finds there; files of either are there for the other.
"""

import contextlib
import importlib
import io
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from rrtf.judge.files import Files, shared
from rrtf.judge.wire import TooLarge

# what a request says of it
LENT = frozenset({"catch", "stdin", "patched", "random", "environment", "warnings", "files"})
_files = Files()  # in the program's process
_seeds = 0  # how often the tests have seeded their random numbers
_patches: dict[int, Any] = {}  # those in force


def watch_seeds() -> None:
    """In the tests' process, once: notice `random.seed`."""
    import random  # not in the candidates' process, where it would be loaded for all of them, with one state

    seed_it = random.seed

    def seed(*arguments: Any, **keywords: Any) -> None:
        global _seeds
        _seeds += 1
        seed_it(*arguments, **keywords)

    random.seed = seed


def watch_patches() -> None:
    """In the tests' process, once: notice what `unittest.mock.patch` puts where."""
    from unittest import mock

    kind: Any = mock._patch
    if hasattr(kind, "_rrtf_watched"):
        return
    kind._rrtf_watched = True
    enter, leave = kind.__enter__, kind.__exit__

    def entered(patch: Any) -> Any:
        found = enter(patch)
        _patches[id(patch)] = patch
        return found

    def left(patch: Any, *error: Any) -> Any:
        _patches.pop(id(patch), None)
        return leave(patch, *error)

    kind.__enter__, kind.__exit__ = entered, left


def follow(monkeypatch: Any) -> None:
    """What a monkeypatch of pytest puts where is carried over, too, until the next run."""
    _patches[id(monkeypatch)] = monkeypatch


class Surroundings:
    """The tests' side of one run. `text` is that of the tests: what they never speak of is not watched."""

    def __init__(self, text: str) -> None:
        if mock := sys.modules.get("unittest.mock"):  # of a run that ended early
            mock.patch.stopall()
        _patches.clear()
        self._stdin, self._seeds = sys.stdin, _seeds
        self._environment = dict(os.environ) if "env" in text else None
        self._warnings = "warn" in text.lower()
        self._files = Files() if shared(text) else None

    def changed(self, pack: Callable[[Any], Any]) -> dict[str, Any]:
        """What a call has to know of it: nothing, mostly."""
        request: dict[str, Any] = {}
        if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
            request["catch"] = True
        if sys.stdin is not self._stdin and isinstance(sys.stdin, io.StringIO):
            request["stdin"] = sys.stdin.read()
        if replaced := [[m, n, pack(getattr(sys.modules[m], n))] for m, n in _places()]:
            request["patched"] = replaced
        if self._environment is not None and os.environ != self._environment:
            mine = dict(os.environ)
            request["environment"] = {
                k: mine.get(k) for k in {*mine, *self._environment} if mine.get(k) != self._environment.get(k)
            }
        if self._warnings:
            request["warnings"] = True
        if self._seeds != _seeds:
            self._seeds = _seeds
            request["random"] = sys.modules["random"].getstate()
        if self._files is not None:
            try:
                request["files"] = self._files.changes()
            except TooLarge as error:
                from rrtf.judge.trusted import Unsupported  # with what it needs it would be a part of every candidate

                raise Unsupported(f"the tests make {error}, which is not supported") from None
        return request

    def show(self, reply: dict[str, Any], kind: Callable[[list[str]], Any]) -> None:
        """Print here what the program printed, and warn of what it warned of; `kind` finds the class for a class's names."""
        for stream, part in ((sys.stdout, "printed"), (sys.stderr, "complained")):
            if type(text := reply.get(part)) is str:
                stream.write(text)
        if self._files is not None:
            self._files.take(reply.get("files", ()))
        for names, text in reply.get("warned", ()):
            if issubclass(category := kind([str(name) for name in names]), Warning):
                warnings.warn(str(text), category, stacklevel=1)


def _places() -> Iterator[tuple[str, str]]:
    """Module and name of what is not what it was."""
    for patch in _patches.values():
        pairs = [pair[:2] for pair in patch._setattr] if hasattr(patch, "_setattr") else [(patch.target, patch.attribute)]
        for owner, name in pairs:
            streams = owner is sys and name in ("stdin", "stdout", "stderr")  # those have ways of their own
            if isinstance(owner, types.ModuleType) and hasattr(owner, name) and not streams:
                yield owner.__name__, name


@contextlib.contextmanager
def lent(request: dict[str, Any], unpack: Callable[[Any], Any]) -> Iterator[dict[str, Any]]:
    """The program's side of one call; gives what to add to the reply when it is over."""
    added: dict[str, Any] = {}
    kept = sys.stdout, sys.stderr, sys.stdin
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        if "catch" in request:
            sys.stdout, sys.stderr = out, err
        if "stdin" in request:
            sys.stdin = io.StringIO(request["stdin"])
        if "random" in request:
            import random

            version, numbers, spare = request["random"]
            random.setstate((version, tuple(numbers), spare))
        if "warnings" in request:
            caught = stack.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
        _files.take(request.get("files", ()))
        for module, name, packed in request.get("patched", ()):
            stack.enter_context(_replaced(module, name, unpack(packed)))
        for name, value in request.get("environment", {}).items():
            stack.callback(_put, name, _put(name, value))
        try:
            yield added
        finally:
            sys.stdout, sys.stderr, sys.stdin = kept
    if "catch" in request:
        added |= {"printed": out.getvalue(), "complained": err.getvalue()}
    if "files" in request:
        added["files"] = _files.changes()
    if "warnings" in request:
        added["warned"] = [[[kind.__name__ for kind in w.category.__mro__], str(w.message)] for w in caught]


@contextlib.contextmanager
def _replaced(module: str, name: str, value: Any) -> Iterator[None]:
    try:
        owner = importlib.import_module(module)
    except ImportError:
        yield
        return
    kept = getattr(owner, name, None)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def _put(name: str, value: str | None) -> str | None:
    """Set or remove a variable of the environment; returns what it was."""
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    return before
