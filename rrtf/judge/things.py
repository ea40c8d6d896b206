"""What stands in the tests for the candidate's objects, functions, classes and iterators.

A proxy turns a use into a request to the program's process. It never lets the candidate decide a comparison with a value of
the tests: `==` against anything but another object of the candidate is False. One object over there is one proxy here, so
`is` means what it means in one process.
"""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import make_dataclass
from opcode import opmap
from types import GeneratorType
from typing import Any

from rrtf.judge.trusted import TESTS, Unsupported
from rrtf.judge.wire import Violation

# items asked for at once where all are wanted; a loop asks for one at a time until it has had twice as many
CHUNK = 256
# names with underscores that reach the program; Python asks proxies for many others by itself
_ASKED = frozenset({"__name__", "__qualname__", "__wrapped__", "__members__", "__version__"})


RAISE = opmap["RAISE_VARARGS"]


class Thing:
    """An object that stays in the candidate's process."""

    def __init__(self, remote: Any, handle: int, name: str) -> None:
        object.__setattr__(self, "_rrtf", remote)
        object.__setattr__(self, "_rrtf_handle", handle)
        object.__setattr__(self, "_rrtf_name", name)

    def _rrtf_do(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        return self._rrtf.call(operation, self, *arguments, **keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _ASKED:
            raise AttributeError(name)
        return self._rrtf_do("get", name)

    @property
    def _rrtf_doc(self) -> Any:
        return self._rrtf_do("get", "__doc__")

    def __setattr__(self, name: str, value: Any) -> None:
        self._rrtf_do("set", name, value)

    def __delattr__(self, name: str) -> None:
        self._rrtf_do("del", name)

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

    def __copy__(self) -> Any:
        return self._rrtf_do("copy")

    def __deepcopy__(self, _: Any) -> Any:
        return self._rrtf_do("deepcopy")

    def __enter__(self) -> Any:
        return self._rrtf_do("enter")

    def __exit__(self, _: Any, error: Any, trace: Any) -> bool:
        hides = bool(self._rrtf_do("exit", *([error] if isinstance(error, Exception) else [])))
        return hides and _raised_here(error)

    def __repr__(self) -> str:
        return str(self._rrtf_do("repr"))


def _raised_here(error: Any) -> bool:
    """Whether a `raise` of the tests raised it: an object of the program may take that for handled, but never a failure."""
    step = getattr(error, "__traceback__", None)
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    if step is None or isinstance(error, AssertionError) or hasattr(error, "_rrtf_theirs"):
        return False
    code = step.tb_frame.f_code
    return code.co_filename == TESTS and code.co_code[step.tb_lasti] == RAISE


def _forward(operation: str) -> Any:
    return lambda self, *arguments: self._rrtf_do(operation, *arguments)


def _forward_between(operation: str) -> Any:
    """Only between two objects of the candidate, unless the class that the problem asks for defines it: answers stay here."""

    def operate(self: Thing, other: Any) -> Any:
        if isinstance(other, Thing) or operation.strip("_") in self._rrtf.operators:
            return self._rrtf_do(operation, other)
        raise TypeError(f"{operation} between a {self._rrtf_name} of the program and a {type(other).__name__}")

    return operate


for _name in ("len", "bool", "str", "getitem", "setitem", "delitem", "neg", "pos", "invert", "abs", "index", "reversed"):
    setattr(Thing, f"__{_name}__", _forward(_name))
for _name in ("int", "float", "complex", "round", "format", "trunc", "floor", "ceil"):
    setattr(Thing, f"__{_name}__", _forward(_name))
for _name in ("contains", "lt", "le", "gt", "ge"):
    setattr(Thing, f"__{_name}__", _forward_between(_name))
ARITHMETIC = (
    *("add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "and_", "or_", "xor"),
    *("lshift", "rshift"),
)
for _name in ARITHMETIC:
    _bare = _name.strip("_")
    for _method in (_name, f"r{_bare}", *([f"i{_bare}"] if _name != "divmod" else [])):
        setattr(Thing, f"__{_method.strip('_')}__", _forward_between(_method))


class Function(Thing):
    """A function, bound method or other callable of the candidate."""

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<the program's {self._rrtf_name}>"


class Class(Function):
    """A class of the candidate: calling it makes an object over there, `isinstance` asks over there."""

    def __new__(cls, remote: Any, *parts: Any) -> Any:  # noqa: D102
        return _subclass(remote, *parts) if isinstance(remote, str) else super().__new__(cls)

    def __init__(self, remote: Any, *parts: Any) -> None:
        if not isinstance(remote, str):
            super().__init__(remote, *parts)

    def __eq__(self, other: object) -> bool:
        """Also to the type of its objects' proxies."""
        proxies = isinstance(other, type) and issubclass(other, Thing)
        return other.__name__ == self._rrtf_name if proxies else super().__eq__(other)  # type: ignore[attr-defined]

    __hash__ = Thing.__hash__

    def __instancecheck__(self, instance: Any) -> bool:
        thing = instance._rrtf_thing if isinstance(instance, Iterated) else instance
        return isinstance(thing, Thing) and bool(self._rrtf.call("isinstance", thing, self))

    def __subclasscheck__(self, kind: Any) -> bool:
        return isinstance(kind, Class) and bool(self._rrtf.call("issubclass", kind, self))


def _subclass(name: str, bases: tuple[Any, ...], members: dict[str, Any]) -> Any:
    """A class that the tests derive from one of the program lives over there; its methods run here, on proxies."""
    if "__classcell__" in members:
        raise Unsupported(f"the tests' class {name} calls super() of a class of the program, which is not supported")
    remote = next(base._rrtf for base in bases if isinstance(base, Class))
    kept = {key: value for key, value in members.items() if key not in ("__module__", "__qualname__")}
    return remote.call("subclass", name, list(bases), kept)


class Fields(Thing):
    """A dataclass of the candidate; equal to a dataclass of the tests that has its name and equal fields."""

    _rrtf_fields: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        known = getattr(type(other), "__dataclass_fields__", None)
        if isinstance(other, Thing) or known is None or type(other).__name__ != self._rrtf_name:
            return super().__eq__(other)
        return set(known) == set(self._rrtf_fields) and all(getattr(self, name) == getattr(other, name) for name in known)

    __hash__ = Thing.__hash__


class Awaited(Thing):
    """A coroutine of the candidate: awaiting it runs it to its end over there."""

    def send(self, _: Any) -> Any:
        """What an event loop calls first; the program's process has a loop of its own."""
        raise StopIteration(self._rrtf_do("run"))

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._rrtf_do("run")
        yield

    def throw(self, error: BaseException, *_: Any) -> Any:
        """As an event loop does when it ends."""
        raise error

    def close(self) -> None:
        """As an event loop does at last."""


class Iterated:
    """An iterator of the candidate. By declared rule it also equals the list (or tuple) of its items.

    Items are asked for one by one, for the next one may take for ever and nobody want it; a long loop asks for a few at once.
    `thing` is the iterator itself, where it can still be asked, for what it has beside items.
    """

    def __init__(self, items: list[Any], thing: Thing | None) -> None:
        self._rrtf_thing = thing
        self._items = deque(items)
        self._taken = 0
        self._whole = False

    def __iter__(self) -> "Iterated":
        return self

    def __next__(self) -> Any:
        if not self._items and self._rrtf_thing is not None:
            more = self._rrtf_thing._rrtf_do("next", CHUNK if self._whole else 1 + self._taken // (2 * CHUNK))
            if type(more) is not list:
                raise Violation("an iterator's items must be a list")
            self._items.extend(more)
        if not self._items:
            raise StopIteration
        self._taken += 1
        return self._items.popleft()

    def __getattr__(self, name: str) -> Any:
        if self._rrtf_thing is None or name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._rrtf_thing, name)

    def __length_hint__(self) -> int:
        """Asked by list, tuple and sorted, which want all items: from here on they come in larger parts."""
        self._whole = True
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        kind: Any = type(other)
        return kind in (list, tuple, set, frozenset) and bool(kind(self) == other)

    __hash__ = object.__hash__

    def rest(self) -> Any:
        """What to pass to the program for it: the iterator itself, or the items that are still to come."""
        return list(self) if self._items or self._rrtf_thing is None else self._rrtf_thing


class Generated(Iterated):
    """A generator of the candidate, which says so."""

    __class__ = GeneratorType  # type: ignore[assignment]


for _kind in (Thing, Function, Class, Fields, Awaited):
    _kind.__doc__ = Thing._rrtf_doc  # type: ignore[assignment]


def make(remote: Any, handle: int, name: str, sort: str, fields: list[str]) -> Thing:
    """The proxy of an object that the program describes; its type has the name of the object's own."""
    if sort == "fields":
        made: Thing = _named(remote, Fields, name)(remote, handle, name)
        object.__setattr__(made, "_rrtf_fields", tuple(fields))
        kind: Any = type(made)
        if not hasattr(kind, "__dataclass_fields__"):  # what `asdict` and `fields` look at
            kind.__dataclass_fields__ = make_dataclass(name, fields).__dataclass_fields__  # type: ignore[attr-defined]
        return made
    sorts: dict[str, type[Thing]] = {"class": Class, "function": Function, "coroutine": Awaited}
    return (sorts.get(sort) or _named(remote, Thing, name))(remote, handle, name)


def _named(remote: Any, base: type[Thing], name: str) -> type[Thing]:
    if (base, name) not in remote.kinds:
        remote.kinds[base, name] = type(name, (base,), {"__doc__": Thing._rrtf_doc})
    kind: type[Thing] = remote.kinds[base, name]
    return kind
