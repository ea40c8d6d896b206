"""The tests' own functions, iterators, classes and objects with methods: numbers stand for them in the program's process.

What the program may do to them: call functions, read and set attributes that are not Python's own, and use the operators that
the class of an object defines. Never may it reach what lies behind a function, or put something in place of a method.
"""

import builtins
import importlib
import inspect
import re
import sys
import unittest
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, BuiltinFunctionType, CoroutineType, FunctionType, MethodType
from typing import Any

from rrtf.judge import annotations, common, coroutines, operations, wire
from rrtf.judge.errors import Errors
from rrtf.judge.exchange import TEXTUAL, Classes, Inbox, Outbox
from rrtf.judge.grafting import MUTABLE, Kept, graft
from rrtf.judge.iterated import Iterated
from rrtf.judge.things import Thing
from rrtf.judge.trusted import TESTS, Unsupported

DEPTH = 1000  # questions inside questions, as deep as Python itself goes
_OWN = {"get", "set", "del", "next", "isinstance", "issubclass", "subclass", "call", "signature", "step"}
_OWN |= {"drive", "super", "aiter", "anext", "aenter", "aexit", "hints", "dir", "pickle", "unpickle"}
# what an object's class may define for the program to use; asked for by these names, without underscores
OPERATORS = frozenset(operations.TABLE) - _OWN
OPERATORS |= {"call", "next", "await", "aiter", "anext", "aenter", "aexit"}

_SCALARS = wire.PLAIN | {int}


class Lending:
    """What one run's tests have lent. `accept` unpacks what only the program's handles stand for."""

    def __init__(self, errors: Errors, accept: Callable[[str, Any], Any], classes: Classes, *, arrays: bool) -> None:
        self.classes = classes
        self._errors, self._accept, self._arrays = errors, accept, arrays
        self._held: list[Any] = []
        self._places: dict[Any, int] = {}
        self._open: set[int] = set()  # objects and classes, which have attributes; functions have none
        self._tasks: dict[int, Any] = {}
        self._depth = 0
        self.kept = Kept(lambda value: wire.pack(value, other=of_the_program))
        self.refused: Unsupported | None = None  # a thread of the tests may have raised it

    def __getitem__(self, place: int) -> Any:
        return self._held[place]

    def pack(self, value: Any) -> Any:
        """What stands for a value that no rule of `exchange` packs."""
        if isinstance(value, Iterated):
            value = value.rest()
        if isinstance(value, Thing):
            return {"h": value._rrtf_handle}
        if isinstance(value, list):
            return Outbox(self.classes, self.pack).pack(value)
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and getattr(builtins, name, None) is value:
            return {"bi": name}
        if isinstance(value, BaseException):
            return {"ex": self._errors.lend(value)}
        if isinstance(value, type):
            return self._class(value)
        if type(value).__module__ == TESTS or type(value) is object or _mocks(value) or common.names(type(value)):
            return {"lo": [self._lend(value), self._class(type(value))]}
        return self._other(value)

    def _other(self, value: Any) -> Any:
        if isinstance(value, (Iterator, wire.VIEWS)):
            return {"it": self._place(iter(value).__next__)}
        if isinstance(value, (CoroutineType, AsyncGeneratorType)):
            return {"co" if isinstance(value, CoroutineType) else "ag": self._place(value)}
        if found := annotations.described(value, self.pack):
            return found
        if isinstance(value, re.Pattern):
            return {"re": [value.pattern, value.flags]}
        if callable(value):
            if _standard(value):
                return {"fn": [self._place(value), value.__module__, value.__name__]}
            name, words = getattr(value, "__name__", None), getattr(value, "__doc__", None)
            awaited = inspect.iscoroutinefunction(value)
            return {"cb": [self._place(value), str(name or "function"), str(words or ""), awaited]}
        raise self._refuse(f"a {type(value).__name__}")

    def _class(self, kind: type) -> Any:
        if issubclass(kind, BaseException):
            return {"e": self._errors.know(kind)}
        if TEXTUAL.get((kind.__module__, kind.__name__)) and getattr(sys.modules[kind.__module__], kind.__name__) is kind:
            return {"cl": [kind.__module__, kind.__name__]}
        if found := annotations.described(kind, self.pack):
            return found
        if kind.__module__ != TESTS and kind is not object and not issubclass(kind, mock_base()) and not common.names(kind):
            if _standard(kind):
                return {"fn": [self._place(kind), kind.__module__, kind.__name__]}
            raise self._refuse(f"the class {kind.__name__}")
        defined = {n.strip("_") for base in kind.__mro__[:-1] for n, value in vars(base).items() if value is not None}
        bases = [self._class(base) for base in kind.__bases__ if base.__module__ == TESTS]
        place = self._lend(kind) if kind.__module__ == TESTS else self._place(kind)
        return {"lc": [place, kind.__name__, sorted(defined & OPERATORS), bases]}

    def _refuse(self, what: str) -> Unsupported:
        self.refused = Unsupported(f"the tests pass {what}, which can't be sent")
        return self.refused

    def _lend(self, value: Any) -> int:
        place = self._place(value)
        self._open.add(place)
        return place

    def _place(self, value: Any) -> int:
        """The number of an object, or of a method however often it is asked for; it is kept from now on."""
        key: Any = id(value)
        if isinstance(value, (MethodType, BuiltinFunctionType)):
            key = (id(value.__self__), value.__name__, id(getattr(value, "__func__", None)))
        if key not in self._places:
            self._places[key] = len(self._held)
            self._held.append(value)
        return self._places[key]

    def serve(self, message: dict[str, Any]) -> dict[str, Any]:
        """The program uses something that the tests lent it."""
        self._depth += 1
        try:
            if self._depth > DEPTH:
                raise RecursionError("maximum recursion depth exceeded")
            inbox = Inbox(self.classes, self._accept, arrays=self._arrays)
            inbox.load_table(message["o"])
            arguments = inbox.unpack(message["a"])
            keywords = {str(name): inbox.unpack(value) for name, value in message["k"].items()}
            self.change(message["put"], inbox)
            given = list(inbox.objects)
            result = self._use(message["callback"], message["use"], arguments, keywords)
            outbox = Outbox(self.classes, self.pack, dict(enumerate(given)))
            reply = {"value": outbox.pack(result), "put": [[place, packed] for place, _, packed in self.kept.changed()]}
            if message["use"] == "call" and (packed := self._changed(outbox, arguments)) not in (None, message["a"]):
                reply["a"] = packed
            return reply | {"o": outbox.table()}
        except Unsupported as error:
            if message["use"] == "call":
                raise
            self.refused = None
            return {"raised": self._errors.lend(TypeError(str(error)))}  # the program's own choice of an attribute
        except Exception as error:
            return {"raised": self._errors.lend(error)}
        finally:
            self._depth -= 1

    def _changed(self, outbox: Outbox, arguments: list[Any]) -> Any:
        """What a function of the tests was called with, as it is now; None where nothing can have changed, or can't be sent."""
        if not any(isinstance(value, MUTABLE) or type(value) in self.classes.names for value in arguments):
            return None
        try:
            return outbox.pack(arguments)
        except (Unsupported, wire.Unsendable):
            self.refused = None
            return None

    def change(self, changes: list[list[Any]], inbox: Inbox) -> None:
        """What the program did to lists and the like that it had read from objects, or keeps."""
        for place, name, value in changes:
            if name:
                graft(self._attribute(place, name), inbox.unpack(value))
            else:
                self.kept.take(place, inbox.unpack(value))

    def _use(self, place: Any, operation: str, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        value: Any = self.classes.by_name[place] if isinstance(place, str) else self._held[place]
        if operation == "call":
            # a new mock may be equal to all, or change what mocks do; the program's process has the same standard library
            if (isinstance(value, type) and _mocks(value)) or _standard(value):
                raise TypeError("only the tests may call this")
            return value(*arguments, **keywords)
        if operation == "await" and (type(value) is CoroutineType or place in self._open):
            return self._awaited(value, *arguments)
        if operation == "following" and type(value) is AsyncGeneratorType:
            return coroutines.following(value)
        if operation == "get":
            return self._attribute(place, *arguments)
        if operation == "set":
            return self._set(place, *arguments)
        if place not in self._open or operation not in OPERATORS:
            raise TypeError(f"{operation} of what the tests lent")
        if operation in ("exit", "aexit"):
            arguments = [self._errors.of(error) for error in arguments]
        return next(value) if operation == "next" else operations.TABLE[operation](value, *arguments, **keywords)

    def _awaited(self, value: Any, cancel: bool) -> list[Any]:
        """What the tests can await: [its value] if it is done. Their loop, if it runs, runs it beside the program's call."""
        asyncio: Any = importlib.import_module("asyncio")  # only where there are coroutines: it takes long to load
        if asyncio._get_running_loop() is None:
            return [asyncio.run(coroutines.waited(value))]
        if id(value) not in self._tasks:
            self._tasks[id(value)] = asyncio.ensure_future(value)
        task = self._tasks[id(value)]
        if cancel:
            task.cancel()
        if task.cancelled():
            raise RuntimeError("CancelledError")
        return [task.result()] if task.done() else []

    def _attribute(self, place: int, name: str) -> Any:
        value = self._opened(place, name)
        if _remembers(value, name):
            raise AttributeError(name)
        return getattr(value, name)

    def _set(self, place: int, name: str, new: Any) -> None:
        value = self._opened(place, name)
        if isinstance(value, type) or _remembers(value, name) or (_mocks(value) and type(new) not in _SCALARS):
            raise AttributeError(name)
        if type(value).__module__ != TESTS and not _mocks(value):
            raise AttributeError(name)
        if callable(getattr(type(value), name, None)):  # tests call it and take its answer for theirs
            raise AttributeError(name)
        setattr(value, name, new)

    def _opened(self, place: int, name: str) -> Any:
        if place not in self._open or name.startswith("__"):
            raise AttributeError(name)
        value = self._held[place]
        kind = type(value)
        if not isinstance(value, type) and kind.__module__ != TESTS and not _mocks(value) and name not in common.names(kind):
            raise AttributeError(name)
        return value


def of_the_program(value: Any) -> Any:
    """A `pack` hook for lists that are followed: objects of the program are worth it, others are not."""
    if isinstance(value, Thing):
        return {"h": value._rrtf_handle}
    raise wire.Unsendable(type(value).__name__)


def _standard(value: Any) -> bool:
    """Whether it is a function or class of the standard library: the program's process has it, too, by its name."""
    if not isinstance(value, (FunctionType, BuiltinFunctionType, type)) or not isinstance(value.__module__, str):
        return False
    module = sys.modules.get(value.__module__)
    known = value.__module__.partition(".")[0] in sys.stdlib_module_names
    return known and getattr(module, value.__name__, None) is value


def behaves(kind: type) -> bool:
    """Whether a class of the tests has more than attributes: its objects can't be rebuilt where it is missing."""
    for base in kind.__mro__[:-1]:
        for name, value in vars(base).items():
            if name.startswith("__"):
                if value is not None and name.strip("_") in OPERATORS - {"repr", "str"}:
                    return True
            elif type(value).__name__ != "member_descriptor":
                return True
    return False


def _remembers(value: Any, name: str) -> bool:
    """Whether an attribute is for the tests alone: how a mock was used, what a test case or class has of Python."""
    if _mocks(value):
        return name.startswith("_") or name == "method_calls" or hasattr(sys.modules["unittest.mock"].AsyncMock, name)
    kind = value if isinstance(value, type) else type(value)
    if issubclass(kind, unittest.TestCase):
        return name.startswith("_") or hasattr(unittest.TestCase, name)
    return kind is value and hasattr(type(kind), name) and not any(name in vars(base) for base in kind.__mro__)


def mock_base() -> Any:
    """The class of unittest's mocks, where the tests have loaded them."""
    module = sys.modules.get("unittest.mock")
    return () if module is None else module.NonCallableMock


def _mocks(value: Any) -> bool:
    return issubclass(value if isinstance(value, type) else type(value), mock_base())
