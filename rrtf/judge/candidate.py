"""The inside of a candidate's process: runs one untrusted program and answers calls about it.

Nothing here is trusted once the program's first line runs. Whatever this module sends is only a claim of a value, which the
tester compares with an answer that never entered this process.
"""

import atexit
import builtins
import contextlib
import os
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any, NoReturn

from rrtf.judge import operations, wire
from rrtf.judge.confine import open_streams
from rrtf.judge.exchange import Classes, Inbox, Outbox
from rrtf.judge.wire import TooLarge, Unsendable

# what `dict.keys()`, `.values()` and `.items()` return
VIEWS: Any = (type({}.keys()), type({}.values()), type({}.items()))


class Channel:
    """Frames over the result socket, each with the run's nonce."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
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
        parts = []
        while count:
            part = os.read(self._descriptor, min(count, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)


class Runtime:
    """One program, its handles, and the loop that serves calls on them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._handles: list[Any] = []
        self._classes = Classes({})
        self._module = types.ModuleType("solution")

    def serve(self) -> None:
        """Load the program, then answer requests until the tester closes the channel."""
        request = self._channel.receive()
        self._channel.allow(request["limit"])
        if not self._load(request):
            return
        while True:
            request = self._channel.receive()
            if "many" in request:
                function = self._handles[request["many"]]
                for arguments in tuple(request["calls"]):  # the program may find and empty the list itself
                    self._channel.send(self._answer_plain(function, arguments))
            else:
                self._channel.send(self._answer(request))

    def _load(self, request: dict[str, Any]) -> bool:
        # a part that stands inside a larger program must be whole by itself, or it could swallow what follows
        code = self._compile(request["alone"]) and self._compile(request["program"])
        if code is None:
            return False
        for name in request["preload"]:  # heavy imports, before the clock starts
            with contextlib.suppress(ImportError):
                __import__(name)
        self._channel.send({"ready": time.process_time()})
        main = request["main"]
        self._module.__name__ = "__main__" if main else "solution"
        sys.modules[self._module.__name__] = self._module
        if main:
            open_streams()
            self._run_main(code)
        try:
            exec(code, self._module.__dict__)
        except BaseException as error:  # noqa: B036 - a program may raise anything, SystemExit included
            self._channel.send(_raised(error))
            return True
        self._classes = Classes(self._shared_classes(request["classes"]))
        self._channel.send({"names": self._names(request["names"])})
        return True

    def _run_main(self, code: types.CodeType) -> NoReturn:
        """The program as a script: standard streams, exit status, threads and exit handlers as Python has them."""
        status = 0
        try:
            exec(code, self._module.__dict__)
            threading._shutdown()  # type: ignore[attr-defined] # what the interpreter itself does at its end
            atexit._run_exitfuncs()
            self._channel.send({"finished": True})
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        except BaseException as error:  # noqa: B036 - a program may raise anything
            names, text, line, _ = _raised(error)["raised"]
            os.write(2, f"{names[0]}: {text} (line {line})".encode(errors="replace"))
            status = 1
        try:
            sys.stdout.flush()
        except (OSError, ValueError):
            status = status or 1
        os._exit(status & 0xFF)

    def _compile(self, program: str) -> types.CodeType | None:
        try:
            return compile(program, "solution.py", "exec", dont_inherit=True)
        except Exception as error:  # SyntaxError, but also ValueError, OverflowError, RecursionError, MemoryError
            self._channel.send({"uncompiled": [type(error).__name__, str(error)[:300]]})
            return None

    def _shared_classes(self, names: list[str]) -> dict[str, type]:
        found = {name: self._module.__dict__.get(name) for name in names}
        return {name: kind for name, kind in found.items() if isinstance(kind, type)}

    def _names(self, names: list[str]) -> dict[str, Any]:
        known = {}
        for name in names:
            if name in self._module.__dict__:
                value = self._module.__dict__[name]
                try:
                    known[name] = {"m": value.__name__} if isinstance(value, types.ModuleType) else self._outbox().pack(value)
                except Exception:
                    known[name] = self._handle(value)
        return known

    def _outbox(self, known: dict[int, Any] | None = None) -> Outbox:
        return Outbox(self._classes, self._handle, known)

    def _answer_plain(self, function: Any, packed: list[Any]) -> dict[str, Any]:
        try:
            outbox = self._outbox()
            result = function(*Inbox(self._classes, self._given, arrays=True).unpack(packed))
            return {"value": outbox.pack(result), "o": outbox.table()}
        except BaseException as error:  # noqa: B036 - the call may raise anything, SystemExit included
            return _raised(error)

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            inbox = Inbox(self._classes, self._given, arrays=True)
            inbox.load_table(request["o"])
            given = list(inbox.objects)
            arguments = inbox.unpack(request["a"])
            keywords = {name: inbox.unpack(value) for name, value in request["k"].items()}
            result = operations.TABLE[request["op"]](*arguments, **keywords)
            return self._reply(request, result, arguments, keywords, given)
        except BaseException as error:  # noqa: B036 - the call may raise anything, SystemExit included
            return _raised(error)

    def _reply(
        self, request: dict[str, Any], result: Any, arguments: list[Any], keywords: dict[str, Any], given: list[Any]
    ) -> Any:
        outbox = self._outbox(dict(enumerate(given)))
        reply: dict[str, Any] = {}
        for place, argument in enumerate(arguments if request["mutable"] else ()):
            if result is argument and isinstance(argument, (list, dict, set, bytearray)):
                reply["same"] = place
        if "same" not in reply:
            reply["value"] = outbox.pack(result)
        if request["mutable"]:
            packed = outbox.pack(arguments), {name: outbox.pack(value) for name, value in keywords.items()}
            if packed != (request["a"], request["k"]):
                reply["a"], reply["k"] = packed
        reply["o"] = outbox.table()
        return reply

    def _handle(self, value: Any) -> Any:
        if isinstance(value, Iterator):
            self._handles.append(value)
            return {"g": [[], len(self._handles) - 1]}
        if isinstance(value, VIEWS):
            return {"g": [[self._outbox().pack(item) for item in value], None]}
        if isinstance(value, type):
            kind: type = value
            if getattr(builtins, kind.__name__, None) is kind:
                return {"bi": kind.__name__}
        self._handles.append(value)
        sort = "class" if isinstance(value, type) else "function" if callable(value) else "object"
        name = getattr(value, "__name__", type(value).__name__)
        return {"h": [len(self._handles) - 1, str(name)[:100], sort]}

    def _given(self, tag: str, content: Any) -> Any:
        if tag == "h":
            return self._handles[content]
        if tag == "bi":
            return getattr(builtins, content)
        if tag == "cb":
            return lambda *arguments: self._call_back(content, arguments)
        raise Unsendable(tag)

    def _call_back(self, function: int, arguments: tuple[Any, ...]) -> Any:
        self._channel.send({"callback": function, "a": self._outbox().pack(list(arguments))})
        reply = self._channel.receive()
        if "raised" in reply:
            raise getattr(builtins, reply["raised"][0], Exception)(reply["raised"][1])
        return Inbox(self._classes, self._given, arrays=True).unpack(reply["value"])


def _raised(error: BaseException) -> dict[str, Any]:
    """What the tester may know of an exception: the names along its class tree and its text."""
    if isinstance(error, TooLarge):
        return {"large": str(error)}
    try:
        text = str(error)[:500]
    except Exception:
        text = ""
    line = 0
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == "solution.py":
            line = step.tb_lineno
        step = step.tb_next
    number = error.errno if isinstance(error, OSError) and isinstance(error.errno, int) else 0
    return {"raised": [[kind.__name__ for kind in type(error).__mro__][:10], text, line, number]}


def main(descriptor: int) -> NoReturn:
    """Serve on the given socket until it closes; never returns."""
    try:
        Runtime(Channel(descriptor)).serve()
    finally:
        os._exit(0)
