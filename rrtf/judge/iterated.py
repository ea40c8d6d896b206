"""What stands in the tests for the candidate's iterators and generators."""

from collections import deque
from types import GeneratorType
from typing import Any

from rrtf.judge.wire import Violation

# items asked for at once where all are wanted; a loop asks for one at a time until it has had twice as many
CHUNK = 256


class Iterated:
    """An iterator of the candidate. By declared rule it also equals the list (or tuple) of its items.

    Items are asked for one by one, for the next one may take for ever and nobody want it; a long loop asks for a few at once.
    `thing` is the iterator itself, where it can still be asked, for what it has beside items.
    """

    def __init__(self, items: list[Any], thing: Any) -> None:
        self._rrtf_thing = thing
        self._items = deque(items)
        self._taken = 0
        self._whole = False

    def __iter__(self) -> "Iterated":
        return self

    def __next__(self) -> Any:
        if not self._items and self._rrtf_thing is not None:
            self._items.extend(self._ask(CHUNK if self._whole else 1 + self._taken // (2 * CHUNK)))
        if not self._items:
            raise StopIteration
        self._taken += 1
        return self._items.popleft()

    def _ask(self, count: int) -> Any:
        more = self._rrtf_thing._rrtf_do("next", count)
        if type(more) is not list:
            raise Violation("an iterator's items must be a list")
        return more

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


class Viewed(Iterated):
    """The keys, values or items of a dictionary: a view, which can be gone through again and has a length."""

    def __init__(self, items: list[Any]) -> None:
        super().__init__(items, None)

    def __iter__(self) -> Any:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items


class Generated(Iterated):
    """A generator of the candidate, which says so."""

    __class__ = GeneratorType  # type: ignore[assignment]

    def _ask(self, count: int) -> Any:
        return [self.send(None)] if count == 1 else super()._ask(count)

    def send(self, value: Any) -> Any:
        """As of any generator: what it returns is in the StopIteration."""
        return self._driven("send", value)

    def throw(self, *error: Any) -> Any:
        """As of any generator."""
        return self._driven("throw", *error)

    def _driven(self, how: str, *arguments: Any) -> Any:
        goes_on, value = self._rrtf_thing._rrtf_do("drive", how, *arguments)
        if goes_on is not True:
            raise StopIteration(value)
        return value
