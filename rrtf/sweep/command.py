"""The command `rrtf-sweep`: what has become of the points of a sweep."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rrtf.sweep.ledger import FILE, Ledger, Point, State

# a longer error is in the point's error.txt
ERROR_CHARACTERS = 200
_STYLES = {State.done: "green", State.running: "cyan", State.stopped: "yellow", State.failed: "bold red"}


def latest(points: list[Point]) -> list[Point]:
    """One point a set of overrides: the newest, so that those of older code or data are left out."""
    return list({point.overrides: point for point in sorted(points, key=lambda point: point.started)}.values())


def table(points: list[Point], *, title: str) -> Table:
    """State, overrides (those that all points share are left out), score, seconds and error of each point."""
    shared = set.intersection(*(set(point.overrides) for point in points)) if len(points) > 1 else set()
    made = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for name in ("state", "overrides"):
        made.add_column(name, overflow="fold")
    for name in ("score", "seconds"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("process, or what went wrong", overflow="fold")
    for point in points:
        own = " ".join(text for text in point.overrides if text not in shared) or "(the defaults)"
        score = "" if point.score is None else f"{point.score:.4f}"
        seconds = f"{point.seconds:.0f}" if point.state in (State.done, State.failed) else ""
        cells = (Text(point.state.value, style=_STYLES[point.state]), own, score, seconds, _where(point))
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    return made


def _where(point: Point) -> str:
    if point.state in (State.running, State.stopped):
        return f"process {point.pid} on {point.host}"
    return " ".join(point.error.split())[:ERROR_CHARACTERS]


def show(folder: Path, console: Console) -> bool:
    """Print the table of the sweep in `folder`; whether none of its points failed."""
    points = latest(Ledger(folder).points())
    counts = Counter(point.state for point in points)
    console.print(table(points, title=str(folder)))
    console.print(", ".join(f"{counts[state]} {state.value}" for state in State if counts[state]) or "no point yet")
    if counts[State.done] or counts[State.failed]:
        console.print(f"the files of a point are in {folder}/seed=…", highlight=False)
    if counts[State.stopped] or counts[State.failed]:
        console.print("the same command again runs what is stopped, failed or missing")
    return not counts[State.failed]


def main() -> None:
    """Entry point of the console script; exit status 1 if a point failed, 2 if there is no sweep."""
    parser = argparse.ArgumentParser(prog="rrtf-sweep", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="print the table of points")
    status.add_argument("folder", type=Path, help="the folder of the sweep, for example multirun/ablation_loss")
    chosen = parser.parse_args()
    if not (chosen.folder / FILE).is_file():
        parser.exit(2, f"rrtf-sweep: {chosen.folder / FILE}: no such file; give the folder of a sweep (multirun/NAME)\n")
    # a pipe has no width of its own, and 80 columns would fold every row
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    sys.exit(0 if show(chosen.folder, console) else 1)
