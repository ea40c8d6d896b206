"""What a freshly forked candidate process gives up before the first line of its program runs.

What can be inherited is set once in the zygote (`prepare`), because every system call here is paid for each candidate.
"""

import _signal
import contextlib
import os
import resource
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from rrtf.judge import linux, seccomp
from rrtf.judge.walls import Walls

CHANNEL = 3
STACK_BYTES = 100 << 20  # honest recursion to a depth of 10**5 fits; the kernel leaves at least 128 MB for the main stack
OPEN_FILES = 256
# counts private memory of a process only: numpy's mapped files stay free, which an address space limit charges
MEMORY = resource.RLIMIT_DATA if linux.AVAILABLE else resource.RLIMIT_AS


class Limits(NamedTuple):
    """What the kernel enforces on one run. `cpu` is a backstop in whole seconds: the tester's own clock decides before it."""

    cpu: float
    memory: int
    file: int
    processes: int


def prepare(walls: Walls) -> None:
    """In the zygote, once: limits that are the same for every run, and the system call filter."""
    os.chdir(walls.scratch)
    for kind, value in ((resource.RLIMIT_NOFILE, OPEN_FILES), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_STACK, STACK_BYTES)):
        _limit(kind, value)
    while os.dup(0) < CHANNEL:  # what comes for a candidate is never in the places that it is to have
        pass
    if walls.power is not None:
        linux.prctl(linux.PR_SET_KEEPCAPS, 1)
    if linux.AVAILABLE:
        # other tiers share the network of this machine, and the sockets that its services listen on by name
        seccomp.install(families=seccomp.FAMILIES if walls.tier == "namespaces" else ())


Steps = list[tuple[Callable[..., Any], tuple[Any, ...]]]


def confinement(limits: Limits, walls: Walls) -> Steps:
    """What restricts a candidate for good, as calls for it to make: prepared in the zygote, once for equal limits.

    Ours, because a page that a fork writes on is copied, and every name looked up writes on one.
    """
    # the functions of `signal` itself make enums of what they are given, and of what they return
    steps: Steps = [(_signal.set_wakeup_fd, (-1,)), (_signal.signal, (_signal.SIGCHLD, _signal.SIG_DFL))]
    steps.append((_signal.signal, (_signal.SIGINT, _signal.default_int_handler)))
    steps.append((os.setsid, ()))
    steps.append((_limit, (resource.RLIMIT_CPU, int(limits.cpu) + 2)))
    steps.append((_limit, (resource.RLIMIT_FSIZE, limits.file)))
    steps.append((_limit, (resource.RLIMIT_NPROC, limits.processes)))
    steps.append((_limit, (MEMORY, limits.memory)))
    if walls.uid is not None:  # leaving root also drops every capability, unless it is told to keep them
        steps += [(os.setgroups, ([],)), (os.setresgid, (walls.uid,) * 3), (os.setresuid, (walls.uid,) * 3)]
        steps += [] if walls.power is None else [(walls.power, ())]
    if linux.AVAILABLE:
        steps.append((linux.prctl, (linux.PR_SET_DUMPABLE, 1)))  # its own /proc entries; the worker's stay closed
    return steps


def _limit(kind: int, value: int) -> None:
    try:
        resource.setrlimit(kind, (value, value))
    except ValueError:  # above a ceiling that this machine set before us: then the ceiling is the limit
        ceiling = resource.getrlimit(kind)[1]
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(kind, (ceiling, ceiling))


def take_streams(stdin: int, stdout: int, stderr: int, channel: int) -> None:
    """Put the run's four descriptors in their places and close every other one."""
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.dup2(channel, CHANNEL, False)  # not a keyword: Python would parse its name anew for each candidate  # noqa: FBT003
    os.closerange(CHANNEL + 1, OPEN_FILES)


def open_streams() -> None:
    """Fresh text streams for a program that reads and prints; the interpreter's own may have cached what lay there before."""
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
