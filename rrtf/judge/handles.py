"""In the candidate's process: objects that only a number stands for, on either side.

The program's objects are kept here, one number each however often they are met; functions, iterators and exception classes
of the tests are stand-ins that ask the tests' process.
"""

import builtins
from collections.abc import Callable, Iterator
from typing import Any

from rrtf.judge import wire
from rrtf.judge.errors import grown
from rrtf.judge.exchange import Classes, Inbox, Outbox
from rrtf.judge.wire import Unsendable


class Handles:
    """What one program's process holds for the tests. `ask` sends a message and returns the reply."""

    def __init__(self, ask: Callable[[Any], Any]) -> None:
        self._ask = ask
        self.classes = Classes({})
        self._objects: list[Any] = []
        self._places: dict[int, int] = {}
        self._lent: dict[int, int] = {}
        self._errors: dict[str, type[BaseException]] = {}

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
        if id(value) not in self._places:
            self._places[id(value)] = len(self._objects)
            self._objects.append(value)
        return self._places[id(value)]

    def handle(self, value: Any) -> Any:
        """What stands for a value that no rule of `exchange` packs."""
        if id(value) in self._lent:
            return {"own": self._lent[id(value)]}
        if isinstance(value, wire.VIEWS):
            return {"g": [[self.outbox().pack(item) for item in value], None]}
        if isinstance(value, Iterator) and not isinstance(value, type):
            return {"g": [[], self.place(value)]}
        if isinstance(value, type):
            kind: type = value
            if getattr(builtins, kind.__name__, None) is kind:
                return {"bi": kind.__name__}
            if issubclass(kind, BaseException):
                return {"e": [base.__name__ for base in kind.__mro__]}
        name = getattr(value, "__name__", type(value).__name__)
        return {"h": [self.place(value), str(name)[:100], _sort(value), list(getattr(type(value), "__dataclass_fields__", ()))]}

    def _given(self, tag: str, content: Any) -> Any:
        if tag == "h":
            return self._objects[content]
        if tag == "bi":
            return getattr(builtins, content)
        if tag == "cb":
            return self._function(*content)
        if tag == "it":
            return _Stream(lambda: self._call_back(content, (), {}))
        if tag == "e":
            return grown(content, self._errors)
        raise Unsendable(tag)

    def _function(self, number: int, name: str, doc: str) -> Any:
        def function(*arguments: Any, **keywords: Any) -> Any:
            return self._call_back(number, arguments, keywords)

        function.__name__, function.__qualname__, function.__doc__ = name, name, doc
        self._lent[id(function)] = number
        self._objects.append(function)  # kept, so that no other object gets its id
        return function

    def _call_back(self, number: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        outbox = self.outbox()
        named = {name: outbox.pack(value) for name, value in keywords.items()}
        reply = self._ask({"callback": number, "a": outbox.pack(list(arguments)), "k": named})
        if "raised" in reply:
            names, text, packed = reply["raised"]
            raise grown(names, self._errors)(*([text] if packed is None else self.inbox().unpack(packed)))
        return self.inbox().unpack(reply["value"])


def _sort(value: Any) -> str:
    kind = type(value)
    if isinstance(value, type):
        return "class"
    if kind.__name__ == "coroutine" and kind.__module__ == "builtins":
        return "coroutine"
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
