"""Before the first program: the way of a candidate, gone with a program of ours.

What the interpreter learns on its way (specialized instructions, cached lookups, parsed keywords) lies in memory that every
fork shares; without it each candidate learns it anew, and copies each page that it writes this on. Ours, because that is a
tenth of what a short program costs.
"""

import contextlib
import socket
import sys
from typing import Any

from rrtf.judge import wire
from rrtf.judge.candidate import Channel, Runtime

ROUNDS = 10  # Python specializes what has run eight times
NAME = "rehearsed"
PROGRAM = f'''
from typing import Dict, List


def {NAME}(numbers: List[int], text: str = "", *, wanted: int = 3) -> List[int]:
    """Nothing of interest."""
    found: Dict[str, int] = {{}}
    for place, number in enumerate(sorted(numbers)):
        if number % 2 == 0 and len(text) < wanted:
            found[str(number)] = place
    if not numbers:
        raise ValueError("no numbers")
    return [value for name, value in found.items() if name.isdigit()] + list(range(max(numbers)))
'''
LOAD = {
    "program": PROGRAM,
    "names": [NAME],
    "classes": [],
    "limit": 1 << 20,
    "main": False,
    "alone": "",
    "preload": [],
}


def _call(*arguments: Any) -> dict[str, Any]:
    packed = [wire.pack(argument, other=wire.refuse) for argument in arguments]
    mutable = any(type(argument) is list for argument in arguments)
    return {"op": "call", "a": [{"h": 0}, *packed], "k": {}, "o": [], "mutable": mutable}


REQUESTS = (LOAD, _call([3, 1, 2], "text"), _call((1.5, True, None), "text"), _call([]))
NONCE = b"rehearse"


def rehearse() -> None:
    """Load the program and call it, ROUNDS times; nothing of it is left but what the interpreter has learned."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(ROUNDS):
            for request in REQUESTS:
                ours.send(wire.frame(NONCE, request, limit=1 << 20))
            ours.send(wire.framed(NONCE, b"the end", limit=1 << 20))
            with contextlib.suppress(wire.Violation):
                Runtime(Channel(theirs.fileno())).serve()
            ours.recv(1 << 16)
    del sys.modules["solution"]
