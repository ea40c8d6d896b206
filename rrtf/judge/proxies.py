"""The tests' end of a candidate: carries the uses of its proxies (see `things`) over, and turns replies into plain values."""

import builtins
import threading
import time
from collections import deque
from typing import Any

from rrtf.judge import annotations, things, wire
from rrtf.judge.awaited import Awaited
from rrtf.judge.errors import Errors
from rrtf.judge.exchange import Classes, Inbox, Outbox
from rrtf.judge.grafting import FOLLOWED, MUTABLE, Views, graft, grafted
from rrtf.judge.iterated import Generated, Iterated, Viewed
from rrtf.judge.knots import Knot, repeated
from rrtf.judge.lending import Lending, of_the_program
from rrtf.judge.run import Gone, Run
from rrtf.judge.surroundings import Surroundings
from rrtf.judge.things import Function as Function
from rrtf.judge.things import Thing, make
from rrtf.judge.turns import THREADS, Turns
from rrtf.judge.wire import Unsendable, Violation

PROMPT = 0.02  # seconds in which the tests answer, unless they wait for something
_SCALARS = frozenset({int, float, str, bool, type(None), bytes, complex})


class Remote:
    """One candidate as the tests see it: makes proxies and carries their calls.

    `operators` are those which the class under test defines, `text` is that of the tests, `keeps`: they may change what they
    got, or ask whether they got it before; `shares`: they may look at what they passed again, or change it.
    """

    def __init__(
        self, classes: Classes, *, text: str, arrays: bool, operators: frozenset[str], keeps: bool = False, shares: bool = False
    ) -> None:
        self.run: Run | None = None
        self.operators = operators
        self.kinds: dict[Any, Any] = {}
        self.errors = Errors(self, exits="SystemExit" in text)
        self._surroundings = Surroundings(text)
        self._arrays, self._keeps = arrays, keeps
        self._results: dict[Any, Any] = {}
        self.lending = Lending(self.errors, self.accept, classes, arrays=arrays)
        self._views = Views(lambda value: wire.pack(value, other=of_the_program))
        self._shares = shares
        self.makes: set[int] = set()  # handles of the classes under test, where nothing says which operators these have
        self.tested: set[int] = set()  # of the objects that the tests made of them
        self._things: dict[int, Any] = {}
        self._lock: Any = threading.RLock()  # tests may call from several threads, one after the other
        # what the program asks of the tests, each inside a call of the one before: by which thread, since when
        self._serving: list[tuple[int, float]] = []
        self._served = threading.Condition(self._lock)
        self._turns = Turns(self._lock) if THREADS.search(text) else None
        self._early: deque[dict[str, Any]] = deque()  # answers of `ask_many` that nobody has taken yet
        self._under_way = 0
        things.at_hand = self
        self._begun: dict[int, Any] = {}  # by its number, what a coroutine was called with

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
        with self._lock:
            if self._turns and operation == "call":
                with self._turns.taken((*arguments, *keywords.values())):
                    return self._call(operation, arguments, keywords)
            while not self._turns and self._serving and self._serving[-1][0] != threading.get_ident():
                if (left := self._serving[-1][1] + PROMPT - time.monotonic()) <= 0:
                    break
                self._served.wait(left)
            return self._call(operation, arguments, keywords)

    def serve(self, message: dict[str, Any]) -> dict[str, Any]:
        """The program uses what the tests lent it; if that takes long, other threads of the tests may call the program."""
        if self._turns and "lane" in message:
            return self._turns.serve(self.lending.serve, message)
        this = (threading.get_ident(), time.monotonic())
        self._serving.append(this)
        state = self._lock._release_save()
        try:
            return self.lending.serve(message)
        finally:
            self._lock._acquire_restore(state)
            self._served.wait_for(lambda: self._serving[-1] is this)  # the program waits for its latest question first
            self._serving.pop()
            self._served.notify_all()

    def _call(self, operation: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        if self.run is None:
            raise Gone("the program is not running")
        self._take_early(self._under_way)  # they come before the reply to anything asked now
        outbox = Outbox(self.lending.classes, self.lending.pack)
        request = self._request(operation, arguments, keywords, outbox)
        again = operation == "step" and bool(arguments[1])
        reply = self._turns.reply(self.run.ask, request, again=again) if self._turns else self.run.ask(request, again=again)
        self._show(reply)
        held = (list(arguments), keywords, outbox.objects)
        if operation == "step":  # it changes what it was called with
            held = self._begun.get(arguments[0]._rrtf_handle, held)
        result = self._received(reply, *held)
        if operation == "step" and result != []:  # it has ended
            self._begun.pop(arguments[0]._rrtf_handle, None)
        if isinstance(result, Awaited):
            self._begun[result._rrtf_handle] = held
        if self._keeps and "held" in reply and "same" not in reply and reply.get("a", ()) is not None:
            return self._again(reply["held"], result)
        if operation == "call" and isinstance(result, Thing) and arguments[0]._rrtf_handle in self.makes:
            self.tested.add(result._rrtf_handle)
        if operation == "get" and isinstance(arguments[0], Thing):
            self._views.saw(arguments[0]._rrtf_handle, arguments[1], result)
        return result

    def _request(self, operation: str, arguments: tuple[Any, ...], keywords: dict[str, Any], outbox: Outbox) -> dict[str, Any]:
        first = arguments[0]
        packed = [{"h": first._rrtf_handle} if type(first) is Function else self._shared(first) or outbox.pack(first)]
        packed += [self._shared(value) or outbox.pack(value) for value in arguments[1:]]
        if len(arguments) > 2 and repeated(arguments):  # `f(x, x)`
            packed = Knot(outbox.pack).pack(list(arguments))
        named = {name: self._shared(value) or outbox.pack(value) for name, value in keywords.items()}
        # a handle changes where it lives; asking for it back would draw from an iterator a second time
        given = (value for value in (*arguments, *keywords.values()) if not isinstance(value, (Thing, Iterated)))
        mutable = any(type(value) not in _SCALARS for value in given)
        request = {"op": operation, "a": packed, "k": named, "o": outbox.table(), "mutable": mutable}
        if put := self._views.changed() + self.lending.kept.changed():
            request["put"] = put
        if self._shares and mutable and operation != "step":
            request["shared"] = True
        if self._keeps and operation in ("call", "get"):
            request["held"] = True
        return request | self._surroundings.changed(self._pack_alone)

    def _pack_alone(self, value: Any) -> Any:
        return Outbox(self.lending.classes, self.lending.pack).pack(value)

    def _again(self, place: Any, result: Any) -> Any:
        """A list or the like that the tests may change: the same one each time that the program returns the same one."""
        if type(place) is int and graft(self._results.get(place), result):
            result = self._results[place]
        self._results[place] = result
        if len(self._results) > FOLLOWED:
            del self._results[next(iter(self._results))]
        self._views.saw(place, "", result)
        return result

    def _shared(self, value: Any) -> Any:
        """What stands for a list or the like that a coroutine under way was given, too, or the program keeps: there is one."""
        if isinstance(value, MUTABLE) and (kept := self.lending.kept.place(value)) is not None:
            return {"h": kept}
        for handle, (arguments, *_) in self._begun.items() if isinstance(value, MUTABLE) else ():
            for place, other in enumerate(arguments):
                if other is value:
                    return {"of": [handle, place]}
        return None

    def _show(self, reply: dict[str, Any]) -> None:
        assert self.run is not None
        try:
            self._surroundings.show(reply, self.errors.kind)
        except (TypeError, ValueError, OSError) as error:
            raise self.run.stop("violation", f"the program wrote to the result channel: {error}") from None

    def _received(self, reply: dict[str, Any], arguments: list[Any], keywords: dict[str, Any], objects: list[Any]) -> Any:
        assert self.run is not None
        try:
            raised = self.errors.of(reply["raised"]) if "raised" in reply else None
            result = self._result(reply, arguments, keywords, objects)
        except (Unsendable, Gone):
            raise
        except Exception as error:  # rebuilding a forged value can fail in any way; an honest runtime's values never do
            raise self.run.stop("violation", f"the program wrote to the result channel: {error}") from None
        if raised is not None:
            raised._rrtf_theirs = True  # type: ignore[attr-defined]
            raise raised
        return result

    def _result(self, reply: dict[str, Any], arguments: list[Any], keywords: dict[str, Any], objects: list[Any]) -> Any:
        inbox = Inbox(self.lending.classes, self.accept, arrays=self._arrays)
        inbox.load_table(reply["o"] if "raised" not in reply else reply.get("o", []), objects)
        result: Any = None
        met: dict[int, Any] = {}
        if "a" in reply:
            if (packed := reply["a"]) is None:  # what it returned has parts of what it was given
                result, theirs, named = inbox.unpack(reply["value"])
            else:
                theirs, named = inbox.unpack(packed), {name: inbox.unpack(value) for name, value in reply["k"].items()}
            graft(arguments, theirs, met)
            graft(keywords, named, met)
        self.lending.change(reply.get("put", ()), inbox)
        for where, place in reply.get("kept", ()):
            self.lending.kept.saw(int(place), "", keywords[where] if isinstance(where, str) else arguments[where])
        if "raised" in reply:
            return None
        if met and result is not None:
            return grafted(None, result, met)
        return arguments[reply["same"]] if "same" in reply else inbox.unpack(reply["value"])

    def _error(self, described: list[Any]) -> BaseException:
        """An exception as a value, the same one each time."""
        place = int(described[6])
        if place not in self._things:
            self._things[place] = self.errors.of(described)
        return self._things[place]

    def _unpacked(self, packed: Any) -> Any:
        return Inbox(self.lending.classes, self.accept, arrays=self._arrays).unpack(packed)

    def value(self, packed: Any) -> Any:
        """A value that the program's runtime described outside a call; a forged one ends the program (Gone)."""
        assert self.run is not None
        try:
            return self._unpacked(packed)
        except Exception as error:  # as in `_received`
            raise self.run.stop("violation", f"the program wrote to the result channel: {error}") from None

    def accept(self, tag: str, content: Any) -> Any:
        """Values of the candidate that have their own rule: handles, iterators, exception classes."""
        if tag == "h":
            handle, name, sort, fields = content
            if int(handle) not in self._things:
                place, words = int(handle), str(name)
                waits = sort == "coroutine"
                self._things[place] = Awaited(self, place, words) if waits else make(self, place, words, sort, fields)
            return self._things[int(handle)]
        if tag == "g":
            items, rest, generator = content
            if rest is None:
                return Viewed([self._unpacked(item) for item in items])
            if int(rest) not in self._things:
                kind = Generated if generator else Iterated
                self._things[int(rest)] = kind([], Thing(self, int(rest), "iterator"))
            return self._things[int(rest)]
        if tag in ("own", "known"):
            return self.lending[content] if tag == "own" else self.lending.kept[content]
        if tag in ("e", "er"):
            return self.errors.kind([str(name) for name in content]) if tag == "e" else self._error(content)
        return self._of_python(tag, content)

    def _of_python(self, tag: str, content: Any) -> Any:
        if tag == "ty":
            return annotations.made(content, self._unpacked)
        if tag == "bi" and isinstance(getattr(builtins, str(content), None), type) and content not in wire.MAKERS:
            return getattr(builtins, content)
        raise Violation(f"the unknown tag {tag!r}")
