"""The warm worker: forks a fresh candidate for every run, measures it, and leaves nothing of it alive.

In the namespace tier it is PID 1, so killing "everyone else" is one system call. In the lower tiers it adopts orphans
(PR_SET_CHILD_SUBREAPER) and kills descendants until none is left.
"""

import array
import gc
import json
import os
import select
import signal
import socket
import time
from typing import Any, NoReturn

from rrtf.judge import candidate
from rrtf.judge.census import Census, descendants
from rrtf.judge.confine import CHANNEL, Limits, Steps, confinement, prepare, take_streams
from rrtf.judge.rehearsal import rehearse
from rrtf.judge.walls import Walls

TICK = 0.05  # seconds between two looks at a running candidate; one that ends sooner is never looked at
SHORT_TICK = 0.01  # where children are lost between looks
PREPARED = 64  # different limits whose confinement is kept
UNCONFINED = "rrtf could not confine the candidate: "


class Zygote:
    """Serves `run` orders from the tester; each brings four descriptors: stdin, stdout, stderr, channel."""

    def __init__(self, control: socket.socket, walls: Walls) -> None:
        self._control, self._walls = control, walls
        self._runtime = candidate.Runtime(candidate.Channel(CHANNEL))  # a new one in every fork
        self._prepared: dict[Limits, Steps] = {}
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)

    def serve(self) -> NoReturn:
        """Until the tester is gone; where it left something unread, that is an error of the socket."""
        prepare(self._walls)
        rehearse()
        gc.collect()
        gc.freeze()  # pages that the collector never touches stay shared with every fork
        try:
            while order := next_order(self._control):
                self._run(*order)
        finally:  # whatever happened, nothing of a candidate stays alive
            self._leave()

    def _run(self, limits: Limits, descriptors: list[int]) -> None:
        started = time.monotonic()
        limits = limits._replace(processes=limits.processes + self._walls.crowd())
        steps = self._confinement(limits)
        try:
            pid = os.fork()
        except OSError as error:  # no memory or no process left on this machine
            self._send({"end": True, "status": None, "killed": "", "cpu": 0, "peak": 0, "wall": 0, "broken": f"fork: {error}"})
            return
        if pid == 0:
            self._become_candidate(steps, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        report = self._watch(pid, limits)
        self._walls.wipe()
        report["wall"] = time.monotonic() - started
        self._send(report)

    def _confinement(self, limits: Limits) -> Steps:
        if limits not in self._prepared:
            if len(self._prepared) == PREPARED:
                self._prepared.clear()
            self._prepared[limits] = confinement(limits, self._walls)
        return self._prepared[limits]

    def _become_candidate(self, steps: Steps, descriptors: list[int]) -> NoReturn:
        try:
            self._walls.close_in(True)
            take_streams(*descriptors)
            for step, arguments in steps:
                step(*arguments)
        except BaseException as error:  # noqa: B036 - whatever it is, no program may run after it
            os.write(2, f"{UNCONFINED}{error}".encode())
            os._exit(1)
        candidate.main(self._runtime)

    def _watch(self, pid: int, limits: Limits) -> dict[str, Any]:
        """Wait until the candidate ends or the tester orders a stop; tick in between."""
        census = Census(pid)
        report: dict[str, Any] = {"end": True, "status": None, "killed": ""}
        while True:
            ready = self._poll.poll((SHORT_TICK if census.losing else TICK) * 1000)
            if any(descriptor == self._wake for descriptor, _ in ready):
                os.read(self._wake, 4096)
            census.reap()
            if census.status is not None:
                break
            if any(descriptor != self._wake for descriptor, _ in ready):
                if not self._control.recv(1 << 16):
                    self._leave()
                break
            if not ready:
                look = census.look()
                self._send({"tick": look})
                if look["memory"] > limits.memory:
                    report["killed"] = "memory"
                    break
        self._end_everyone(census)
        report["status"] = census.status
        return report | census.totals()

    def _end_everyone(self, census: Census) -> None:
        """Kill and reap until this process has no child left: as PID 1, or as the one that adopts orphans, that is all."""
        alone = os.getpid() == 1
        while census.reap():
            try:
                if alone:
                    os.kill(-1, signal.SIGKILL)
                else:
                    for pid in descendants():
                        os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            census.reap(wait=alone)

    def _leave(self) -> NoReturn:
        self._end_everyone(Census(0))
        self._walls.leave()
        os._exit(0)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._leave()


def next_order(control: socket.socket) -> tuple[Limits, list[int]] | None:
    """The next `run` and its descriptors; None when the tester is gone.

    An order to stop that came after the end of a run stands before it, sometimes in the same bytes.
    """
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 16, 4)
        if not data:
            return None
        order = json.loads(data.splitlines()[-1])
        if "run" in order:
            return Limits(*order["run"]), descriptors


def send_order(control: socket.socket, limits: Limits, descriptors: list[int]) -> None:
    """The tester's side of `run`."""
    fds = array.array("i", descriptors)
    control.sendmsg([json.dumps({"run": list(limits)}).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
