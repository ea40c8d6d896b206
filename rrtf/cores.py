"""How many threads a step of decoding or training uses: as many as other processes leave cores free.

Decoding with a small model is hundreds of products of a tenth of a millisecond a token. After each, all threads wait for the
last one, and one whose core another process holds comes back only with the scheduler's next slice: on two cores, one of them
busy, a token for 24 answers took 5.7 s with two threads and 0.09 s with one. In bfloat16 the bits are the same (measured); in
float32 the last ones may differ, as with another batch.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import torch

# seconds between two looks, and from the first to the second, before any step; a kernel counts a core's time in hundredths
WINDOW, FIRST = 0.5, 0.2
# of one core that others may hold without costing a thread; a machine at rest has 0.02 to 0.1
SPARE = 0.3


class Look(NamedTuple):
    """How many cores this process may use, and the seconds up to now of these cores at work and of this process."""

    cores: int
    busy: float
    own: float


def look() -> Look:
    """The machine now. Time that a hypervisor gives to other machines counts as worked: such a core is not free either."""
    times = psutil.cpu_times(percpu=True)
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(times))
    if max(cores) >= len(times):  # a container's list of cores has its own only, or some are switched off
        cores = range(len(times))
    # Linux counts guests' time in user's too
    without = ("idle", "iowait", "guest", "guest_nice")
    busy = sum(sum(times[core]) - sum(getattr(times[core], name, 0.0) for name in without) for core in cores)
    return Look(len(cores), busy, time.process_time())


class Cores:
    """Sets torch's number of threads before and during a loop on a CPU; for another device it does nothing."""

    def __init__(
        self,
        device: torch.device,
        *,
        look: Callable[[], Look] = look,
        clock: Callable[[], float] = time.perf_counter,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.most = self.used = torch.get_num_threads()
        self._watched = device.type == "cpu" and self.most > 1
        self._look, self._clock = look, clock
        self._when, self._last = clock(), look()
        if self._watched:
            wait(FIRST)
            self._watch(FIRST)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around one step; what other processes did meanwhile decides with how many threads the next one runs."""
        yield
        if self._watched:
            self._watch(WINDOW)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Around what is to run on all cores, whatever the steps do."""
        torch.set_num_threads(self.most)
        yield
        torch.set_num_threads(self.used)

    def release(self) -> None:
        """All threads again, for whatever comes after the loop."""
        self._use(self.most)

    def _watch(self, window: float) -> None:
        seconds = self._clock() - self._when
        if seconds >= window:
            now, then = self._look(), self._last
            others = ((now.busy - then.busy) - (now.own - then.own)) / seconds
            self._use(max(1, min(self.most, math.floor(now.cores + SPARE - others))))
            self._when, self._last = self._when + seconds, now

    def _use(self, threads: int) -> None:
        if threads != self.used:
            torch.set_num_threads(threads)
            self.used = threads
