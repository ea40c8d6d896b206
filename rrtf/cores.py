"""How many of this process's cores a step of decoding or training uses: all, or half of them while other processes hold some.

Decoding with a small model is hundreds of products of a tenth of a millisecond a token. After each, all cores wait for the last
one, and one that another process holds comes back only with the scheduler's next slice: on two cores with one of them busy, 64
answers took 170 to 410 s, with one thread 30, and on two free cores 15; a training step 12.6, 7 and 3.9 s. In bfloat16 the bits
are the same (measured); in float32 the last ones may differ, as with another batch.
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
    """Watches the steps of a loop and sets torch's number of threads; what another device computes is not watched."""

    def __init__(
        self,
        device: torch.device,
        *,
        wall: Callable[[], float] = time.perf_counter,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._wall, self._cpu = wall, cpu
        self.most = self.used = torch.get_num_threads()
        self._watched = device.type == "cpu" and self.most > 1
        self._fewer = max(1, self.most // 2)
        self._slow: float | None = None  # seconds a unit of a suspicious step, to compare fewer cores with
        self._pause, self._left = FIRST_PAUSE, 0

    @contextmanager
    def step(self, work: float = 1.0) -> Iterator[None]:
        """Around one step of so much work; what it took decides with how many threads the next one runs."""
        wall, cpu = self._wall(), self._cpu()
        yield
        seconds = self._wall() - wall
        if self._watched:
            missing = self.most * seconds - (self._cpu() - cpu)
            self._use(self._next(seconds / work, crowded=missing > MISSING * seconds))

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Around what is to run on all cores, whatever the steps do."""
        torch.set_num_threads(self.most)
        yield
        torch.set_num_threads(self.used)

    def release(self) -> None:
        """All threads again, for whatever comes after the loop."""
        self._use(self.most)

    def _next(self, seconds: float, *, crowded: bool) -> int:
        """The threads of the next step, after one that took so many seconds a unit of work."""
        self._left -= 1
        if self.used == self.most:
            if not crowded:
                self._pause = FIRST_PAUSE
            elif self._left < 0:
                self._slow = seconds
                return self._fewer
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
