"""Lists, dictionaries and sets that both sides hold a copy of: what one did to its own is written into the other's."""

import contextlib
import io
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rrtf.judge.wire import Unsendable

FOLLOWED = 16  # attributes, the latest ones
MUTABLE = (list, dict, set, bytearray, deque, SimpleNamespace)


def graft(mine: Any, theirs: Any, met: dict[int, Any] | None = None) -> bool:
    """Write what the other side did to its copy of a value into this side's own object, keeping inner identities.

    False where there is nothing to write into: the value can't change, or became another. `met` are this side's objects by
    their own id and that of the copy each of them took: one takes one copy, and a copy that is met again is that object.
    """
    if type(mine) is not type(theirs):
        return False
    if isinstance(mine, (list, dict)):
        _graft_items(mine, theirs, {} if met is None else met)
    elif mine is theirs:
        return True
    elif isinstance(mine, bytearray) or type(mine).__name__ == "array":
        mine[:] = theirs
    elif isinstance(mine, (set, deque)):
        mine.clear()
        getattr(mine, "update" if isinstance(mine, set) else "extend")(theirs)
    elif type(mine).__name__ in ("UserDict", "UserList", "SimpleNamespace"):
        return graft(vars(mine), vars(theirs), met)
    elif isinstance(mine, (io.StringIO, io.BytesIO)):
        _rewrite(mine, theirs)
    elif type(mine).__name__ == "ndarray" and (mine.shape, mine.dtype) == (theirs.shape, theirs.dtype):
        mine[...] = theirs
    else:
        return False
    return True


def _graft_items(mine: Any, theirs: Any, met: dict[int, Any]) -> None:
    met[id(theirs)] = met[id(mine)] = mine
    if isinstance(mine, list):
        mine[:] = [grafted(mine[i] if i < len(mine) else None, item, met) for i, item in enumerate(theirs)]
        return
    kept = {key: grafted(mine.get(key), value, met) for key, value in theirs.items()}
    mine.clear()
    mine.update(kept)


def _rewrite(mine: Any, theirs: Any) -> None:
    mine.seek(0)
    mine.truncate()
    mine.write(theirs.getvalue())
    mine.seek(theirs.tell())


def grafted(mine: Any, theirs: Any, met: dict[int, Any]) -> Any:
    """A part of a value after the other side's copy of it: this side's own object where there is one to write into."""
    if id(theirs) in met:
        return met[id(theirs)]
    if type(mine) is tuple and type(theirs) is tuple and len(mine) == len(theirs):
        return tuple(grafted(a, b, met) for a, b in zip(mine, theirs, strict=True))
    if id(mine) not in met and graft(mine, theirs, met):
        return mine
    graft(theirs, theirs, met)  # something new, which may hold what is not
    return theirs


class Views:
    """Attributes of the other side's objects that this side has read a list, dictionary or set from, and may have changed.

    `pack` packs a value, or raises Unsendable for what is not worth following.
    """

    def __init__(self, pack: Callable[[Any], Any]) -> None:
        self._pack = pack
        self._seen: dict[tuple[int, str], tuple[Any, Any]] = {}

    def saw(self, owner: int, name: str, value: Any) -> None:
        """`value` is what `owner` had under that name just now."""
        self._seen.pop((owner, name), None)
        if isinstance(value, MUTABLE):
            with contextlib.suppress(Unsendable):
                self._seen[owner, name] = (value, self._pack(value))
            if len(self._seen) > FOLLOWED:
                del self._seen[next(iter(self._seen))]

    def changed(self) -> list[list[Any]]:
        """Owner, name and new value of each that is not any more what was read."""
        found = []
        for place, (value, before) in list(self._seen.items()):
            with contextlib.suppress(Unsendable):
                if (packed := self._pack(value)) != before:
                    found.append([*place, packed])
                    self._seen[place] = (value, packed)
        return found


class Kept(Views):
    """Lists and the like that tests passed and the program keeps: each is one object on either side, by its number here."""

    def place(self, value: Any) -> int | None:
        """The number of one that is passed again."""
        if not self._seen:
            return None
        return next((place for (place, _), (held, _) in list(self._seen.items()) if held is value), None)

    def __getitem__(self, place: int) -> Any:
        return self._seen[place, ""][0]

    def take(self, place: int, theirs: Any) -> bool:
        """Write in what the other side did to its own; False where it is not followed."""
        if (place, "") not in self._seen:
            return False
        graft(self[place], theirs)
        self.saw(place, "", self[place])
        return True
