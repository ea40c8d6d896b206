"""One live line per running stage: done, total, rate, time left, and a note. Plain lines where there is no terminal."""

import sys
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

# (done, total, note): what every stage calls as it goes on
Report = Callable[[int, int, str], None]

# without a terminal a log of a ten-minute stage gets about this many seconds between lines
PLAIN_SECONDS = 10.0


class Progress:
    """A context in which `report(done, total, note)` shows where the stage is."""

    def __init__(self, title: str, *, console: Console, unit: str) -> None:
        self.title, self.console, self.unit = title, console, unit
        self.start = self.shown = time.monotonic()
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self.bar = Bar(*columns, console=console, transient=True) if console.is_terminal else None

    def __enter__(self) -> Report:
        if self.bar:
            self.bar.start()
            self.task = self.bar.add_task(self.title, total=None, note="", rate="")
        return self.report

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()

    def report(self, done: int, total: int, note: str = "") -> None:
        """Show that `done` of `total` is finished."""
        now = time.monotonic()
        rate = f"{done / max(now - self.start, 1e-9):.1f} {self.unit}/s"
        if self.bar:
            self.bar.update(self.task, completed=done, total=total or None, note=note, rate=rate)
        elif now - self.shown >= PLAIN_SECONDS:
            self.shown = now
            left = (now - self.start) * (total - done) / max(done, 1)
            self.console.print(f"  {self.title}: {done}/{total}, {rate}, {left:.0f} s left {note}", highlight=False)
            sys.stdout.flush()
