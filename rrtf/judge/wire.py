"""Plain typed values as bytes, and the frames that carry them between the tester and a candidate.

Only values cross, never code and never pickles. Exact types survive: `True` is not 1, a tuple is not a list, -0.0, NaN, lone
surrogates and integers of any size come back as they were. A frame is `nonce, length, JSON`; the nonce is fresh for each run,
so a frame of an earlier run is refused.
"""

import json
import struct
from collections.abc import Callable
from typing import Any

PLAIN = frozenset({str, bool, type(None), float})
SHARED = frozenset({list, dict, set, bytearray})
SMALL = 1 << 62  # integers beyond this travel as hexadecimal, which Python converts in linear time and without a digit limit
MAX_DEPTH = 200
# made once: the encoder and the decoder of `json` make these, and look for blanks, at every message
_ENCODE: Any = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    None, json.JSONEncoder().default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True
)
_SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
HEADER = struct.Struct("!8sI")
# what `dict.keys()`, `.values()` and `.items()` return
VIEWS: Any = (type({}.keys()), type({}.values()), type({}.items()))

# builtin classes that make parts of classes; called for the program where the tests run, they would make it a class of its own
MAKERS = frozenset({"type", "property", "classmethod", "staticmethod", "super"})

# what is said of a program beside its names: which classes of the tests it has none of, and the whole of it
LACKING, WHOLE = "__rrtf_lacking__", "__rrtf_whole__"

Hook = Callable[[Any], Any]


class Unsendable(Exception):
    """A value that can't cross: its type is not a plain one, or it is too deep."""


class Deep(Unsendable):
    """One that is nested deeper than `pack` goes, or contains itself."""


class TooLarge(Exception):
    """A value with more items or bytes than the limit."""


class Violation(Exception):
    """A frame that the other side's runtime can't have written: wrong nonce, length, order or content."""


def pack(value: Any, *, other: Hook, depth: int = MAX_DEPTH) -> Any:
    """`value` as a JSON value; `other` packs what is not a plain type, or raises Unsendable."""
    kind = type(value)
    if kind is int:
        return value if -SMALL < value < SMALL else {"i": hex(value)}
    if kind in PLAIN:
        return value
    if depth == 0:
        raise Deep("nested too deep, or containing itself")
    if kind is list:
        found = _repeated(value, other, depth - 1) if len(value) > 1 and type(value[0]) in SHARED else None
        return found or [pack(item, other=other, depth=depth - 1) for item in value]
    if kind is tuple:
        return {"t": [pack(item, other=other, depth=depth - 1) for item in value]}
    if kind is dict:
        return _pairs(value, other, depth - 1)
    if kind is set or kind is frozenset:
        return {"s" if kind is set else "f": [pack(item, other=other, depth=depth - 1) for item in value]}
    if kind is bytes or kind is bytearray:
        return {"b" if kind is bytes else "y": value.hex()}
    if kind is complex:
        return {"c": [value.real, value.imag]}
    return other(value)


def _pairs(value: dict[Any, Any], other: Hook, depth: int) -> Any:
    values = list(value.values())
    if len(values) > 1 and type(values[0]) in SHARED and (found := _repeated(values, other, depth)):
        return {"m": [[pack(key, other=other, depth=depth) for key in value], found]}
    return {"d": [[pack(item, other=other, depth=depth) for item in pair] for pair in value.items()]}


def _repeated(values: list[Any], other: Hook, depth: int) -> Any:
    """Rows that are one list, which a change of one shows: each value once, and their order; None where all differ."""
    places: dict[int, int] = {}
    order = [places.setdefault(id(value), len(places)) for value in values]
    if len(places) == len(values):
        return None
    once = dict(zip(order, values, strict=True))
    return {"l": [order, [pack(once[place], other=other, depth=depth) for place in range(len(once))]]}


def _in_order(content: Any, other: Hook) -> list[Any]:
    order, items = content[0], _items(content[1], other)
    if any(type(place) is not int or not 0 <= place < len(items) for place in order):
        raise Violation("a place of no item")
    return [items[place] for place in order]


def unpack(packed: Any, *, other: Hook) -> Any:
    """The value of a `pack`ed one; `other` takes {tag: content} for tags this module doesn't know, or raises Violation."""
    if type(packed) is list:
        return [unpack(item, other=other) for item in packed]
    if type(packed) is not dict:
        return packed
    if len(packed) != 1:
        raise Violation("a tagged value has exactly one tag")
    ((tag, content),) = packed.items()
    try:
        return _TAGS[tag](content, other) if tag in _TAGS else other(packed)
    except (TypeError, ValueError, AttributeError) as error:
        raise Violation(f"badly formed {tag!r}: {error}") from None


def _items(content: Any, other: Hook) -> list[Any]:
    if type(content) is not list:
        raise Violation("items must be a list")
    return [unpack(item, other=other) for item in content]


_TAGS: dict[str, Callable[[Any, Hook], Any]] = {
    "i": lambda content, _: int(content, 16),
    "l": _in_order,
    "m": lambda content, other: dict(zip(_items(content[0], other), unpack(content[1], other=other), strict=True)),
    "t": lambda content, other: tuple(_items(content, other)),
    "d": lambda content, other: dict([_items(pair, other) for pair in content]),
    "s": lambda content, other: set(_items(content, other)),
    "f": lambda content, other: frozenset(_items(content, other)),
    "b": lambda content, _: bytes.fromhex(content),
    "y": lambda content, _: bytearray.fromhex(content),
    "c": lambda content, _: complex(*(float(part) for part in content)),
}


def refuse(value: Any) -> Any:
    """A `pack` hook for places where only plain values are expected."""
    raise Unsendable(f"a {type(value).__name__} can't be sent")


def frame(nonce: bytes, message: Any, *, limit: int) -> bytes:
    """One frame; raises TooLarge when its JSON is longer than `limit` bytes."""
    return framed(nonce, dumps(message), limit=limit)


def dumps(message: Any) -> bytes:
    """A packed message as JSON."""
    return "".join(_ENCODE(message, 0)).encode()


def framed(nonce: bytes, body: bytes, *, limit: int) -> bytes:
    """A frame around JSON made before."""
    if len(body) > limit:
        raise TooLarge(f"a value of {len(body)} bytes")
    return HEADER.pack(nonce, len(body)) + body


def parse(body: bytes) -> Any:
    """The JSON of a frame; whatever is wrong with it raises Violation."""
    try:
        text = body.decode()
        value, end = _SCAN(text, 0)
    except (ValueError, RecursionError, StopIteration) as error:
        raise Violation(f"not JSON: {error}") from None
    if end != len(text):
        raise Violation("not JSON: more than one value")
    return value
