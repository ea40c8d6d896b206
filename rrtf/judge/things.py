"""What stands in the tests for the candidate's objects, functions, classes and iterators.

A proxy turns a use into a request to the program's process. It never lets the candidate decide a comparison with a value of
the tests: `==` against anything but another object of the candidate is False. One object over there is one proxy here, so
`is` means what it means in one process.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import make_dataclass
from types import AsyncGeneratorType, FunctionType, MethodType
from typing import Any

from rrtf.judge import annotations, signatures
from rrtf.judge.iterated import Iterated
from rrtf.judge.trusted import Unsupported, raised_here
from rrtf.judge.wire import Violation

# names with underscores that reach the program; Python asks proxies for many others by itself
_ASKED = frozenset({"__name__", "__qualname__", "__wrapped__", "__members__", "__version__"})
_ASKED |= {"__defaults__", "__kwdefaults__", "__code__", "__func__", "__self__", "__mro__", "__bases__", "__flags__"}
_ASKED |= {"__abstractmethods__", "__subclasses__"}

at_hand: Any = None  # the remote of the program that is judged, for what was pickled


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
    def __dict__(self) -> Any:  # type: ignore[override]
        found = self._rrtf_do("get", "__dict__")
        return {k: v for k, v in found.items() if not k.startswith("__")} if type(found) is dict else found

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

    def __reduce_ex__(self, protocol: Any) -> Any:
        if type(data := self._rrtf_do("pickle", int(protocol))) is not bytes:
            raise TypeError(f"a {self._rrtf_name} of the program can't be pickled")
        return restored, (data,)

    def __dir__(self) -> Any:
        return self._rrtf_do("dir")

    def __enter__(self) -> Any:
        return self._rrtf_do("enter")

    def __exit__(self, _: Any, error: Any, trace: Any) -> bool:
        return _hides(self._rrtf_do("exit", *([error] if isinstance(error, Exception) else [])), error)

    def __aiter__(self) -> Any:
        return self._rrtf_do("aiter")

    async def __anext__(self) -> Any:
        if more := await self._rrtf_do("anext"):
            return more[0]
        raise StopAsyncIteration

    async def __aenter__(self) -> Any:
        return await self._rrtf_do("aenter")

    async def __aexit__(self, _: Any, error: Any, trace: Any) -> bool:
        return _hides(await self._rrtf_do("aexit", *([error] if isinstance(error, Exception) else [])), error)

    def __repr__(self) -> str:
        return str(self._rrtf_do("repr"))


def restored(data: Any) -> Any:
    """A pickled object of the program, made anew over there."""
    return at_hand.call("unpickle", data)


def _hides(says: Any, error: Any) -> bool:
    return bool(says) and raised_here(error)


def _forward(operation: str) -> Any:
    return lambda self, *arguments: self._rrtf_do(operation, *arguments)


def _forward_between(operation: str) -> Any:
    """Only between two objects of the candidate, unless the class that is asked for defines it: answers stay here."""

    def operate(self: Thing, other: Any) -> Any:
        asked = operation.strip("_") in self._rrtf.operators or self._rrtf_handle in self._rrtf.tested
        if isinstance(other, Thing) or asked:
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

    @property
    def __signature__(self) -> Any:
        return signatures.made(self._rrtf_do("signature"))

    @property
    def __annotations__(self) -> Any:  # type: ignore[override]
        return annotations.safe(self._rrtf_do("get", "__annotations__"))

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<the program's {self._rrtf_name}>"


class Class(Function):
    """A class of the candidate: calling it makes an object over there, `isinstance` asks over there."""

    __class__ = type  # type: ignore[assignment]

    def __new__(cls, remote: Any, *parts: Any) -> Any:  # noqa: D102
        return _subclass(remote, *parts) if isinstance(remote, str) else super().__new__(cls)

    def __init__(self, remote: Any, *parts: Any) -> None:
        if not isinstance(remote, str):
            super().__init__(remote, *parts)

    def __eq__(self, other: object) -> bool:
        """Also to the type of its objects' proxies."""
        proxies = isinstance(other, type) and not isinstance(other, Thing) and issubclass(other, Thing)
        return other.__name__ == self._rrtf_name if proxies else super().__eq__(other)  # type: ignore[attr-defined]

    __hash__ = Thing.__hash__

    def __instancecheck__(self, instance: Any) -> bool:
        thing = instance._rrtf_thing if isinstance(instance, Iterated) else instance
        if isinstance(instance, tuple) and type(instance).__name__ == self._rrtf_name and hasattr(instance, "_fields"):
            return bool(instance._fields == self._rrtf_do("get", "_fields"))
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


class _Kind(type):
    """The class of classes: calling one, as `dataclasses.replace` does, makes an object of the program like its first one."""

    def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
        return cls._rrtf_first._rrtf_do("get", "__class__")(*arguments, **keywords)  # type: ignore[attr-defined]


class Fields(Thing, metaclass=_Kind):
    """A dataclass of the candidate; equal to a dataclass of the tests that has its name and equal fields."""

    _rrtf_fields: tuple[str, ...]

    def __eq__(self, other: object) -> bool:
        known = getattr(type(other), "__dataclass_fields__", None)
        if isinstance(other, Thing) or known is None or type(other).__name__ != self._rrtf_name:
            return super().__eq__(other)
        return set(known) == set(self._rrtf_fields) and all(getattr(self, name) == getattr(other, name) for name in known)

    __hash__ = Thing.__hash__


class Defined(Function):
    """One that a `def` made, and says so."""

    __class__ = FunctionType  # type: ignore[assignment]


class Method(Function):
    """One of an object, and says so."""

    __class__ = MethodType  # type: ignore[assignment]


class AsyncGenerated(Thing):
    """An asynchronous generator, which says so."""

    __class__ = AsyncGeneratorType  # type: ignore[assignment]


class AsyncFunction(Defined):
    """One that says it is a coroutine function."""

    @property
    def _is_coroutine(self) -> Any:
        return sys.modules["asyncio.coroutines"]._is_coroutine  # loaded where this is asked

    @property
    def _is_coroutine_mark(self) -> Any:
        return sys.modules["inspect"]._is_coroutine_mark  # of Python 3.12


for _kind in (Thing, Function, Defined, Method, AsyncFunction, AsyncGenerated, Class, Fields):
    _kind.__doc__ = Thing._rrtf_doc  # type: ignore[assignment]


_SORTS: dict[str, type[Thing]] = {"class": Class, "function": Function, "def": Defined, "method": Method}
_SORTS |= {"async function": AsyncFunction, "async generator": AsyncGenerated}
# of regular expressions, which say so
_SORTS |= {n: type(n, (Thing,), {"__class__": getattr(re, n), "__doc__": Thing._rrtf_doc}) for n in ("Pattern", "Match")}


def make(remote: Any, handle: int, name: str, sort: str, fields: list[str]) -> Any:
    """The proxy of an object that the program describes; its type has the name of the object's own."""
    if sort == "fields":
        kind: Any = _named(remote, Fields, name, fields)
        made: Any = object.__new__(kind)  # calling it makes an object of the program
        Thing.__init__(made, remote, handle, name)
        if not hasattr(kind, "_rrtf_first"):
            kind._rrtf_first = made
        object.__setattr__(made, "_rrtf_fields", tuple(fields))
        return made
    if sort == "class" and fields:
        return _named(remote, Class, "Class", fields)(remote, handle, name)
    return (_SORTS.get(sort) or _named(remote, Thing, name, []))(remote, handle, name)


def _named(remote: Any, base: type[Thing], name: str, fields: list[str]) -> type[Thing]:
    """The proxies' class of that name, with what `asdict` and `fields` look at."""
    place = (base, name, *fields)
    if any(field.startswith(("__", "_rrtf")) for field in fields):  # the proxies' own
        raise Violation("fields that no dataclass has")
    if place not in remote.kinds:
        members: dict[str, Any] = {"__doc__": Thing._rrtf_doc}
        if fields:
            members["__dataclass_fields__"] = make_dataclass(name, fields).__dataclass_fields__  # type: ignore[attr-defined]
        remote.kinds[place] = _Kind(name, (base,), members) if base is Fields else type(name, (base,), members)
    kind: type[Thing] = remote.kinds[place]
    return kind
