"""How many of this process's cores a step of decoding uses: all, or half of them while other processes hold some.

A step of a small model is some hundreds of products of a tenth of a millisecond. After each, all cores wait for the last one,
and one that another process holds comes back only with the scheduler's next slice: on two cores with one of them busy, 64
answers took 170 to 410 s, with one thread 30, and on two free cores 15. In bfloat16 the answers' bits are the same (measured);
in float32 the last ones may differ, as with another batch.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

# of the time of one core that may go missing before another process is suspected; on free cores it is 0.02 to 0.05
MISSING = 0.3
# steps before all cores are tried again; twice as many each time in vain
FIRST_PAUSE, LONGEST_PAUSE = 16, 256


class Cores:
    """Watches the steps of one decoding loop and sets torch's number of threads."""

    def __init__(self, *, wall: Callable[[], float] = time.perf_counter, cpu: Callable[[], float] = time.process_time) -> None:
        self._wall, self._cpu = wall, cpu
        self.most = self.used = torch.get_num_threads()
        self._fewer = max(1, self.most // 2)
        self._slow: float | None = None  # seconds of the step that raised suspicion, until fewer cores were compared with it
        self._pause, self._left = FIRST_PAUSE, 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around one step; what it took decides with how many threads the next one runs."""
        wall, cpu = self._wall(), self._cpu()
        yield
        seconds = self._wall() - wall
        if self.most > 1:
            self._use(self._next(seconds, missing=self.most * seconds - (self._cpu() - cpu)))

    def release(self) -> None:
        """All threads again, for whatever comes after decoding."""
        self._use(self.most)

    def _next(self, seconds: float, *, missing: float) -> int:
        self._left -= 1
        if self.used == self.most:
            if self._left < 0 and missing > MISSING * seconds:
                self._slow = seconds
                return self._fewer
            if missing <= MISSING * seconds:
                self._pause = FIRST_PAUSE
            return self.most
        if self._slow is not None:
            worse, self._slow = seconds > self._slow, None
            self._left, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
            return self.most if worse else self._fewer
        return self._fewer if self._left > 0 else self.most

    def _use(self, threads: int) -> None:
        if threads != self.used:
            torch.set_num_threads(threads)
            self.used = threads
