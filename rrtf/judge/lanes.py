"""In the candidate's process, where several threads of the tests use the program at once: one thread here for each of them.

One call may wait for what another will do (a queue, a lock, a barrier of the program). The channel still carries one question
and one answer at a time: a call that is not over yet is answered by "pending", and its thread of the tests asks again.
"""

import _thread
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, NoReturn

PATIENCE = 0.01  # seconds before a call that is not over is said to be pending


class Lanes:
    """For each thread what it was asked and what it has to say; `send` and `receive` are those of the calling thread."""

    def __init__(self, channel: Any, answer: Callable[[Any], Any]) -> None:
        import queue  # only where tests have threads: these take long to load
        import threading

        self._channel, self._answer = channel, answer
        self._own = threading.local()
        self._asked: dict[int, queue.SimpleQueue[Any]] = {}
        self._mailbox = queue.SimpleQueue
        self._told: dict[int, deque[Any]] = defaultdict(deque)
        self._news = threading.Condition()

    def serve(self, request: dict[str, Any]) -> NoReturn:
        """From this request on, with the main thread for that of the tests."""
        self._asked[0] = self._mailbox()
        _thread.start_new_thread(self._pass_on, (request,))
        self._work(0)

    def send(self, message: dict[str, Any]) -> None:
        """What this thread has to say; the next question after it tells it."""
        lane = self._lane()
        with self._news:
            self._told[max(lane, -1)].append(message | {"lane": lane})
            self._news.notify_all()

    def receive(self) -> Any:
        """What this thread is asked, or the answer to what it asked."""
        return self._asked[self._lane()].get()

    def _lane(self) -> int:
        """Its number: that of a thread of the tests, or below 0 for a thread of the program."""
        if not hasattr(self._own, "lane"):
            self._own.lane = -1 - _thread.get_ident()
            self._asked[self._own.lane] = self._mailbox()
        return int(self._own.lane)

    def _pass_on(self, request: dict[str, Any]) -> None:
        while True:
            lane = request["lane"]
            if len(request) > 1:
                self._hand(lane, request)
            self._channel.send(self._next(request.get("for", lane)))
            request = self._channel.receive()

    def _hand(self, lane: int, request: dict[str, Any]) -> None:
        if lane not in self._asked:
            self._asked[lane] = self._mailbox()
            _thread.start_new_thread(self._work, (lane,))
        self._asked[lane].put(request)

    def _next(self, lane: int) -> Any:
        with self._news:
            self._news.wait_for(lambda: any(self._told.values()), PATIENCE)
            told = self._told[lane] or self._told[-1]
            return told.popleft() if told else {"pending": True}

    def _work(self, lane: int) -> NoReturn:
        self._own.lane = lane
        while True:
            self.send(self._answer(self.receive()))
