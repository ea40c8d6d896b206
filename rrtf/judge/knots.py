"""Lists and dictionaries that contain themselves, lie deeper than a message is nested, or are in two values: each by number.

`wire` packs values as trees, which is what nearly all are; only one that is none comes here.
"""

from collections.abc import Callable, Iterator
from typing import Any

from rrtf.judge.wire import PLAIN, SHARED, Deep, Violation

MOST = 20_000  # lists and dictionaries of one such value
FEW = 64  # items that are looked at one by one
_INNER = SHARED | {tuple}


class Knot:
    """Packs one such value; `other` packs what is no list, dictionary or tuple."""

    def __init__(self, other: Callable[[Any], Any]) -> None:
        self._other = other
        self._held: list[Any] = []
        self._places: dict[int, int] = {}

    def pack(self, value: Any) -> Any:
        """The rows of all its lists and dictionaries, and the value itself, which refers to them."""
        whole = self._item(value)
        rows: list[Any] = []
        while len(rows) < len(self._held):
            row = self._held[len(rows)]
            rows.append([[self._item(part) for part in pair] for pair in (row.items() if type(row) is dict else (row,))])
        return {"k": [[[type(row) is dict, items] for row, items in zip(self._held, rows, strict=True)], whole]}

    def _item(self, value: Any) -> Any:
        if type(value) is tuple:
            return {"t": [self._item(item) for item in value]}
        if type(value) is not list and type(value) is not dict:
            return value if type(value) in PLAIN else self._other(value)
        if id(value) not in self._places:
            if len(self._held) == MOST:
                raise Deep("more lists within each other than can be sent")
            self._places[id(value)] = len(self._held)
            self._held.append(value)
        return {"at": self._places[id(value)]}


class Knots:
    """Unpacks them; `unpack` is that of the whole message, which asks here for the rows by number."""

    def __init__(self, unpack: Callable[[Any], Any]) -> None:
        self._unpack = unpack
        self._made: list[Any] = []

    def whole(self, content: Any) -> Any:
        """The value of a packed one."""
        rows, value = content
        outer, self._made = self._made, [{} if pairs is True else [] for pairs, _ in rows]
        for made, (_, items) in zip(self._made, rows, strict=True):
            parts: list[Any] = [[self._unpack(part) for part in item] for item in items]
            if type(made) is dict:
                made.update(parts)
            else:
                made.extend(*parts)
        found, self._made = self._unpack(value), outer
        return found

    def row(self, place: Any) -> Any:
        """One of the lists and dictionaries of the value that is being unpacked."""
        if type(place) is not int or not 0 <= place < len(self._made):
            raise Violation("a reference to no row")
        return self._made[place]


def repeated(values: tuple[Any, ...]) -> bool:
    """Whether one of the lists and the like among the values is there twice."""
    found = [id(value) for value in values if type(value) in SHARED]
    return len(set(found)) < len(found)


def overlap(result: Any, given: tuple[Any, ...]) -> bool:
    """Whether a list or the like in `result` is in what was given, too."""
    if type(result) not in _INNER:
        return False
    inside = {id(value) for value in _inside(result)}
    return any(id(value) in inside for value in _inside(given))


def _inside(value: Any) -> Iterator[Any]:
    """The lists and the like of a value; long ones that begin with a number or the like have none in them."""
    met: set[int] = set()
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if id(value) in met:
            continue
        if type(value) is not tuple:
            met.add(id(value))
            yield value
        items = list(value.values()) if type(value) is dict else value if type(value) in (list, tuple) else ()
        if items and (len(items) <= FEW or type(items[0]) in _INNER):
            waiting += [item for item in items if type(item) in _INNER]
