"""What a candidate and everything it started have used: CPU seconds, waiting for a CPU, memory."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Census:
    """Watches the process `pid` and its descendants from their common parent."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._cpu = 0.0
        self._peak = 0

    def reap(self, *, wait: bool = False) -> dict[int, int]:
        """Collect ended children; {pid: wait status}. With `wait`, until none is left."""
        ended = {}
        while True:
            try:
                pid, status, usage = os.wait4(-1, 0 if wait else os.WNOHANG)
            except ChildProcessError:
                return ended
            if pid == 0:
                return ended
            ended[pid] = status
            self._cpu += usage.ru_utime + usage.ru_stime
            self._peak = max(self._peak, usage.ru_maxrss)

    def look(self) -> dict[str, float]:
        """CPU seconds so far, seconds spent ready but without a CPU, and resident bytes, over all living processes."""
        cpu, waited, memory = self._cpu, 0.0, 0
        for pid in {self._pid, *descendants()}:
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = _stat(pid)
                cpu += sum(int(field) for field in fields[11:15]) / _TICKS
                waited += sum(int(task.read_text().split()[1]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
                memory += _private_and_shared(pid)
        with contextlib.suppress(OSError):
            cpu = max(cpu, time.clock_gettime((~self._pid << 3) | 2))  # the kernel's exact clock of that process
        return {"cpu": cpu, "waited": waited, "memory": memory}

    def totals(self) -> dict[str, Any]:
        """CPU seconds and peak resident MiB of everything reaped."""
        return {"cpu": self._cpu, "peak": self._peak / (1024 if os.uname().sysname == "Linux" else 1 << 20)}


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command name, which may itself hold blanks and brackets."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode().split()


def _private_and_shared(pid: int) -> int:
    _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(resident) - int(shared)) * _PAGE + _shmem(pid)


def _shmem(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
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
