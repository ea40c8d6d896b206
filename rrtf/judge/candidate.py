"""The inside of a candidate's process: runs one untrusted program and answers calls about it.

Nothing here is trusted once the program's first line runs. Whatever this module sends is only a claim of a value, which the
tester compares with an answer that never entered this process.
"""

import _thread
import contextlib
import os
import sys
import time
import types
from typing import Any, NoReturn

from rrtf.judge import operations, script, wire
from rrtf.judge.confine import open_streams
from rrtf.judge.errors import described, line_of, text_of
from rrtf.judge.exchange import Classes
from rrtf.judge.handles import Handles
from rrtf.judge.knots import Knot, overlap
from rrtf.judge.lanes import Lanes
from rrtf.judge.surroundings import LENT, lent
from rrtf.judge.wire import LACKING, WHOLE, TooLarge

NESTING = 20  # frames of this package between a call of the program and one that it caused

UNSHARED = 2  # references to an argument that the program did not keep: of the arguments themselves, and of the one who asks

KEPT = 100  # items of a list that tests may change, or get a second time


class Channel:
    """Frames over the result socket, each with the run's nonce."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._inbox = bytearray()
        self._nonce = b""
        self._limit = 1 << 24

    def receive(self) -> Any:
        """The next request; ends the process when the tester is gone."""
        nonce, length = wire.HEADER.unpack(self._exactly(wire.HEADER.size))
        self._nonce = nonce
        return wire.parse(self._exactly(length))

    def send(self, message: Any) -> None:
        """One frame; a message over the limit is replaced by the news that it was."""
        try:
            data = memoryview(wire.frame(self._nonce, message, limit=self._limit))
        except TooLarge as error:
            data = memoryview(wire.frame(self._nonce, {"large": str(error)}, limit=1 << 16))
        while data:
            data = data[os.write(self._descriptor, data) :]

    def allow(self, limit: int) -> None:
        """Set the size limit of a frame in bytes."""
        self._limit = limit

    def _exactly(self, count: int) -> bytes:
        while (lacking := count - len(self._inbox)) > 0:
            part = os.read(self._descriptor, max(1 << 14, min(lacking, 1 << 20)))
            if not part:
                os._exit(0)
            self._inbox += part
        found = bytes(self._inbox[:count])
        del self._inbox[:count]
        return found


class Runtime:
    """One program, its handles, and the loop that serves calls on them."""

    def __init__(self, channel: Channel) -> None:
        self._channel: Any = channel
        self._lock: Any = _thread.RLock()  # threads of the program may ask, one after the other
        self._handles = Handles(self._ask)
        self._module = types.ModuleType("solution")

    def _ask(self, message: Any) -> Any:
        """Ask the tests' process, which may have questions of its own before it can answer."""
        with self._lock:
            self._channel.send(message)
            while "op" in (reply := self._channel.receive()):
                limit = sys.getrecursionlimit()
                sys.setrecursionlimit(limit + NESTING)  # the program's own depth is what it has a limit for
                self._channel.send(self._answer(reply))
                sys.setrecursionlimit(limit)
        return reply

    def serve(self) -> None:
        """Load the program, then answer requests until the tester closes the channel."""
        request = self._channel.receive()
        self._channel.allow(request["limit"])
        if not self._load(request):
            return
        while True:
            request = self._channel.receive()
            if "lane" in request:
                self._serve_threads(request)
            if "many" in request:
                function = self._handles[request["many"]]
                for arguments in tuple(request["calls"]):  # the program may find and empty the list itself
                    self._channel.send(self._answer_plain(function, arguments))
            else:
                self._channel.send(self._answer(request))

    def _serve_threads(self, request: dict[str, Any]) -> NoReturn:
        lanes = self._channel = Lanes(self._channel, self._answer)
        self._lock = contextlib.nullcontext()
        lanes.serve(request)

    def _load(self, request: dict[str, Any]) -> bool:
        # a part that stands inside a larger program must be whole by itself, or it could swallow what follows
        whole = not request["alone"] or self._compile(request["alone"])
        code = self._compile(request["program"]) if whole else None
        if code is None:
            return False
        for name in request["preload"]:  # heavy imports, before the clock starts
            with contextlib.suppress(ImportError):
                __import__(name)
        self._channel.send({"ready": time.process_time()})
        main = request["main"]
        self._module.__name__ = "__main__" if main else "solution"
        self._module.__file__ = "solution.py"
        sys.modules[self._module.__name__] = self._module
        if main:
            open_streams()
            script.run(code, self._module.__dict__, finished=self._finished, describe=_described)
        try:
            exec(code, self._module.__dict__)
        except BaseException as error:  # noqa: B036 - a program may raise anything, SystemExit included
            self._channel.send(self._raised(error))
            return True
        self._handles.classes = Classes(self._shared_classes(request["classes"]))
        names = self._names(request["names"])
        names[LACKING] = [name for name in request["classes"] if not isinstance(self._module.__dict__.get(name), type)]
        self._channel.send({"names": names})
        return True

    def _compile(self, program: str) -> types.CodeType | None:
        try:
            return compile(program, "solution.py", "exec", dont_inherit=True)
        except Exception as error:  # SyntaxError, but also ValueError, OverflowError, RecursionError, MemoryError
            self._channel.send({"uncompiled": [type(error).__name__, str(error)[:300]]})
            return None

    def _finished(self) -> None:
        self._channel.send({"finished": True})

    def _shared_classes(self, names: list[str]) -> dict[str, type]:
        """The program's classes of these names; for what only the tests have one that carries attributes."""
        found = {name: self._module.__dict__.get(name) for name in names}
        return {name: kind if isinstance(kind, type) else self._handles.carrier(name) for name, kind in found.items()}

    def _names(self, names: list[str]) -> dict[str, Any]:
        known = {}
        for name in names:
            if name == WHOLE:
                known[name] = self._handles.handle(self._module)
            elif name in self._module.__dict__:
                value = self._module.__dict__[name]
                try:
                    module = isinstance(value, types.ModuleType)
                    known[name] = {"m": value.__name__} if module else self._handles.outbox().pack(value)
                except Exception:
                    known[name] = self._handles.handle(value)
        return known

    def _answer_plain(self, function: Any, packed: list[Any]) -> dict[str, Any]:
        try:
            outbox = self._handles.outbox()
            result = function(*self._handles.inbox().unpack(packed))
            return {"value": outbox.pack(result), "o": outbox.table()}
        except BaseException as error:  # noqa: B036 - the call may raise anything, SystemExit included
            return self._raised(error)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if LENT.isdisjoint(request):
            return self._done(request)
        try:
            with lent(request, lambda packed: self._handles.inbox().unpack(packed)) as added:
                reply = self._done(request)
        except TooLarge as error:
            return self._raised(error)
        return reply | added

    def _done(self, request: dict[str, Any]) -> dict[str, Any]:
        failed: dict[str, Any] = {}
        try:
            inbox = self._handles.inbox()
            for place, name, value in request.get("put", ()):  # the tests changed what they had read of an object
                self._handles.take(place, name, inbox.unpack(value))
            inbox.load_table(request["o"])
            given = list(inbox.objects)
            arguments = inbox.unpack(request["a"])
            keywords = {name: inbox.unpack(value) for name, value in request["k"].items()}
            result, begun = None, request["op"] == "step" and self._handles.begun.get(id(arguments[0]))
            try:
                result = operations.TABLE[request["op"]](*arguments, **keywords)
            except BaseException as error:  # noqa: B036 - the call may raise anything, SystemExit included
                failed = self._raised(error)
            if begun:  # what a coroutine does to its arguments, it does now
                request, arguments, keywords, given = begun
            elif request["mutable"] and hasattr(type(result), "__await__"):
                self._handles.begun[id(result)] = (request, arguments, keywords, given)
            reply = self._reply(request, result, arguments, keywords, given) | failed
            result = None
            return reply | self._kept(arguments, keywords) if request.get("shared") else reply
        except BaseException as error:  # noqa: B036 - what it returned or changed may raise, too
            return failed or self._raised(error)

    def _reply(
        self, request: dict[str, Any], result: Any, arguments: list[Any], keywords: dict[str, Any], given: list[Any]
    ) -> Any:
        """What it returned, and what it did to its arguments; this also where it failed half way."""
        outbox = self._handles.outbox(dict(enumerate(given)))
        reply: dict[str, Any] = {}
        for place, argument in enumerate(arguments if request["mutable"] else ()):
            if result is argument and isinstance(argument, (list, dict, set, bytearray)):
                reply["same"] = place
        if request["mutable"] and "same" not in reply and overlap(result, (*arguments, *keywords.values())):
            reply["value"] = Knot(outbox.pack).pack([result, arguments, keywords])
            reply["a"] = reply["k"] = None
        elif "same" not in reply:
            known = self._handles.kept.place(result) if type(result) in wire.SHARED else None
            reply["value"] = outbox.pack(result) if known is None else {"known": known}
        if request["mutable"] and "a" not in reply:
            packed, named = outbox.pack(arguments), {name: outbox.pack(value) for name, value in keywords.items()}
            if (now := list(map(_as_asked, packed))) != request["a"] or named != request["k"]:
                reply["a"], reply["k"] = packed, named
                request["a"], request["k"] = now, named
        reply["o"] = outbox.table()
        if request.get("held") and "same" not in reply and type(result) in wire.SHARED and len(result) <= KEPT:
            reply["held"] = self._handles.place(result)
        if put := self._handles.changed():
            reply["put"] = put
        return reply

    def _kept(self, arguments: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
        """The lists and the like among what it was given that something of the program still refers to."""
        kept = []
        places: list[tuple[Any, Any]] = [(arguments, place) for place in range(len(arguments))]
        for given, place in [*places, *((keywords, name) for name in keywords)]:
            small = type(given[place]) in wire.SHARED and len(given[place]) <= KEPT
            if small and sys.getrefcount(given[place]) > UNSHARED:
                number = self._handles.place(given[place])
                self._handles.kept.saw(number, "", given[place])
                kept.append([place, number])
        return {"kept": kept} if kept else {}

    def _raised(self, error: BaseException) -> dict[str, Any]:
        """What the tester may know of an exception: names along its class tree, text, line, number, arguments, attributes."""
        if isinstance(error, TooLarge):
            return {"large": str(error)}
        told, handle = described(error), None
        if type(error).__module__ in ("solution", "__main__") and vars(error):
            handle = self._handles.place(error.with_traceback(None))
        return {"raised": [*told, handle]}


def _as_asked(packed: Any) -> Any:
    """A packed argument the way the tests write it: a handle by its number alone."""
    return {"h": packed["h"][0]} if type(packed) is dict and "h" in packed else packed


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {text_of(error)} (line {line_of(error)})"


def main(runtime: Runtime) -> NoReturn:
    """Serve until the tester closes the channel; never returns."""
    try:
        runtime.serve()
    finally:
        os._exit(0)
