"""What a candidate and everything it started have used: CPU seconds, waiting for a CPU, memory."""
# ruff: noqa: PTH123, PTH208
# pathlib would be loaded into every candidate

import contextlib
import os
import time
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PEAK_UNIT = 1024 if os.uname().sysname == "Linux" else 1 << 20  # of ru_maxrss, a MiB
_ROUNDED = 0.05  # seconds that rounding to ticks may hide


# in the kernel (D) is mostly waiting for a disk, which is nobody's fault; but vfork waits there as well, for as long as its
# child likes, so a quarter of that time counts as sleep
AWAKE = {"R": 1.0, "D": 0.75}


class Census:
    """Watches the process `pid` and its descendants from their common parent.

    CPU seconds are counted in two ways, neither of which counts too much: what the kernel hands on when somebody waits for a
    child that ended, and what every process, living or gone, had used when it was last seen. The second sees children that
    nobody waits for: a program that ignores SIGCHLD has the kernel bury them, with their account.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.status: int | None = None
        self._cpu = 0.0
        self._peak = 0
        self._last: dict[tuple[int, str], float] = {}  # by process id and time of start: own CPU seconds when last seen
        self._seen = 0.0  # their sum
        self.losing = False  # some process is gone without an account: look more often, or short ones are missed

    def reap(self, *, wait: bool = False) -> bool:
        """Collect ended children; with `wait`, until none is left. False when there is no child any more."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, 0 if wait else os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._pid:
                self.status = status
            self._cpu += usage.ru_utime + usage.ru_stime
            self._peak = max(self._peak, usage.ru_maxrss)

    def look(self) -> dict[str, float]:
        """Over all living processes: CPU seconds, seconds without one, resident bytes, and the most awake state.

        The kernel adds waiting time only when it ends, so a process that is starved right now shows as awake, not as waiting.
        """
        cpu, waited, memory, awake = self._cpu, 0.0, 0, 0.0
        for pid in {self._pid, *descendants()}:
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = _stat(pid)
                own, children = (sum(map(int, fields[place : place + 2])) / _TICKS for place in (11, 13))
                tasks = os.listdir(f"/proc/{pid}/task")
                awake = max(awake, *(AWAKE.get(_state(pid, task), 0.0) for task in tasks))
                times = [_read(f"/proc/{pid}/task/{task}/schedstat").split() for task in tasks]
                own = max(own, sum(int(ran) for ran, *_ in times) / 1e9)  # finer, but without threads that have ended
                cpu += own + children
                self._see((pid, fields[19]), own)
                waited += sum(int(wait) for _, wait, *_ in times) / 1e9
                memory += _private_and_shared(pid)
        with contextlib.suppress(OSError):
            cpu = max(cpu, time.clock_gettime((~self._pid << 3) | 2))  # the kernel's exact clock of that process
        self.losing = self._seen > cpu + _ROUNDED
        return {"cpu": max(cpu, self._seen), "waited": waited, "memory": memory, "awake": awake}

    def _see(self, process: tuple[int, str], own: float) -> None:
        before = self._last.get(process, 0.0)
        if own > before:
            self._last[process] = own
            self._seen += own - before

    def totals(self) -> dict[str, Any]:
        """CPU seconds of everything, and the peak resident MiB of what was reaped."""
        return {"cpu": max(self._cpu, self._seen), "peak": self._peak / _PEAK_UNIT}


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _state(pid: int, task: str) -> str:
    """R running or ready, D in the kernel, S asleep, T stopped, Z dead."""
    return _read(f"/proc/{pid}/task/{task}/stat").rpartition(")")[2].split()[0]


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command name, which may itself hold blanks and brackets."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _private_and_shared(pid: int) -> int:
    _, resident, shared, *_ = _read(f"/proc/{pid}/statm").split()
    return (int(resident) - int(shared)) * _PAGE + _shmem(pid)


def _shmem(pid: int) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("RssShmem:"):
            return int(line.split()[1]) * 1024
    return 0


def descendants() -> list[int]:
    """Every process below this one, zombies left out."""
    parents: dict[int, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, IndexError, ValueError):
                    fields = _stat(int(name))
                    if fields[0] != "Z":
                        parents[int(name)] = int(fields[1])
    found = {os.getpid()}
    while True:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        if not more:
            return sorted(found - {os.getpid()})
        found |= more
