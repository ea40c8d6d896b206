"""What may happen to a candidate process, and what did: bounds before, evidence after."""

import os
import signal
from dataclasses import dataclass, field
from typing import NamedTuple


class Bounds(NamedTuple):
    """What a run may use: CPU seconds, MiB of memory, MiB of output, processes.

    `seconds` are those between two answers where inputs are sent ahead, `total` those of the whole run; else they are equal.
    """

    seconds: float
    memory_mb: int
    output_mb: int
    processes: int
    total: float


@dataclass
class Evidence:
    """What happened to one process, as seen from outside it."""

    stop: str = ""  # why the tester ended it: timeout, output, memory, violation; "" when it did not have to
    detail: str = ""
    status: int | None = None  # wait status, where it ended by itself
    uncompiled: bool = False
    raised: str = ""  # the exception type that ended loading
    full: bool = False  # a write failed because the scratch or the file size limit was reached
    broken: str = ""  # the judge could not even start it
    starved: bool = False  # some exception was a MemoryError
    slowest: float = 0.0  # CPU seconds without an answer, as far as ticks tell
    cpu: float = 0.0
    start_cpu: float = 0.0
    wall: float = 0.0
    peak_mb: float = 0.0
    busy: bool = False
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)

    @property
    def used(self) -> float:
        """CPU seconds of the program itself: without the start and the imports made for it."""
        return max(0.0, self.cpu - self.start_cpu)


def describe_status(status: int | None) -> str:
    """A wait status in words."""
    if status is None:
        return "ended"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        names = {member.value: member.name for member in signal.Signals}
        return f"killed by {names.get(number, f'signal {number}')}"
    return f"exited with status {os.WEXITSTATUS(status)}"
