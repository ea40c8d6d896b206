"""What tests change around a call in one process, carried to the process where the program runs.

Output that tests catch (`redirect_stdout`, capsys) is that of the program during the call; input that they lay out (another
`sys.stdin`, another `input`) is what it reads; a seed that they set is that of its random numbers.
"""

import builtins
import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

_INPUT = builtins.input
LENT = frozenset({"catch", "stdin", "input", "random"})  # what a request says of it
_seeds = 0  # how often the tests have seeded their random numbers


def watch_seeds() -> None:
    """In the tests' process, once: notice `random.seed`."""
    import random  # not in the candidates' process, where it would be loaded for all of them, with one state

    seed_it = random.seed

    def seed(*arguments: Any, **keywords: Any) -> None:
        global _seeds
        _seeds += 1
        seed_it(*arguments, **keywords)

    random.seed = seed


class Surroundings:
    """The tests' side of one run."""

    def __init__(self) -> None:
        self._stdin, self._seeds = sys.stdin, _seeds

    def changed(self, own: Callable[[Any], Any]) -> dict[str, Any]:
        """What a call has to know of it: nothing, mostly. `own` packs a function of the tests."""
        request: dict[str, Any] = {}
        if sys.stdout is not sys.__stdout__:
            request["catch"] = True
        if sys.stdin is not self._stdin and isinstance(sys.stdin, io.StringIO):
            request["stdin"] = sys.stdin.read()
        if builtins.input is not _INPUT:
            request["input"] = own(builtins.input)
        if self._seeds != _seeds:
            self._seeds = _seeds
            request["random"] = sys.modules["random"].getstate()
        return request

    def show(self, reply: dict[str, Any]) -> None:
        """Print here what the program printed."""
        if type(printed := reply.get("printed")) is str:
            sys.stdout.write(printed)


@contextlib.contextmanager
def lent(request: dict[str, Any], unpack: Callable[[Any], Any]) -> Iterator[io.StringIO | None]:
    """The program's side of one call; gives the file that catches its output, where there is one."""
    kept = sys.stdout, sys.stdin, builtins.input
    caught = io.StringIO() if "catch" in request else None
    try:
        if caught is not None:
            sys.stdout = caught
        if "stdin" in request:
            sys.stdin = io.StringIO(request["stdin"])
        if "input" in request:
            builtins.input = unpack(request["input"])
        if "random" in request:
            import random

            version, numbers, spare = request["random"]
            random.setstate((version, tuple(numbers), spare))
        yield caught
    finally:
        sys.stdout, sys.stdin, builtins.input = kept
