"""Annotations and classes of the standard library, by the names that both sides know them by.

Nothing is evaluated from text where the tests run: what `typing.get_type_hints` says of a function of the program is found out
over there, and put together here from names of a few modules.
"""

import importlib
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from rrtf.judge.wire import Violation

_MODULES = frozenset({"typing", "collections", "collections.abc", "decimal", "fractions", "datetime", "numbers", "enum"})
_MODULES |= {"pathlib", "uuid", "re"}
_GENERIC = (types.GenericAlias, types.UnionType)
_HARMLESS = re.compile(r"[\w\s.,\[\]|]*")  # text of an annotation that calls nothing, should tests evaluate it


def described(value: Any, pack: Callable[[Any], Any]) -> Any:
    """A class or generic type by its names; None for what is neither."""
    if value is type(None):
        return {"ty": ["none"]}
    if isinstance(value, type) and not isinstance(value, _GENERIC):
        known = _named(value.__module__, value.__name__) is value and not issubclass(value, type)
        return {"ty": ["name", value.__module__, value.__name__]} if known else None
    if not isinstance(value, _GENERIC) and type(value).__module__ != "typing":
        return None
    name = getattr(value, "_name", None)
    if name and _named("typing", name) is value:  # Any, and List without what it is a list of
        return {"ty": ["name", "typing", name]}
    origin = typing.get_origin(value)
    if origin is None or origin is getattr(typing, "Annotated", None):
        return None
    if origin is not typing.Literal and any(type(argument) is str for argument in typing.get_args(value)):
        return None  # it would be code
    arguments = [pack(argument) for argument in typing.get_args(value)]
    if origin in (typing.Union, types.UnionType):
        return {"ty": ["any", isinstance(value, types.UnionType), arguments]}
    if name:
        return {"ty": ["of", {"ty": ["name", "typing", name]}, arguments]}
    of = pack(origin)  # one that the program made stays there, and so does what is made of it
    return {"ty": ["of", of, arguments]} if {"ty", "bi"} & set(of) else None


def _named(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None) if module in _MODULES else None


def made(content: list[Any], unpack: Callable[[Any], Any]) -> Any:
    """What was described; raises Violation for what no sender of ours writes."""
    sort, *parts = content
    if sort == "none":
        return type(None)
    if sort == "name":
        return _class(*parts)
    bar, packed = (parts[0], parts[1]) if sort == "any" else (None, parts[1])
    arguments = tuple(unpack(part) for part in packed)
    origin = typing.Union if sort == "any" else unpack(parts[0])
    if origin is not typing.Literal and any(type(argument) is str for argument in arguments):
        raise Violation("a type that is text")
    if bar:
        return _either(arguments)
    if not issubclass(type(origin), type) and type(origin).__module__ != "typing":  # a proxy only says that it is a class
        raise Violation("a generic type of no known kind")
    return origin[arguments if len(arguments) != 1 else arguments[0]]


def _class(module: str, name: str) -> Any:
    found = getattr(importlib.import_module(module), name, None) if module in _MODULES and name[:1] != "_" else None
    if (
        not isinstance(found, type)
        and type(found).__module__ != "typing"
        or (isinstance(found, type) and issubclass(found, type))
    ):
        raise Violation(f"{name!r} of {module!r}")
    return found


def _either(options: tuple[Any, ...]) -> Any:
    found = options[0]
    for option in options[1:]:
        found = found | option
    return found


def hints(target: Any, extras: bool) -> Any:
    """Asked of the program's process."""
    return typing.get_type_hints(target, include_extras=extras)


def safe(annotations: Any) -> Any:
    """Annotations as they stand in the program, but for text that tests had better not evaluate."""
    if type(annotations) is not dict or any(type(v) is str and not _HARMLESS.fullmatch(v) for v in annotations.values()):
        raise AttributeError("__annotations__")
    return annotations


def watch_hints(proxy: type) -> None:
    """In the tests' process, once: what a `proxy` stands for is asked about its own annotations."""
    known: Any = typing.get_type_hints
    if hasattr(known, "_rrtf_watched"):
        return

    def get_type_hints(obj: Any, globalns: Any = None, localns: Any = None, include_extras: bool = False) -> Any:
        if isinstance(obj, proxy):
            return obj._rrtf_do("hints", include_extras)  # type: ignore[attr-defined]
        return known(obj, globalns, localns, include_extras)

    get_type_hints._rrtf_watched = True  # type: ignore[attr-defined]
    typing.get_type_hints = get_type_hints
