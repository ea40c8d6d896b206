"""The engine's end of the workers: processes that start, take orders, report findings, die and are replaced."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from rrtf.errors import InfrastructureError
from rrtf.judge import lower
from rrtf.judge.settings import Isolation, Judge
from rrtf.judge.tester import KEPT_BYTES, KEPT_PROBLEMS
from rrtf.judge.worker import BOOT

ROOT = str(Path(__file__).parents[2])
# the whole environment of a worker: nothing of the user's, hashes and threads made reproducible
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
CLEANING = 10.0  # seconds that the end of a worker may take
TIERS = (Isolation.namespaces, Isolation.landlock, Isolation.processes)


class Refused(InfrastructureError):
    """This machine does not allow a tier; the text says what it refused."""


class Worker:
    """One worker process. `send` queues an order, `pump` writes what fits, `read` returns the findings that have come.

    With a `cpu` all of it stays there. Its processes take turns, so they need no second one; moved between CPUs, they
    waken each other at a cost of 7 % of the programs per second. Where there are fewer workers than CPUs the kernel
    places them better, among whatever else runs.
    """

    def __init__(self, tier: Isolation, cpu: int | None = None) -> None:
        self.tier, self.cpu = tier, cpu
        self.isolation = tier.value  # in the words of the worker, once it is ready
        self.jobs: OrderedDict[int, Any] = OrderedDict()  # what it has been given and not reported, in order
        self.since = time.monotonic()
        self._known: OrderedDict[str, int] = OrderedDict()
        self._starting = True
        self._outgoing = bytearray()
        self._incoming = bytearray()
        command = [sys.executable, "-s", "-c", BOOT, ROOT, tier.value, "" if cpu is None else str(cpu)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
            start_new_session=True,
            cwd="/",
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self.stdin, self.stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self.stdin, False)
        os.set_blocking(self.stdout, False)

    def wait_until_ready(self) -> None:
        """Raises Refused when the tier can't be built here."""
        while self._starting:
            select.select([self.stdout], [], [])
            if self.read() is None:
                self._started({"refused": "the worker died at start"})

    def _started(self, message: dict[str, str]) -> None:
        self._starting = False
        if "ready" not in message:
            raise Refused(message["refused"])
        self.isolation = message["ready"]

    def has(self, key: str) -> bool:
        """Whether the worker has compiled the problem `key`."""
        return key in self._known

    def knows(self, key: str) -> bool:
        """As `has`, for a problem about to be used; keeps the same order of use as the worker itself."""
        if key in self._known:
            self._known.move_to_end(key)
            return True
        return False

    def learn(self, key: str, problem: dict[str, Any]) -> None:
        """Queue a problem's tests; the worker forgets the one used longest ago."""
        size = self._known[key] = len(json.dumps(problem))
        while len(self._known) > KEPT_PROBLEMS or (len(self._known) > 1 and sum(self._known.values()) > KEPT_BYTES):
            self._known.popitem(last=False)
        self.send({"key": key, "size": size, "problem": problem})

    def send(self, order: dict[str, Any]) -> None:
        """Queue one order."""
        self._outgoing += json.dumps(order).encode() + b"\n"
        self.pump()

    def pump(self) -> bool:
        """Write what the pipe takes; True when something is left."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._outgoing:
                del self._outgoing[: os.write(self.stdin, self._outgoing)]
        return bool(self._outgoing)

    def read(self) -> list[dict[str, Any]] | None:
        """Findings that have come, or None when the worker is gone. Raises Refused where it could not start."""
        try:
            data = os.read(self.stdout, 1 << 18)
        except BlockingIOError:
            return []
        if not data:
            return None
        *lines, rest = (self._incoming + data).split(b"\n")
        self._incoming = bytearray(rest)
        if lines and self._starting:
            self._started(json.loads(lines.pop(0)))
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """End it and everything it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._wait_for_all()
        if self.tier is not Isolation.namespaces:
            lower.remove(self._process.pid, ENVIRONMENT["TMPDIR"])
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _wait_for_all(self) -> None:
        """Until nothing that the worker started holds its output: its end kills or sweeps them, a moment later."""
        deadline = time.monotonic() + CLEANING
        while time.monotonic() < deadline and select.select([self.stdout], [], [], 0.5)[0]:
            if not os.read(self.stdout, 1 << 16):
                return


def cpus() -> list[int]:
    """The CPUs that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def own_cpu(workers: list[Worker], limit: int) -> int | None:
    """The CPU that the next of `limit` workers is to stay on, one with the fewest; None where some would get more."""
    return None if limit % len(cpus()) else min(cpus(), key=[worker.cpu for worker in workers].count)


def start(settings: Judge, cpu: int | None) -> Worker:
    """The first worker, in the strongest tier allowed by the settings that this machine can build.

    Raises InfrastructureError with what each tier was refused for.
    """
    wanted = TIERS if settings.isolation is Isolation.auto else (settings.isolation,)
    refusals = []
    for tier in wanted:
        worker = Worker(tier, cpu)
        try:
            worker.wait_until_ready()
            return worker
        except Refused as error:
            worker.close()
            refusals.append(f"{tier.value}: {error}")
    raise InfrastructureError(f"no judge worker could start ({'; '.join(refusals)}); `rrtf-judge doctor` says more")
