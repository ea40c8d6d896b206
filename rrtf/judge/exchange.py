"""What may cross beside the plain types of `wire`, by declared rule; the same on both sides.

returned or passed                          arrives as
list, dict that contains itself             itself
subclass of int, float, str, bytes, list,   its base value (what the subclass overrides does not travel)
  dict, set, tuple; enum members of these
Counter, OrderedDict, defaultdict, deque    themselves
Decimal, Fraction, date and time, range,    themselves, from their text or numbers
  UUID, path, slice, StringIO and the like
read-only view of a dict                    itself
object of the standard library that both    a stand-in (from the tests only) with the methods that `common` names
  work on: queue, lock, stream, generator
  of random numbers
class or type of the standard library       itself, by its name
numpy scalar, array                         themselves where the tests use numpy, else the Python number; no array
named tuple                                 a named tuple with the same fields
dataclass                                   a handle that is equal to a dataclass of that name with equal fields
instance of a class the problem defines     the tests' own class with the same attributes, links and cycles kept
generator, map, zip and other iterators     an iterator, also equal to the list of its items
coroutine, what else can be awaited         something to await; its event loop turns when the tests' loop does
exception of the standard library           itself
class, function, any other object           a handle: calls and attributes go back to the candidate's process
exception class                             a class of that name, to catch it by
function of the standard library, passed    itself, by its name
function, iterator, object with methods,    a stand-in that asks the tests' process (see `lending`)
  class or coroutine of the tests
"""

import collections
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from types import EllipsisType, MappingProxyType, NotImplementedType
from typing import Any

from rrtf.judge import wire
from rrtf.judge.knots import Knot, Knots
from rrtf.judge.wire import Deep, Unsendable, Violation

_ACTUAL: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (bool, bool),
    (int, lambda v: int.__add__(v, 0)),
    (float, float.__float__),
    (str, lambda v: str.__getitem__(v, slice(None))),
    (bytes, lambda v: bytes.__getitem__(v, slice(None))),
    (bytearray, lambda v: bytearray(bytearray.__getitem__(v, slice(None)))),
    (tuple, lambda v: tuple(tuple.__iter__(v))),
    (list, lambda v: list(list.__iter__(v))),
    (dict, lambda v: dict(dict.items(v))),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
)
# by module and name, so that none of these modules is loaded before somebody uses it
TEXTUAL: dict[tuple[str, str], Callable[[Any], list[Any]]] = {
    ("decimal", "Decimal"): lambda v: [str(v)],
    ("fractions", "Fraction"): lambda v: [v.numerator, v.denominator],
    ("uuid", "UUID"): lambda v: [str(v)],
    ("pathlib", "PosixPath"): lambda v: [str(v)],
    ("pathlib", "PurePosixPath"): lambda v: [str(v)],
    ("pathlib._local", "PosixPath"): lambda v: [str(v)],  # where Python 3.13 has them
    ("pathlib._local", "PurePosixPath"): lambda v: [str(v)],
    ("_io", "StringIO"): lambda v: [v.getvalue(), v.tell()],
    ("_io", "BytesIO"): lambda v: [v.getvalue(), v.tell()],
    ("datetime", "datetime"): lambda v: [v.isoformat()],
    ("datetime", "date"): lambda v: [v.isoformat()],
    ("datetime", "time"): lambda v: [v.isoformat()],
    ("datetime", "timedelta"): lambda v: [v.days, v.seconds, v.microseconds],
    ("builtins", "range"): lambda v: [v.start, v.stop, v.step],
    ("builtins", "slice"): lambda v: [v.start, v.stop, v.step],
    ("builtins", "memoryview"): lambda v: [v.tobytes()],
    ("collections", "deque"): lambda v: [list(v), v.maxlen],
    ("collections", "Counter"): lambda v: [dict(v)],
    ("collections", "OrderedDict"): lambda v: [list(v.items())],
    ("collections", "ChainMap"): lambda v: list(v.maps),
    ("collections", "UserDict"): lambda v: [v.data],
    ("collections", "UserList"): lambda v: [v.data],
    ("collections", "UserString"): lambda v: [v.data],
    ("array", "array"): lambda v: [v.typecode, v.tolist()],
    ("types", "SimpleNamespace"): lambda v: [dict(vars(v))],
    ("ipaddress", "IPv4Address"): lambda v: [str(v)],
    ("ipaddress", "IPv6Address"): lambda v: [str(v)],
    ("ipaddress", "IPv4Network"): lambda v: [str(v)],
    ("ipaddress", "IPv6Network"): lambda v: [str(v)],
    ("datetime", "timezone"): lambda v: list(v.__getinitargs__()),
    ("collections", "defaultdict"): lambda v: [v.default_factory, dict(v)],
}
_ARRAY_KINDS = "biufc"


class Classes:
    """The classes of a problem that both sides know by name; their instances travel by attributes, links kept."""

    def __init__(self, by_name: Mapping[str, type]) -> None:
        self.by_name = by_name
        self.names = {kind: name for name, kind in by_name.items()}


class Outbox:
    """Packs one message. `handle` packs what only a handle can stand for; `known` are objects the other side holds already."""

    def __init__(self, classes: Classes, handle: Callable[[Any], Any], known: Mapping[int, Any] | None = None) -> None:
        self._classes, self._handle = classes, handle
        self.objects: list[Any] = []
        self._index: dict[int, int] = {}
        for place, value in (known or {}).items():
            self._index[id(value)] = place
            self.objects.append(value)

    def pack(self, value: Any) -> Any:
        """The JSON value for `value`; raises Unsendable for what no rule covers."""
        try:
            return wire.pack(value, other=self.other)
        except Deep:
            return Knot(self.pack).pack(value)

    def table(self) -> list[Any]:
        """The attributes of every object met so far, in the order of their references; links may add more on the way."""
        rows = []
        place = 0
        while place < len(self.objects):
            value = self.objects[place]
            attributes = {name: self.pack(item) for name, item in _attributes(value).items()}
            rows.append([self._classes.names[type(value)], attributes])
            place += 1
        return rows

    def other(self, value: Any) -> Any:
        """The wire hook: every rule of this module's table, in order."""
        kind = type(value)
        if kind in self._classes.names:
            if id(value) not in self._index:
                self._index[id(value)] = len(self.objects)
                self.objects.append(value)
            return {"r": self._index[id(value)]}
        place = (kind.__module__, kind.__name__)
        if place in TEXTUAL and getattr(sys.modules.get(place[0]), place[1], None) is kind:
            return {"x": [*place, self.pack(TEXTUAL[place](value))]}
        if kind.__module__ == "numpy" and "numpy" in sys.modules:
            return self._numpy(value)
        if kind in (EllipsisType, NotImplementedType, MappingProxyType):
            return {"v": self.pack(dict(value))} if kind is MappingProxyType else {"z": [] if value is ... else [0]}
        if isinstance(value, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
            return {"n": [*_met(kind), self.pack(list(tuple.__iter__(value)))]}
        if isinstance(getattr(kind, "__dataclass_fields__", None), dict):
            return self._handle(value)
        for base, actual in _ACTUAL:
            if isinstance(value, base):
                return self.pack(actual(value))
        return self._handle(value)

    def _numpy(self, value: Any) -> Any:
        numpy = sys.modules["numpy"]
        if isinstance(value, numpy.generic):
            plain = self.pack(value.item())
            return {"q": [value.dtype.str, plain]} if value.dtype.kind in _ARRAY_KINDS else plain
        if type(value) is numpy.ndarray and value.dtype.kind in _ARRAY_KINDS:
            return {"a": [value.dtype.str, list(value.shape), self.pack(value.ravel().tolist())]}
        return self._handle(value)


class Inbox:
    """Unpacks one message; `handle` takes what is a handle, `arrays` says whether numpy arrays are welcome."""

    def __init__(self, classes: Classes, handle: Callable[[str, Any], Any], *, arrays: bool) -> None:
        self._classes, self._handle, self._arrays = classes, handle, arrays
        self.objects: list[Any] = []
        self._knots = Knots(self.unpack)

    def load_table(self, rows: list[Any], known: list[Any] | None = None) -> None:
        """Build the message's objects (the first ones are `known`, and only take the new attributes), then link them."""
        known = known or []
        for place, row in enumerate(rows):
            name, _ = row
            kind = self._classes.by_name.get(name)
            if kind is None:
                raise Violation(f"an object of the unknown class {name!r}")
            self.objects.append(known[place] if place < len(known) else object.__new__(kind))
        for value, (_, attributes) in zip(self.objects, rows, strict=True):
            for key, item in attributes.items():
                # copy.deepcopy and numpy call the first kind, with what lies beside the object; tests the second, with answers
                if key.startswith("__") or callable(getattr(type(value), key, None)):
                    raise Violation(f"an attribute {key!r}")
                object.__setattr__(value, key, self.unpack(item))

    def unpack(self, packed: Any) -> Any:
        """The value; raises Violation for what no sender of ours writes."""
        try:
            return wire.unpack(packed, other=self.other)
        except RecursionError:
            raise Violation("nested too deep") from None

    def other(self, packed: dict[str, Any]) -> Any:
        """The wire hook: the tags of `Outbox`."""
        ((tag, content),) = packed.items()
        if tag == "r":
            if type(content) is not int or not 0 <= content < len(self.objects):
                raise Violation("a reference to no object")
            return self.objects[content]
        if tag in ("k", "at"):
            return self._knots.whole(content) if tag == "k" else self._knots.row(content)
        if tag == "x":
            return _rebuild(content[0], content[1], self.unpack(content[2]))
        if tag == "n":
            return _named_tuple(content[0], tuple(content[1]))._make(self.unpack(content[2]))
        if tag == "a":
            return self._array(*content)
        if tag == "q":
            return self._number(*content)
        if tag == "z":
            return NotImplemented if content else ...
        if tag == "v":
            return MappingProxyType(dict(self.unpack(content)))
        return self._handle(tag, content)

    def _number(self, kind: str, packed: Any) -> Any:
        if not re.fullmatch(r"[<>=|][biufc]\d{1,2}", kind):
            raise Violation("a number of no known kind")
        value = self.unpack(packed)
        if not self._arrays:
            return value
        import numpy  # only where the tests already do

        return numpy.dtype(kind).type(value)

    def _array(self, kind: str, shape: list[int], items: Any) -> Any:
        if not self._arrays or kind[1:2] not in _ARRAY_KINDS:
            raise Unsendable("a numpy array (these tests don't use numpy)")
        import numpy  # only where the tests already do

        return numpy.array(self.unpack(items), dtype=kind).reshape(shape)


def _attributes(value: Any) -> dict[str, Any]:
    names = list(getattr(value, "__dict__", {}))
    for base in type(value).__mro__:
        slots = base.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    return {name: getattr(value, name) for name in names if not name.startswith("__") and hasattr(value, name)}


def _rebuild(module: str, name: str, parts: list[Any]) -> Any:
    if (module, name) not in TEXTUAL:
        raise Violation(f"the unknown type {module}.{name}")
    kind = getattr(importlib.import_module(module), name)
    if module == "_io":
        text, position = parts
        made = kind(text)
        made.seek(position)
        return made
    if name == "SimpleNamespace":
        return kind(**{key: value for key, value in parts[0].items() if not key.startswith("__")})
    return kind.fromisoformat(*parts) if name in ("datetime", "date", "time") else kind(*parts)


MADE = 1000  # classes of named tuples at a time
_made: dict[tuple[str, tuple[str, ...]], Any] = {}


def _met(kind: Any) -> tuple[str, list[str]]:
    """Name and fields of a class of named tuples; one that comes back is of this class."""
    if hasattr(kind, "_make") and len(_made) < MADE:
        _made[kind.__name__, kind._fields] = kind
    return kind.__name__, list(kind._fields)


def _named_tuple(name: str, fields: tuple[str, ...]) -> Any:
    if len(fields) > 100 or any(len(field) > 100 for field in fields):
        raise Violation("a named tuple with too many fields")
    if (name, fields) not in _made:
        if len(_made) >= MADE:
            _made.clear()
        _made[name, fields] = collections.namedtuple(name, fields)
    return _made[name, fields]
