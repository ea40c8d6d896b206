"""What stands in the tests for the candidate's functions, classes and objects.

A proxy turns a use into a request and the reply into a plain value. It never lets the candidate decide a comparison with a
value of the tests: `==` against anything but another object of the candidate is False.
"""

import builtins
from collections.abc import Iterator
from typing import Any

from rrtf.judge import wire
from rrtf.judge.exchange import Classes, Inbox, Outbox
from rrtf.judge.fields import Fields as Fields
from rrtf.judge.run import Gone, Run
from rrtf.judge.wire import Unsendable, Violation

_SCALARS = frozenset({int, float, str, bool, type(None), bytes, complex})


class Remote:
    """One candidate as the tests see it: makes proxies and carries their calls."""

    def __init__(self, classes: Classes, *, arrays: bool, operators: bool) -> None:
        self.run: Run | None = None
        self.operators = operators
        self.starved = self.full = False
        self._classes, self._arrays = classes, arrays
        self._functions: list[Any] = []

    def chunk(self, calls: list[Any]) -> bytes:
        """Several argument lists of plain values, packed once for every candidate to come."""
        outbox = Outbox(Classes({}), wire.refuse)
        return wire.dumps([outbox.pack(list(arguments)) for arguments in calls])

    def ask_many(self, function: "Function", chunk: bytes) -> None:
        """Send a chunk of calls at once; `next_answer` gives their results in order."""
        assert self.run is not None
        self.run.send(b'{"many":%d,"calls":%b}' % (function._rrtf_handle, chunk))

    def next_answer(self) -> Any:
        """The next result of `ask_many`; what a candidate does to its copies of the arguments stays there."""
        assert self.run is not None
        return self._received(self.run.reply(), [], {}, [])

    def call(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        """Ask the candidate's process to do `operation`; raises what it raised, as the nearest builtin exception."""
        if self.run is None:
            raise Gone("the program is not running")
        outbox = Outbox(self._classes, self._own)
        packed = outbox.pack(list(arguments))
        named = {name: outbox.pack(value) for name, value in keywords.items()}
        # a handle changes where it lives; asking for it back would draw from an iterator a second time
        given = (value for value in (*arguments, *keywords.values()) if not isinstance(value, Thing))
        mutable = any(type(value) not in _SCALARS for value in given)
        request = {"op": operation, "a": packed, "k": named, "o": outbox.table(), "mutable": mutable}
        return self._received(self.run.ask(request), list(arguments), keywords, outbox.objects)

    def _received(self, reply: dict[str, Any], arguments: list[Any], keywords: dict[str, Any], objects: list[Any]) -> Any:
        assert self.run is not None
        if "raised" in reply:
            raise self._exception(reply["raised"])
        try:
            return self._result(reply, arguments, keywords, objects)
        except (Unsendable, Gone):
            raise
        except Exception as error:  # rebuilding a forged value can fail in any way; an honest runtime's values never do
            raise self.run.stop("violation", f"the program wrote to the result channel: {error}") from None

    def _result(self, reply: dict[str, Any], arguments: list[Any], keywords: dict[str, Any], objects: list[Any]) -> Any:
        inbox = Inbox(self._classes, self.accept, arrays=self._arrays)
        inbox.load_table(reply["o"], objects)
        if "a" in reply:
            graft(arguments, inbox.unpack(reply["a"]))
            graft(keywords, {name: inbox.unpack(value) for name, value in reply["k"].items()})
        return arguments[reply["same"]] if "same" in reply else inbox.unpack(reply["value"])

    def _exception(self, raised: list[Any]) -> BaseException:
        names, text, number = [str(name) for name in raised[0]] or ["Exception"], str(raised[1]), raised[3]
        self.starved |= "MemoryError" in names
        self.full |= number in (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT
        for name in names:
            kind = getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, BaseException) and name not in _CONTROL:
                return _made(kind, text if name == names[0] else f"{names[0]}: {text}")
        return RuntimeError(f"{names[0]}: {text}")

    def _own(self, value: Any) -> Any:
        """What stands for a value that only a handle can carry to the candidate."""
        if isinstance(value, Thing):
            return {"h": value._rrtf_handle}
        if isinstance(value, Iterated):
            return Outbox(self._classes, self._own).pack(list(value))
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and getattr(builtins, name, None) is value:
            return {"bi": name}
        if callable(value) and not isinstance(value, type):
            self._functions.append(value)
            return {"cb": len(self._functions) - 1}
        raise Unsendable(f"the tests pass a {type(value).__name__}, which can't be sent")

    def value(self, packed: Any) -> Any:
        """A value that the program's runtime described outside a call; a forged one ends the program (Gone)."""
        assert self.run is not None
        try:
            return Inbox(self._classes, self.accept, arrays=self._arrays).unpack(packed)
        except Exception as error:  # as in `_received`
            raise self.run.stop("violation", f"the program wrote to the result channel: {error}") from None

    def callback(self, message: dict[str, Any]) -> dict[str, Any]:
        """The candidate calls a function that the tests passed to it."""
        try:
            arguments = Inbox(self._classes, self.accept, arrays=self._arrays).unpack(message["a"])
            result = self._functions[message["callback"]](*arguments)
            return {"value": Outbox(self._classes, self._own).pack(result)}
        except Exception as error:
            return {"raised": [type(error).__name__, str(error)[:500]]}

    def accept(self, tag: str, content: Any) -> Any:
        """Values of the candidate that have their own rule: handles, iterators, dataclasses."""
        if tag == "h":
            handle, name, sort = content
            kind = {"class": Class, "function": Function}.get(sort, Thing)
            return kind(self, int(handle), str(name))
        if tag == "g":
            items, rest = content
            inbox = Inbox(self._classes, self.accept, arrays=self._arrays)
            return Iterated(self, [inbox.unpack(item) for item in items], rest)
        if tag == "k":
            name, fields = content
            inbox = Inbox(self._classes, self.accept, arrays=self._arrays)
            return Fields(str(name), {str(key): inbox.unpack(value) for key, value in fields.items()})
        if tag == "bi" and isinstance(getattr(builtins, str(content), None), type):
            return getattr(builtins, content)
        raise Violation(f"the unknown tag {tag!r}")


def _made(kind: type[BaseException], text: str) -> BaseException:
    try:
        return kind(text)
    except TypeError:  # UnicodeDecodeError and the like want more arguments
        return RuntimeError(f"{kind.__name__}: {text}")


# exceptions that steer Python itself: raised by the program they must not end a loop or a process of the tests
# items asked for at once where all are wanted; a loop asks for one at a time until it has had twice as many
CHUNK = 256
_CONTROL = frozenset(
    {"StopIteration", "StopAsyncIteration", "GeneratorExit", "SystemExit", "KeyboardInterrupt", "BaseException"}
)


def graft(mine: Any, theirs: Any) -> None:
    """Write what the candidate did to its copy of an argument into the tests' own object, keeping inner identities."""
    if type(mine) is list and type(theirs) is list:
        mine[:] = [_grafted(mine[i] if i < len(mine) else None, item) for i, item in enumerate(theirs)]
    elif type(mine) is dict and type(theirs) is dict:
        kept = {key: _grafted(mine.get(key), value) for key, value in theirs.items()}
        mine.clear()
        mine.update(kept)
    elif type(mine) is set and type(theirs) is set:
        mine.clear()
        mine.update(theirs)
    elif type(mine) is bytearray and type(theirs) is bytearray:
        mine[:] = theirs


def _grafted(mine: Any, theirs: Any) -> Any:
    if type(mine) is type(theirs) and type(mine) in (list, dict, set, bytearray):
        graft(mine, theirs)
        return mine
    if type(mine) is tuple and type(theirs) is tuple and len(mine) == len(theirs):
        return tuple(_grafted(a, b) for a, b in zip(mine, theirs, strict=True))
    return theirs


class Thing:
    """An object that stays in the candidate's process."""

    def __init__(self, remote: Remote, handle: int, name: str) -> None:
        object.__setattr__(self, "_rrtf", remote)
        object.__setattr__(self, "_rrtf_handle", handle)
        object.__setattr__(self, "_rrtf_name", name)

    def _rrtf_do(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        return self._rrtf.call(operation, self, *arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__name__":
            raise AttributeError(name)
        return self._rrtf_do("get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._rrtf_do("set", name, value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: D102
        return self._rrtf_do("call", *arguments, **keywords)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and (other._rrtf_handle == self._rrtf_handle or bool(self._rrtf_do("eq", other)))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return int(self._rrtf_do("hash"))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rrtf_do("iter"))

    def __enter__(self) -> Any:
        return self._rrtf_do("enter")

    def __exit__(self, *_: Any) -> None:
        self._rrtf_do("exit")

    def __repr__(self) -> str:
        return str(self._rrtf_do("repr"))


def _forward(operation: str) -> Any:
    return lambda self, *arguments: self._rrtf_do(operation, *arguments)


def _forward_between(operation: str) -> Any:
    """Only between two objects of the candidate, unless a class is what the problem asks for: an expected value stays here."""

    def operate(self: Thing, other: Any) -> Any:
        if isinstance(other, Thing) or self._rrtf.operators:
            return self._rrtf_do(operation, other)
        raise TypeError(f"{operation} between a {self._rrtf_name} of the program and a {type(other).__name__}")

    return operate


for _name in ("len", "bool", "str", "getitem", "setitem", "delitem", "neg", "abs", "index"):
    setattr(Thing, f"__{_name}__", _forward(_name))
for _name in ("contains", "lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"):
    setattr(Thing, f"__{_name}__", _forward_between({"and": "and_", "or": "or_"}.get(_name, _name)))


class Function(Thing):
    """A function, bound method or other callable of the candidate."""

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<the program's {self._rrtf_name}>"


class Class(Function):
    """A class of the candidate: calling it makes an object over there, `isinstance` asks over there."""

    def __instancecheck__(self, instance: Any) -> bool:
        if isinstance(instance, Fields):
            return bool(instance._name == self._rrtf_name)
        return type(instance) is Thing and bool(self._rrtf.call("isinstance", instance, self))


class Iterated:
    """An iterator of the candidate. By declared rule it also equals the list (or tuple) of its items.

    Items are asked for one by one, for the next one may take for ever and nobody want it; a long loop asks for a few at once.
    """

    def __init__(self, remote: Remote, items: list[Any], rest: int | None) -> None:
        self._remote, self._items, self._rest, self._next = remote, items, rest, 0
        self._whole = False

    def __iter__(self) -> "Iterated":
        return self

    def __next__(self) -> Any:
        if self._next == len(self._items) and self._rest is not None:
            count = CHUNK if self._whole else max(1, len(self._items) // CHUNK)
            more = self._remote.call("next", Thing(self._remote, self._rest, "iterator"), count)
            if type(more) is not list:
                raise Violation("an iterator's items must be a list")
            self._items += more
            if len(more) < count:
                self._rest = None
        if self._next >= len(self._items):
            raise StopIteration
        self._next += 1
        return self._items[self._next - 1]

    def __length_hint__(self) -> int:
        """Asked by list, tuple and sorted, which want all items: from here on they come in larger parts."""
        self._whole = True
        return len(self._items) - self._next

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Iterated):
            return self is other
        kind: Any = type(other)
        return kind in (list, tuple, set, frozenset) and bool(kind(self) == other)

    __hash__ = object.__hash__
