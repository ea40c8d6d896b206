"""What stands in the tests for the candidate's coroutines: their event loop runs them, over there, beside its own."""

import sys
from collections.abc import Generator
from types import CoroutineType
from typing import Any

from rrtf.judge.things import Thing
from rrtf.judge.wire import Violation

PAUSE = 0.005  # seconds that the program's loop may run on while the tests' loop has something else to do


class Awaited(Thing):
    """Something of the candidate to await."""

    __class__ = CoroutineType  # type: ignore[assignment]

    def __init__(self, remote: Any, handle: int, name: str) -> None:
        super().__init__(remote, handle, name)
        object.__setattr__(self, "_rrtf_steps", self.__await__())

    def __await__(self) -> Generator[Any, Any, Any]:
        """Ask for a step, and let the tests' loop turn, until it is done or has taken notice of its cancellation."""
        thrown: BaseException | None = None
        pause, cancel = 0.0, False
        while (state := self._rrtf_do("step", _patience(pause), cancel)) == []:
            pause, cancel = PAUSE, False
            try:
                yield
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: B036 - a cancellation
                thrown, cancel = error, True
        if type(state) is list:
            return state[0]
        if state is not None:
            raise Violation("a coroutine's state must be a list")
        raise thrown or RuntimeError("CancelledError")

    def send(self, value: Any) -> Any:
        """What an event loop calls."""
        return self._rrtf_steps.send(value)

    def throw(self, error: BaseException, *_: Any) -> Any:
        """What it calls to cancel."""
        return self._rrtf_steps.throw(error)

    def close(self) -> None:
        """What it calls at last."""
        self._rrtf_steps.close()


def _patience(pause: float) -> float | None:
    """How long the program may run before the tests' loop has its turn; None where that has nothing else to do."""
    loop: Any = sys.modules["asyncio"]._get_running_loop() if "asyncio" in sys.modules else None
    if loop is None or not (loop._ready or loop._scheduled):
        return None
    return pause if loop._ready else max(0.0, loop._scheduled[0].when() - loop.time())
