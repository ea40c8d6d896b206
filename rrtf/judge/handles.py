"""In the candidate's process: objects that only a number stands for, on either side.

The program's objects are kept here, one number each however often they are met; functions, iterators and exception classes
of the tests are stand-ins that ask the tests' process.
"""

import _thread
import builtins
import importlib
import re
from collections.abc import Callable, Iterator
from types import AsyncGeneratorType, FunctionType, GeneratorType, MethodType
from typing import Any

from rrtf.judge import annotations, coroutines, wire
from rrtf.judge.errors import described, grown, tree
from rrtf.judge.exchange import Classes, Inbox, Outbox
from rrtf.judge.grafting import Kept, Views, graft
from rrtf.judge.stand_ins import make_carrier, make_class, make_object
from rrtf.judge.wire import Unsendable

CO_COROUTINE = 0x80  # of `inspect`, which takes long to load


class Handles:
    """What one program's process holds for the tests. `ask` sends a message and returns the reply."""

    def __init__(self, ask: Callable[[Any], Any]) -> None:
        self._ask = ask
        self._lock = _thread.RLock()
        self.classes = Classes({})
        self._objects: list[Any] = []
        self._places: dict[int, int] = {}
        self._lent: dict[int, int] = {}
        self._errors: dict[str, type[BaseException]] = {}
        self._stand_ins: dict[int, Any] = {}
        self.begun: dict[int, Any] = {}  # what coroutines were called with, by the id of each
        self.views = Views(lambda value: wire.pack(value, other=self._of_the_tests))
        self.kept = Kept(lambda value: wire.pack(value, other=self._inside))

    def __getitem__(self, place: int) -> Any:
        return self._objects[place]

    def outbox(self, known: dict[int, Any] | None = None) -> Outbox:
        """For a message to the tests."""
        return Outbox(self.classes, self.handle, known)

    def inbox(self) -> Inbox:
        """For a message from them."""
        return Inbox(self.classes, self._given, arrays=True)

    def place(self, value: Any) -> int:
        """The number of an object; it is kept from now on."""
        with self._lock:
            if id(value) not in self._places:
                self._places[id(value)] = len(self._objects)
                self._objects.append(value)
        return self._places[id(value)]

    def handle(self, value: Any) -> Any:
        """What stands for a value that no rule of `exchange` packs."""
        if id(value) in self._lent:
            return {"own": self._lent[id(value)]}
        if type(value) is FunctionType:  # what is asked below would say no, at some cost
            return {"h": [self.place(value), str(value.__name__)[:100], _sort(value), []]}
        if isinstance(value, wire.VIEWS):
            return {"g": [[self.outbox().pack(item) for item in value], None, False]}
        if isinstance(value, BaseException):
            return {"er": [*described(value), self.place(value)]}
        if isinstance(value, Iterator) and not isinstance(value, type):
            return {"g": [[], self.place(value), type(value) is GeneratorType]}
        if isinstance(value, type):
            own: type = value
            if getattr(builtins, own.__name__, None) is own and own.__name__ not in wire.MAKERS:
                return {"bi": own.__name__}
            if issubclass(own, BaseException):
                return {"e": tree(own)}
        if found := annotations.described(value, self.outbox().pack):
            return found
        name = getattr(value, "__name__", type(value).__name__)
        kind = value if isinstance(value, type) else type(value)
        return {"h": [self.place(value), str(name)[:100], _sort(value), list(getattr(kind, "__dataclass_fields__", ()))]}

    def carrier(self, name: str) -> type:
        """A class that the program lacks: its objects are here, the tests make new ones."""
        return make_carrier(self._call_back, name)

    def changed(self) -> list[list[Any]]:
        """What the program did to lists and the like of the tests that it had read from objects, or keeps."""
        return self.views.changed() + self.kept.changed()

    def take(self, place: int, name: str, theirs: Any) -> None:
        """What the tests did to a list or the like that they had read of an object, or passed."""
        if not self.kept.take(place, theirs):
            held = self._objects[place]
            graft(getattr(held, name) if name else held, theirs)

    def _inside(self, value: Any) -> Any:
        if type(value) in self.classes.names:
            raise Unsendable(type(value).__name__)
        return self.outbox().other(value)

    def _of_the_tests(self, value: Any) -> Any:
        if id(value) in self._lent:
            return {"own": self._lent[id(value)]}
        raise Unsendable(type(value).__name__)

    def _given(self, tag: str, content: Any) -> Any:
        if tag == "h":
            return self._objects[content]
        if tag == "cb":
            return self._stand_in(content[0], lambda: self._function(*content))
        if tag == "fn":
            known = getattr(importlib.import_module(content[1]), content[2])
            self._lent[id(known)] = content[0]
            return known
        if tag == "co":
            return coroutines.lent(lambda cancel: self._call_back(content, "await", (cancel,), {}))
        if tag == "ag":
            return coroutines.Items(lambda: self._call_back(content, "following", (), {}))
        if tag == "it":
            return _Stream(lambda: self._call_back(content, "call", (), {}))
        if tag in ("e", "ex"):
            return grown(content, self._errors) if tag == "e" else self._error(content)
        return self._met(tag, content)

    def _met(self, tag: str, content: Any) -> Any:
        """What stands for objects and classes of the tests, and what both sides have."""
        if tag == "lo":
            return self._stand_in(content[0], lambda: make_object(self._given("lc", content[1]["lc"]), content[0]))
        if tag == "lc":
            place, name, operators, bases = content
            above = [self._given("lc", base["lc"]) for base in bases]
            return self._stand_in(place, lambda: make_class(self._call_back, place, name, operators, above))
        if tag == "ty":
            return annotations.made(content, self.inbox().unpack)
        if tag == "of":
            return self.begun[id(self._objects[content[0]])][1][content[1]]
        return _of_python(tag, content)

    def _stand_in(self, place: int, make: Callable[[], Any]) -> Any:
        with self._lock:
            if place not in self._stand_ins:
                self._stand_ins[place] = make()
                self._lent[id(self._stand_ins[place])] = place
        return self._stand_ins[place]

    def _function(self, number: int, name: str, doc: str, awaited: bool) -> Any:
        def called(*arguments: Any, **keywords: Any) -> Any:
            return self._call_back(number, "call", arguments, keywords)

        function: Any = coroutines.lent_function(called) if awaited else called
        function.__name__, function.__qualname__, function.__doc__ = name, name, doc
        return function

    def _call_back(self, place: int, use: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Let the tests' process do something with what it lent."""
        outbox = self.outbox()
        packed = outbox.pack(list(arguments))
        named = {name: outbox.pack(value) for name, value in keywords.items()}
        question = {"callback": place, "use": use, "a": packed, "k": named, "o": outbox.table(), "put": self.changed()}
        reply = self._ask(question)
        if "raised" in reply:
            raise self._error(reply["raised"])
        inbox = self.inbox()
        inbox.load_table(reply["o"], outbox.objects)
        for number, theirs in reply["put"]:
            self.take(number, "", inbox.unpack(theirs))
        if "a" in reply:
            graft(list(arguments), inbox.unpack(reply["a"]))
        result = inbox.unpack(reply["value"])
        if use == "get":
            self.views.saw(place, arguments[0], result)
        return result

    def _error(self, described: list[Any]) -> BaseException:
        names, text, packed = described
        return grown(names, self._errors)(*([text] if packed is None else self.inbox().unpack(packed)))


def _of_python(tag: str, content: Any) -> Any:
    """What both sides have by name."""
    if tag == "bi":
        return getattr(builtins, content)
    if tag == "cl":
        return getattr(importlib.import_module(content[0]), content[1])
    if tag == "re":
        return re.compile(*content)
    raise Unsendable(tag)


def _sort(value: Any) -> str:
    kind = type(value)
    if isinstance(value, type):
        return "class"
    if hasattr(kind, "__await__"):
        return "coroutine"
    if kind is FunctionType:
        return "async function" if value.__code__.co_flags & CO_COROUTINE else "def"
    if kind.__module__ == "re" and kind.__name__ in ("Pattern", "Match"):
        return kind.__name__
    if kind is MethodType or kind is AsyncGeneratorType:
        return "method" if kind is MethodType else "async generator"
    if isinstance(getattr(kind, "__dataclass_fields__", None), dict):
        return "fields"
    return "function" if callable(value) else "object"


class _Stream:
    """An iterator of the tests."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask

    def __iter__(self) -> "_Stream":
        return self

    def __next__(self) -> Any:
        return self._ask()
