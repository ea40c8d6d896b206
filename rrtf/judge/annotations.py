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
        return {"ty": ["name", value.__module__, value.__name__]} if _named(value.__module__, value.__name__) is value else None
    if not isinstance(value, _GENERIC) and type(value).__module__ != "typing":
        return None
    name = getattr(value, "_name", None)
    if name and _named("typing", name) is value:  # Any, and List without what it is a list of
        return {"ty": ["name", "typing", name]}
    origin = typing.get_origin(value)
    if origin is None or origin is getattr(typing, "Annotated", None):
        return None
    arguments = [pack(argument) for argument in typing.get_args(value)]
    if origin in (typing.Union, types.UnionType):
        return {"ty": ["any", isinstance(value, types.UnionType), arguments]}
    of = {"ty": ["name", "typing", name]} if name else pack(origin)
    return {"ty": ["of", of, arguments]}


def _named(module: str, name: str) -> Any:
    return getattr(sys.modules.get(module), name, None) if module in _MODULES else None


def made(content: list[Any], unpack: Callable[[Any], Any]) -> Any:
    """What was described; raises Violation for what no sender of ours writes."""
    sort, *parts = content
    if sort == "none":
        return type(None)
    if sort == "name":
        if parts[0] not in _MODULES:
            raise Violation(f"a class of {parts[0]!r}")
        return getattr(importlib.import_module(parts[0]), str(parts[1]))
    if sort == "any":
        return _either(parts[0], [unpack(part) for part in parts[1]])
    origin, arguments = unpack(parts[0]), tuple(unpack(part) for part in parts[1])
    if type(origin) is not type and getattr(origin, "__module__", None) not in _MODULES:
        raise Violation("a generic type of no known kind")
    return origin[arguments if len(arguments) != 1 else arguments[0]]


def _either(bar: bool, options: list[Any]) -> Any:
    if not bar:
        return typing.Union[tuple(options)]  # noqa: UP007 - made at run time
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
