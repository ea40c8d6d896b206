"""The ledger of a sweep: which points are running, done or failed. Several processes read and write it at the same time.

A point is what makes its result: the resolved settings, the digests of its inputs, the version of the code (`identity`). What
it is called on the command line, and where its files lie, change nothing.
"""

import functools
import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import rrtf
from rrtf.records import from_row, to_row
from rrtf.store import Log, digest, file_digest, lock
from rrtf.sweep.alive import Claim, lives

FILE = "ledger.jsonl"
# settings that say where things lie, not what comes out of them
_PLACES = {"run_dir", "store", "data_dir"}


class State(str, Enum):
    """What became of a point; `stopped` is a running one whose process is gone: whoever meets it next takes it over."""

    running = "running"
    stopped = "stopped"
    done = "done"
    failed = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One row of the ledger. `started` is seconds since 1970, `score` what a sweeper maximizes (None: the run has none)."""

    identity: str
    overrides: tuple[str, ...]
    run_dir: str
    state: State = State.running
    host: str = ""
    pid: int = 0
    started: float = 0.0
    seconds: float = 0.0
    score: float | None = None
    error: str = ""


class Taken(NamedTuple):
    """The answer to `Ledger.take`: the point as the ledger has it, and the claim if it is ours to run."""

    point: Point
    claim: Claim | None


class Ledger:
    """The ledger of the sweep in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = Log(folder / FILE)

    def points(self) -> list[Point]:
        """Every point in the order of its first start, those of dead processes marked `stopped`."""
        self.log.refresh()
        return [self._judged(from_row(Point, row)) for row in self.log.rows.values()]

    def take(self, point: Point, *, since: float = float("inf")) -> Taken:
        """Claim `point` unless it is done (and its files are still there) or runs in a living process.

        `since` is when this command began: what failed after that was tried by somebody who shares the work, and is not
        tried once more.
        """
        with lock(self.folder / "locks" / "ledger.lock"):
            known = self._known(point.identity)
            if known and (known.state is State.running or _ended(known, since=since)):
                return Taken(known, None)
            claim = Claim(self._claim_path(point.identity))
            # whoever held the claim until a moment ago wrote down how it ended before giving it back
            known = self._known(point.identity)
            if known and _ended(known, since=since):
                claim.release()
                return Taken(known, None)
            begun = replace(point, state=State.running, host=socket.gethostname(), pid=os.getpid(), started=time.time())
            self.log.append(point.identity, begun)
            return Taken(begun, claim)

    def _known(self, identity: str) -> Point | None:
        self.log.refresh()
        row = self.log.rows.get(identity)
        return self._judged(from_row(Point, row)) if row else None

    def finish(self, taken: Taken, *, score: float | None = None, error: str = "") -> Point:
        """Write down how a claimed point ended; with `error` it counts as failed. The claim is the caller's to release."""
        state = State.failed if error else State.done
        seconds = round(time.time() - taken.point.started, 2)
        ended = replace(taken.point, state=state, seconds=seconds, score=score, error=error)
        self.log.append(ended.identity, ended)
        return ended

    def _claim_path(self, identity: str) -> Path:
        return self.folder / "locks" / f"{identity}.lock"

    def _judged(self, point: Point) -> Point:
        if point.state is not State.running:
            return point
        alive = lives(self._claim_path(point.identity), same_host=point.host == socket.gethostname())
        return point if alive else replace(point, state=State.stopped)


def _ended(point: Point, *, since: float) -> bool:
    """Whether there is nothing left to do for a point: done with its files, or failed since then."""
    if point.state is State.failed:
        return point.started + point.seconds >= since
    return point.state is State.done and Path(point.run_dir).is_dir()


@functools.cache
def code_version() -> str:
    """Sixteen digits that stand for the program text of this package, committed or not."""
    root = Path(rrtf.__file__).parent
    return digest([[str(path.relative_to(root)), file_digest(path)] for path in sorted(root.rglob("*.py"))])


def identity(settings: Any, *, inputs: Iterable[str]) -> str:
    """What makes a point: its settings less the places, the digests of its `inputs` (files, checkpoints), the code."""
    return digest([_without_places(to_row(settings)), sorted(inputs), code_version()])


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items() if key not in _PLACES}
    return [_without_places(item) for item in value] if isinstance(value, list) else value
