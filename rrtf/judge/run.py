"""The tester's end of one candidate process: start it, call it, watch its clocks, keep the evidence."""

import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from rrtf.judge import wire
from rrtf.judge.confine import Limits
from rrtf.judge.evidence import Bounds as Bounds
from rrtf.judge.evidence import Evidence as Evidence
from rrtf.judge.evidence import describe_status as describe_status
from rrtf.judge.wire import Violation
from rrtf.judge.zygote import send_order

MEBI = 1 << 20
CONTENDED = 0.1  # a candidate that waited for a CPU this share of its CPU time ran on a busy machine


TOTAL = 16  # all values of a run together may be this many times the largest single one


class Gone(Exception):
    """The candidate can't answer any more; the evidence says why."""


class Run:
    """One candidate process. `ask` sends a request and returns the reply; after `close` the evidence is complete."""

    def __init__(
        self, control: socket.socket, bounds: Bounds, *, stdin: int, callback: Callable[[Any], Any] | None = None
    ) -> None:
        self.evidence = Evidence()
        self.over = False
        self._bounds, self._control, self._callback = bounds, control, callback
        self._nonce = os.urandom(8)
        self.limit = bounds.output_mb * MEBI
        self._inbox = bytearray()
        self._news = bytearray()
        self._taken = 0
        self._deaf = self._closing = False
        self._turning = threading.RLock()  # a thread of the tests may wait for an answer when they end
        self._tick: tuple[float, float] | None = None
        self._answered, self._since = False, 0.0
        self.turns = 0  # news of the program
        self._quiet = 0.0
        self._began = time.monotonic()
        self._start(stdin)

    def _start(self, stdin: int) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        self._out, out = _pipe()
        self._err, err = _pipe()
        backstop = self._bounds.total * 2 + 20
        limits = Limits(backstop, self._bounds.memory_mb * MEBI, self.limit * 4, self._bounds.processes)
        send_order(self._control, limits, [stdin, out, err, theirs.fileno()])
        theirs.close()
        os.close(out)
        os.close(err)
        self._poll = select.poll()
        for descriptor in (self._channel, self._out, self._err, self._control):
            self._poll.register(descriptor, select.POLLIN)

    def ask(self, request: Any, *, again: bool = False) -> Any:
        """The reply to one request. Raises Gone when the process is over, or is ended because of what it did.

        `again`: it goes on waiting for what the request before waited for, and so does the clock for idle time.
        """
        self.send(wire.dumps(request), again=again)
        return self.reply()

    def send(self, body: bytes, *, again: bool = False) -> None:
        """One request, already packed. An answer that is there before its question ends the process."""
        self._tick = self._tick if again else None
        if self._inbox:
            raise self.stop("violation", "the program answered before it was asked")
        self._write(wire.framed(self._nonce, body, limit=1 << 30))

    def reply(self) -> Any:
        """The next answer; calls back into the tests' own functions are served on the way."""
        while True:
            reply = self.expect()
            if "callback" in reply and self._callback is not None:
                self._write(wire.frame(self._nonce, self._callback(reply), limit=1 << 30))
                continue
            self._answered = True
            if "large" in reply:
                raise self.stop("output", f"the program returned {reply['large']}")
            return reply

    def expect(self) -> dict[str, Any]:
        """The next message of the program's runtime. Raises Gone as `ask` does."""
        while True:
            body = self._next_frame()
            if body is not None:
                return self._parse(body)
            if self.over:
                raise Gone(self.evidence.detail or "the program ended")
            if self._deaf:
                self._await_end()
            else:
                self._turn()

    def wait(self) -> None:
        """Until the process ends by itself or is stopped; for programs that talk through standard streams."""
        while not self.over:
            self._turn()

    def stop(self, reason: str, detail: str) -> Gone:
        """End the process because of something it did; the first reason stays. Returns what to raise."""
        if not self.over and not self.evidence.stop:
            self.evidence.stop, self.evidence.detail = reason, detail
        self.close()
        return Gone(self.evidence.detail)

    def close(self) -> None:
        """Kill everything of this run that is alive, and take the measurements."""
        with self._turning:
            if not self.over and not self._closing:
                self._closing = True
                try:
                    self._control.sendall(b'{"stop": 1}\n')
                except OSError:
                    os._exit(1)
            while not self.over:
                self._turn()

    def _finish(self, report: dict[str, Any]) -> None:
        self.over = True
        evidence = self.evidence
        with contextlib.suppress(OSError):
            while data := self._channel.recv(1 << 18):
                self._inbox += data
        for descriptor, kept in ((self._out, evidence.output), (self._err, evidence.errors)):
            self._drain(descriptor, kept)
            os.close(descriptor)
        self._channel.close()
        evidence.status, evidence.broken = report["status"], report.get("broken", "")
        evidence.cpu, evidence.wall, evidence.peak_mb = report["cpu"], report["wall"], report["peak"]
        if report["killed"] and not evidence.stop:
            evidence.stop, evidence.detail = report["killed"], "more resident memory than the limit"

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self.over or self._deaf:
                return  # the reading side finds out why
            try:
                view = view[self._channel.send(view) :]
            except BlockingIOError:
                self._poll.modify(self._channel, select.POLLIN | select.POLLOUT)
                self._turn()
                if not self.over and not self._deaf:
                    self._poll.modify(self._channel, select.POLLIN)
            except OSError:
                self._hang_up()

    def _next_frame(self) -> bytes | None:
        if len(self._inbox) < wire.HEADER.size:
            return None
        nonce, length = wire.HEADER.unpack_from(self._inbox)
        end = wire.HEADER.size + length
        if nonce != self._nonce or length > self.limit:
            raise self.stop("violation", "the program wrote to the result channel")
        self._taken += 0 if len(self._inbox) < end else length
        if self._taken > TOTAL * self.limit:
            raise self.stop("output", f"returned more than {TOTAL * self._bounds.output_mb} MiB in all")
        if len(self._inbox) < end:
            return None
        body = bytes(self._inbox[wire.HEADER.size : end])
        del self._inbox[:end]
        return body

    def _parse(self, body: bytes) -> dict[str, Any]:
        try:
            message = wire.parse(body)
            if type(message) is dict:
                return message
            raise Violation("not an object")
        except Violation as error:
            raise self.stop("violation", f"the program wrote to the result channel: {error}") from None

    def _turn(self) -> None:
        """Wait for the next events and take them in."""
        self.turns += 1
        with self._turning:
            for descriptor, _ in () if self.over else self._poll.poll():
                if self.over:
                    return
                if descriptor == self._control.fileno():
                    self._hear()
                elif self._closing:
                    self._poll.unregister(descriptor)
                elif descriptor == self._out:
                    self._collect(self._out, self.evidence.output)
                elif descriptor == self._err:
                    self._collect(self._err, self.evidence.errors)
                else:
                    self._receive()

    def _receive(self) -> None:
        try:
            data = self._channel.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._inbox += data
        if not data:
            self._hang_up()
        elif len(self._inbox) > 2 * self.limit:  # it writes while it has a question to read
            self.stop("output", "wrote more than one answer may have")

    def _hang_up(self) -> None:
        self._taken = 0
        self._deaf = True
        self._poll.unregister(self._channel)

    def _await_end(self) -> None:
        """The channel is closed: normally the process is ending. One that keeps running without it is stopped."""
        deadline = time.monotonic() + 1.0
        while not self.over and time.monotonic() < deadline:
            self._turn()  # the zygote ticks, so this returns often
        if not self.over:
            self.stop("violation", "the program closed its result channel")

    def _collect(self, descriptor: int, kept: bytearray) -> None:
        try:
            data = os.read(descriptor, 1 << 16)
        except BlockingIOError:  # the program may have read it back
            return
        if not data:
            self._poll.unregister(descriptor)
        kept += data
        if len(kept) > self.limit:
            self.stop("output", f"printed more than {self._bounds.output_mb} MiB")

    def _drain(self, descriptor: int, kept: bytearray) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(kept) <= self.limit and (data := os.read(descriptor, 1 << 16)):
                kept += data
        if len(kept) > self.limit and not self.evidence.stop:
            self.evidence.stop, self.evidence.detail = "output", f"printed more than {self._bounds.output_mb} MiB"

    def _hear(self) -> None:
        """News from the zygote: a tick, or the end."""
        data = self._control.recv(1 << 16)
        if not data:
            os._exit(1)  # without its zygote this worker is useless; the engine starts another
        self._news += data
        while b"\n" in self._news:
            line, _, rest = self._news.partition(b"\n")
            self._news = rest
            message = json.loads(line)
            if "end" in message:
                self._finish(message)
            elif not self.over and not self._closing:
                self._judge_tick(message["tick"])

    def _judge_tick(self, look: dict[str, float]) -> None:
        """CPU seconds decide. Idle seconds (neither running nor waiting for a CPU) within one call catch sleepers."""
        limit = self._bounds.seconds
        used = look["cpu"] - self.evidence.start_cpu
        if self._answered:
            self._answered, self._since = False, used
        self.evidence.slowest = max(self.evidence.slowest, used - self._since)
        self.evidence.busy = look["waited"] > CONTENDED * look["cpu"]
        now, active = time.monotonic(), look["cpu"] + look["waited"]
        if self._tick is not None:
            self._quiet += (1 - look["awake"]) * max(0.0, now - self._tick[0] - max(0.0, active - self._tick[1]))
        self._tick = (now, active)
        grace = 1.5 if self.evidence.busy else 1.0  # beyond the limit it is a timeout, unless a busy machine is to blame
        if used > self._bounds.total * grace:
            self.stop("timeout", f"more than {self._bounds.total:g} CPU seconds")
        elif self._bounds.total > limit and used - self._since > limit * grace:
            self.stop("timeout", f"more than {limit:g} CPU seconds for one input")
        elif self._quiet > limit + 1:
            self.stop("timeout", f"idle for more than {limit + 1:g} seconds")
        elif now - self._began > 30 * self._bounds.total + 30:
            self.stop("timeout", f"running for more than {30 * self._bounds.total + 30:g} seconds")


def _pipe() -> tuple[int, int]:
    """For what a program prints: never waited for, and open to writing by name (/dev/stdout) where it is another user."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    os.fchmod(theirs, 0o622)
    return ours, theirs
