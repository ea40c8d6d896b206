"""The start of a worker process: the zygote and the tester, each behind its own walls, with one socket between them.

Run by the engine as `python -s -c BOOT`. It raises nothing upwards: a worker that can't start says why on its first line.
"""

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from rrtf.judge import jail, linux, lower
from rrtf.judge.confine import MEMORY, STACK_BYTES
from rrtf.judge.walls import Walls
from rrtf.judge.zygote import Zygote

TESTER_BYTES = 4 << 30  # a value of a candidate must not eat the machine where it is compared
# modules that programs often start with, loaded once for all of them
WARM = ("bisect", "collections", "copy", "functools", "heapq", "itertools", "math", "operator", "re", "string", "typing")
BOOT = "import sys; sys.path[0] = sys.argv[1]; from rrtf.judge.worker import main; sys.path.pop(0); main(*sys.argv[1:])"


def main(root: str, tier: str, cpu: str) -> None:
    """Build both halves in the given tier and serve until the engine closes stdin.

    `cpu` is the number of the one to stay on, or "". `root` is where this package lies.
    """
    if cpu and linux.AVAILABLE:
        os.sched_setaffinity(0, {int(cpu)})
    sys.argv = sys.orig_argv = ["solution.py"]  # no path of this machine, and what fileinput expects of a script
    for name in WARM:
        __import__(name)
    if linux.AVAILABLE:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    control, theirs = socket.socketpair()
    children: list[int] = []
    try:
        # the zygote first: it must stay small, because every candidate is a copy of it
        children.append(_start(tier, lambda walls: _zygote(theirs, control, walls)))
        sys.path.insert(0, root)  # while the tester's files are still in sight
        from rrtf.judge.tester import Tester

        sys.path.pop(0)
        children.append(_start(tier, lambda walls: _tester(control, theirs, walls, Tester)))
    except OSError as error:
        os.write(1, json.dumps({"refused": str(error)}).encode() + b"\n")
        sys.exit(3)
    control.close()
    theirs.close()
    os.close(0)
    os.close(1)
    zygote, tester = children
    if os.wait()[0] == zygote:
        os.kill(tester, signal.SIGKILL)
    else:
        if tier == "namespaces":  # everything inside goes with it; elsewhere it sees the tester go, and cleans up
            os.kill(zygote, signal.SIGKILL)
        os.waitpid(zygote, 0)
    os._exit(0)


def _start(tier: str, inside: Callable[[Walls], None]) -> int:
    return jail.enter(inside) if tier == "namespaces" else lower.enter(inside, landlocked=tier == "landlock")


def _zygote(theirs: socket.socket, control: socket.socket, walls: Walls) -> None:
    control.close()
    os.dup(1)  # the engine waits for the end of this pipe; candidates close it
    if walls.tier != "namespaces":
        os.setsid()  # outlives the worker's group, to clean up behind it
    _leave_streams()
    Zygote(theirs, walls).serve()


def _tester(control: socket.socket, theirs: socket.socket, walls: Walls, make: Any) -> None:
    theirs.close()
    if linux.AVAILABLE:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    orders, findings = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    walls.close_in(False)
    resource.setrlimit(MEMORY, (TESTER_BYTES, TESTER_BYTES))
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, STACK_BYTES))  # Python 3.10 recurses on it
    os.write(1, json.dumps({"ready": walls.words}).encode() + b"\n")
    _leave_streams()
    make(control, orders, findings, walls).serve()


def _leave_streams() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
