"""Whether the process that runs a point still lives, told by the kernel and not by a pid that somebody else may have now.

A running point holds a POSIX record lock on a file of its own. The kernel releases it however the process ends, children that
outlive their parent don't inherit it, and it works between the nodes of a shared file system. Where a file system has no locks
between nodes, the file's modification time is the second witness: a thread touches it every few seconds.
"""

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import IO

BEAT_SECONDS = 5.0
# a node whose file system stalls for some beats is not dead yet
STALE_SECONDS = 60.0

# record locks don't hold between threads of one process and are lost when any handle on the file is closed: ask here first
_held: set[Path] = set()


class Claim:
    """Held while a point runs; released by `release`, or by the kernel when the process ends."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.file: IO[str] = path.open("a")
        fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _held.add(self.path)
        os.utime(self.path)
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._touch, daemon=True, name="rrtf-sweep heartbeat")
        self._beat.start()

    def _touch(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            os.utime(self.path)

    def release(self) -> None:
        """Give the point back."""
        self._stop.set()
        self._beat.join()
        _held.discard(self.path)
        self.file.close()


def silent_for(path: Path) -> float:
    """Seconds since the last sign of life; infinite if there never was one."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def lives(path: Path, *, same_host: bool) -> bool:
    """Whether somebody holds the claim on `path`. On another host a free lock is believed only once the heartbeat stopped."""
    if path.resolve() in _held:
        return True
    if not path.exists():
        return False
    with path.open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return not same_host and silent_for(path) < STALE_SECONDS
