"""The tests' end of a candidate: carries the uses of its proxies (see `things`) over, and turns replies into plain values."""

import builtins
from collections import deque
from collections.abc import Iterator
from typing import Any

from rrtf.judge import wire
from rrtf.judge.errors import Errors
from rrtf.judge.exchange import Classes, Inbox, Outbox
from rrtf.judge.run import Gone, Run
from rrtf.judge.surroundings import Surroundings
from rrtf.judge.things import Function as Function
from rrtf.judge.things import Iterated, Thing, make
from rrtf.judge.wire import Unsendable, Violation

_SCALARS = frozenset({int, float, str, bool, type(None), bytes, complex})


class Remote:
    """One candidate as the tests see it: makes proxies and carries their calls.

    `operators` are those which the class under test defines, `exits` says whether the tests speak of SystemExit.
    """

    def __init__(self, classes: Classes, *, arrays: bool, operators: frozenset[str], exits: bool) -> None:
        self.run: Run | None = None
        self.operators = operators
        self.kinds: dict[Any, Any] = {}
        self.errors = Errors(self, exits=exits)
        self._surroundings = Surroundings()
        self._classes, self._arrays = classes, arrays
        self._functions: list[Any] = []
        self._things: dict[int, Any] = {}
        self._early: deque[dict[str, Any]] = deque()  # answers of `ask_many` that nobody has taken yet
        self._under_way = 0

    def chunk(self, calls: list[Any]) -> bytes:
        """Several argument lists of plain values, packed once for every candidate to come."""
        outbox = Outbox(Classes({}), wire.refuse)
        return wire.dumps([outbox.pack(list(arguments)) for arguments in calls])

    def ask_many(self, function: Function, chunk: bytes, count: int) -> None:
        """Send a chunk of `count` calls at once; `next_answer` gives their results in order."""
        assert self.run is not None
        self.run.send(b'{"many":%d,"calls":%b}' % (function._rrtf_handle, chunk))
        self._under_way = count

    def next_answer(self) -> Any:
        """The next result of `ask_many`; what a candidate does to its copies of the arguments stays there."""
        assert self.run is not None
        if not self._early:
            self._take_early(1)
        return self._received(self._early.popleft(), [], {}, [])

    def _take_early(self, count: int) -> None:
        assert self.run is not None
        for _ in range(count):
            self._early.append(self.run.reply())
            self._under_way -= 1

    def call(self, operation: str, *arguments: Any, **keywords: Any) -> Any:
        """Ask the candidate's process to do `operation`; raises what it raised, as the nearest builtin exception."""
        if self.run is None:
            raise Gone("the program is not running")
        self._take_early(self._under_way)  # they come before the reply to anything asked now
        outbox = Outbox(self._classes, self._own)
        packed = outbox.pack(list(arguments))
        named = {name: outbox.pack(value) for name, value in keywords.items()}
        # a handle changes where it lives; asking for it back would draw from an iterator a second time
        given = (value for value in (*arguments, *keywords.values()) if not isinstance(value, (Thing, Iterated)))
        mutable = any(type(value) not in _SCALARS for value in given)
        request = {"op": operation, "a": packed, "k": named, "o": outbox.table(), "mutable": mutable}
        reply = self.run.ask(request | self._surroundings.changed(self._own))
        self._surroundings.show(reply)
        return self._received(reply, list(arguments), keywords, outbox.objects)

    def _received(self, reply: dict[str, Any], arguments: list[Any], keywords: dict[str, Any], objects: list[Any]) -> Any:
        assert self.run is not None
        try:
            raised = self.errors.of(reply["raised"]) if "raised" in reply else None
            result = self._result(reply, arguments, keywords, objects) if raised is None else None
        except (Unsendable, Gone):
            raise
        except Exception as error:  # rebuilding a forged value can fail in any way; an honest runtime's values never do
            raise self.run.stop("violation", f"the program wrote to the result channel: {error}") from None
        if raised is not None:
            raise raised
        return result

    def _result(self, reply: dict[str, Any], arguments: list[Any], keywords: dict[str, Any], objects: list[Any]) -> Any:
        inbox = Inbox(self._classes, self.accept, arrays=self._arrays)
        inbox.load_table(reply["o"], objects)
        if "a" in reply:
            graft(arguments, inbox.unpack(reply["a"]))
            graft(keywords, {name: inbox.unpack(value) for name, value in reply["k"].items()})
        return arguments[reply["same"]] if "same" in reply else inbox.unpack(reply["value"])

    def _own(self, value: Any) -> Any:
        """What stands for a value that only a handle can carry to the candidate."""
        if isinstance(value, Iterated):
            value = value.rest()
        if isinstance(value, Thing):
            return {"h": value._rrtf_handle}
        if isinstance(value, list):
            return Outbox(self._classes, self._own).pack(value)
        name = getattr(value, "__name__", None)
        if isinstance(name, str) and getattr(builtins, name, None) is value:
            return {"bi": name}
        if isinstance(value, (Iterator, wire.VIEWS)):
            return {"it": self._function(iter(value).__next__)}
        if callable(value) and not isinstance(value, type):
            return {"cb": [self._function(value), str(name or "function"), str(getattr(value, "__doc__", None) or "")]}
        raise Unsendable(f"the tests pass a {type(value).__name__}, which can't be sent")

    def _function(self, value: Any) -> int:
        self._functions.append(value)
        return len(self._functions) - 1

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
            inbox = Inbox(self._classes, self.accept, arrays=self._arrays)
            arguments = inbox.unpack(message["a"])
            keywords = {str(name): inbox.unpack(value) for name, value in message["k"].items()}
            result = self._functions[message["callback"]](*arguments, **keywords)
            return {"value": Outbox(self._classes, self._own).pack(result)}
        except Exception as error:
            return {"raised": self.errors.lend(error)}

    def accept(self, tag: str, content: Any) -> Any:
        """Values of the candidate that have their own rule: handles, iterators, exception classes."""
        if tag == "h":
            handle, name, sort, fields = content
            if int(handle) not in self._things:
                self._things[int(handle)] = make(self, int(handle), str(name), sort, fields)
            return self._things[int(handle)]
        if tag == "g":
            items, rest = content
            inbox = Inbox(self._classes, self.accept, arrays=self._arrays)
            if rest is None:
                return Iterated([inbox.unpack(item) for item in items], None)
            if int(rest) not in self._things:
                self._things[int(rest)] = Iterated([], Thing(self, int(rest), "iterator"))
            return self._things[int(rest)]
        if tag == "own":
            return self._functions[content]
        if tag == "e":
            return self.errors.kind([str(name) for name in content])
        if tag == "bi" and isinstance(getattr(builtins, str(content), None), type):
            return getattr(builtins, content)
        raise Violation(f"the unknown tag {tag!r}")


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
