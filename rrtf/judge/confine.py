"""What a freshly forked candidate process gives up before the first line of its program runs."""

import contextlib
import fcntl
import os
import resource
import signal
import sys
from typing import NamedTuple

from rrtf.judge import linux, seccomp
from rrtf.judge.jail import INSIDE_UID, Jail

CHANNEL = 3
STACK_BYTES = 100 << 20  # honest recursion to a depth of 10**5 fits; the kernel leaves at least 128 MB for the main stack
OPEN_FILES = 256


class Limits(NamedTuple):
    """What the kernel enforces on one run. `cpu` is a backstop in whole seconds: the tester's own clock decides before it."""

    cpu: float
    memory: int
    file: int
    processes: int


def confine(limits: Limits, *, jail: Jail | None, scratch: str) -> None:
    """Restrict this process for good: session, limits, identity, capabilities, system calls."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    os.umask(0o077)
    os.chdir(scratch)
    _limit_resources(limits)
    if jail is not None:
        _drop_identity(jail)
    if linux.AVAILABLE:
        seccomp.install()
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # its own /proc entries; the worker's stay closed


def _limit_resources(limits: Limits) -> None:
    cpu = int(limits.cpu) + 2
    wanted = [
        (resource.RLIMIT_CPU, cpu, cpu),
        (resource.RLIMIT_FSIZE, limits.file, limits.file),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_NPROC, limits.processes, limits.processes),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_STACK, STACK_BYTES, STACK_BYTES),
        # counts private memory of this process only: numpy's mapped files stay free, which an address space limit charges
        (resource.RLIMIT_DATA if linux.AVAILABLE else resource.RLIMIT_AS, limits.memory, limits.memory),
    ]
    for kind, soft, hard in wanted:
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some of them
            resource.setrlimit(kind, (soft, hard))


def _drop_identity(jail: Jail) -> None:
    if jail.drops_uid:
        os.setgroups([])
        os.setresgid(INSIDE_UID, INSIDE_UID, INSIDE_UID)
        os.setresuid(INSIDE_UID, INSIDE_UID, INSIDE_UID)
    linux.drop_capabilities()


def take_streams(stdin: int, stdout: int, stderr: int, channel: int) -> None:
    """Put the run's four descriptors in their places and close every other one."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (stdin, stdout, stderr, channel)]
    for place, fd in enumerate(high):
        os.dup2(fd, place, inheritable=place < CHANNEL)
    os.closerange(CHANNEL + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115, PTH123
    sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115, PTH123
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False, buffering=1)  # noqa: SIM115, PTH123
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]
