"""Run one point of a sweep under the ledger."""

import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from rrtf.errors import UserError
from rrtf.sweep.ledger import Ledger, Point, State, Taken

LOOK_SECONDS = 1.0
# the environment variable that tells the processes a launcher starts when their command began, in seconds since 1970
BEGAN = "RRTF_SWEEP_BEGAN"


def run_point(
    run: Callable[[], float | None], *, ledger: Path, point: Point, searching: bool, console: Console
) -> float | None:
    """The score of `point`: known from the folder `ledger`, or what `run()` returns.

    A point that is done is not run again. One that runs in another process, or failed in one while this command ran, is left
    to it, unless the sweeper is `searching` (Optuna) and needs the score: then it is waited for, or tried. A failure is
    written down with its reason and shown at once; only a search gets the exception too, because it counts failures itself.
    None: no score.
    """
    book = Ledger(ledger)
    taken = book.take(point, since=float("inf") if searching else float(os.environ.get(BEGAN, "inf")))
    while taken.claim is None and taken.point.state is State.running and searching:
        time.sleep(LOOK_SECONDS)
        taken = book.take(point)
    if taken.claim is None:
        console.print(_known(taken.point), soft_wrap=True)
        return taken.point.score
    return _run(run, book=book, taken=taken, searching=searching, console=console)


def _run(run: Callable[[], float | None], *, book: Ledger, taken: Taken, searching: bool, console: Console) -> float | None:
    claim = taken.claim
    assert claim is not None
    try:
        score = run()
        book.finish(taken, score=score)
        return score
    except Exception as error:
        book.finish(taken, error=f"{type(error).__name__}: {error}")
        _show(error, taken.point, console)
        if searching:
            raise
        return None
    finally:
        claim.release()


def _known(point: Point) -> str:
    name = escape(" ".join(point.overrides) or "the defaults")
    if point.state is State.running:
        return f"[yellow]{name}: runs in process {point.pid} on {point.host} and is left to it[/yellow]"
    if point.state is State.failed:
        return f"[yellow]{name}: failed just now in process {point.pid} on {point.host}; run it again later[/yellow]"
    score = "no score" if point.score is None else f"score {point.score:.4g}"
    return f"[dim]{name}: done before, {point.seconds:.0f} s, {score}; its files are in {escape(point.run_dir)}[/dim]"


def _show(error: Exception, point: Point, console: Console) -> None:
    """One line now; what a developer needs goes to a file of the point."""
    name = escape(" ".join(point.overrides) or "the defaults")
    console.print(f"[bold red]failed[/bold red] {name}: {escape(str(error) or type(error).__name__)}", soft_wrap=True)
    if not isinstance(error, UserError):
        path = Path(point.run_dir) / "error.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        console.print(f"  the traceback is in {escape(str(path))}", soft_wrap=True)
