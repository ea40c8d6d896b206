"""In the tests' process: threads of the tests that use the program at once (see `lanes`)."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rrtf.judge.grafting import MUTABLE

THREADS = re.compile(r"\bthreading\b|\bconcurrent\.futures\b|\bThreadPool")  # in tests that may have threads
PAUSE = 0.0005  # seconds for the other threads of the tests
# seconds without news of the calls under way, which seem to wait for another; seconds that a call waits for them at most
STILL, LONGEST = 0.02, 0.25
STILL_SHARING, LONGEST_SHARING = 1.0, 10.0  # the same for one that is given a list which one of them was given


class Turns:
    """One call after the other, unless those under way wait: what two calls at once are given would be two copies.

    `lock` is the lock of the remote, held by whoever calls a method.
    """

    def __init__(self, lock: Any) -> None:
        self._lock = lock
        self._busy: dict[int, frozenset[int]] = {}  # by thread, the lists and the like that its call was given
        self._moved = 0.0

    @contextlib.contextmanager
    def taken(self, given: Iterable[Any]) -> Iterator[None]:
        """A call; one inside another of the same thread never waits."""
        mine = frozenset(id(value) for value in given if isinstance(value, MUTABLE))
        before = self._busy.get(lane())
        if before is None:
            self._wait(mine)
        self._busy[lane()] = mine | (before or frozenset())
        try:
            yield
        finally:
            self._busy.pop(lane())
            if before is not None:
                self._busy[lane()] = before
            self._moved = time.monotonic()

    def _wait(self, mine: frozenset[int]) -> None:
        began = time.monotonic()
        while self._busy:
            shares = any(mine & theirs for theirs in self._busy.values())
            still, longest = (STILL_SHARING, LONGEST_SHARING) if shares else (STILL, LONGEST)
            now = time.monotonic()
            if now > min(self._moved + still, began + longest):
                break
            self._step_aside(lambda: time.sleep(PAUSE))
        self._moved = time.monotonic()

    def reply(self, ask: Callable[..., Any], request: dict[str, Any], *, again: bool) -> dict[str, Any]:
        """The reply to a request; while it is pending, others have their turn."""
        reply = dict(ask(request | {"lane": lane()}, again=again))
        while "pending" in reply:
            self._step_aside(lambda: time.sleep(PAUSE))
            reply = dict(ask({"lane": lane()}, again=True))
        return reply

    def serve(self, lending: Callable[[dict[str, Any]], dict[str, Any]], message: dict[str, Any]) -> dict[str, Any]:
        """The program uses what the tests lent it."""
        self._moved = time.monotonic()
        reply = self._step_aside(lambda: lending(message))
        self._moved = time.monotonic()
        return {**reply, "lane": message["lane"], "for": lane()}

    def _step_aside(self, act: Callable[[], Any]) -> Any:
        state = self._lock._release_save()
        try:
            return act()
        finally:
            self._lock._acquire_restore(state)


def lane() -> int:
    """The number of the thread that asks."""
    return 0 if threading.current_thread() is threading.main_thread() else threading.get_ident()
