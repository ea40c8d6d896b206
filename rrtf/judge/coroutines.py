"""In the candidate's process: coroutines of the program, and of the tests, on one event loop that turns when the tests ask.

The tests have a loop of their own. Theirs gives a coroutine of the program as much time as it has to spare, so that what tests
do beside it (a timeout, other coroutines) happens in between.
"""

from collections.abc import Awaitable, Callable
from typing import Any

_PAUSE = 0.002  # seconds between two questions after a coroutine of the tests
_loops: list[Any] = []
_turns: list[Any] = []  # done when a coroutine of the tests is waited for, which needs their loop to turn
_tasks: dict[int, tuple[Any, Any]] = {}  # with the awaitable, so that no other gets its id


def step(awaitable: Any, seconds: float | None, cancel: bool) -> list[Any] | None:
    """Let all coroutines run for so long (None: until this one ends). [its value] at its end, None if it was cancelled."""
    import asyncio  # only where a program has coroutines: it takes long to load

    if not _loops:
        _loops.append(asyncio.new_event_loop())
    loop = _loops[0]
    if id(awaitable) not in _tasks:
        _tasks[id(awaitable)] = (awaitable, asyncio.ensure_future(awaitable, loop=loop))
    task = _tasks[id(awaitable)][1]
    if cancel:
        task.cancel()
    _turns[:] = [loop.create_future()]
    running = {task} if seconds is None else {other for _, other in _tasks.values() if not other.done()} | {task}
    loop.run_until_complete(asyncio.wait({*running, *_turns}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED))
    if not task.done():
        return []
    del _tasks[id(awaitable)]
    return None if task.cancelled() else [task.result()]


async def following(target: Any) -> list[Any]:
    """The next item of an asynchronous iterator, in a list; an empty one at its end."""
    try:
        return [await target.__anext__()]
    except StopAsyncIteration:
        return []


async def entered(target: Any) -> Any:
    """What `async with` gives."""
    return await target.__aenter__()


async def left(target: Any, error: Any = None) -> Any:
    """The end of `async with`."""
    return await target.__aexit__(error and type(error), error, None)


async def waited(target: Any) -> Any:
    """What `await` gives."""
    return await target


async def lent(ask: Callable[[bool], Any]) -> Any:
    """What can be awaited of the tests, which runs over there; asked with True, it is cancelled."""
    import asyncio

    while not (done := ask(False)):
        for turn in _turns:
            turn.cancel()
        try:
            await asyncio.sleep(_PAUSE)
        except asyncio.CancelledError:
            ask(True)
            raise
    return done[0]


class Items:
    """An asynchronous generator of the tests."""

    def __init__(self, ask: Callable[[], Awaitable[list[Any]]]) -> None:
        self._ask = ask

    def __aiter__(self) -> "Items":
        return self

    async def __anext__(self) -> Any:
        if found := await self._ask():
            return found[0]
        raise StopAsyncIteration


def lent_function(function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """One that is known to be a coroutine function."""

    async def awaited(*arguments: Any, **keywords: Any) -> Any:
        return await function(*arguments, **keywords)

    return awaited
