"""What logging and the ledger cost: a training step's numbers in metrics.jsonl and W&B's offline files, and a sweep's point.

    python bench/overhead.py --steps 500 --repeats 3

Both wall time of the caller (what a training step waits for) and CPU time of this process and of W&B's own beside it. The last
column is the step of which the larger of both is 2 %; the steps of `experiments/` take 15 to 30 s on a CPU core.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from rrtf.report.logs import RunLogs
from rrtf.report.settings import Logger, WandbMode
from rrtf.sweep.ledger import Point
from rrtf.sweep.point import run_point

# as many as training logs a step
NUMBERS = {f"train/number_{i}": 0.123456789 * i for i in range(16)}
SHARE = 0.02


class Cost(NamedTuple):
    """Milliseconds a call: the caller's wall time, and the CPU time of all processes it keeps busy."""

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ.pop("WANDB_API_KEY", None)
    table = Table(title=f"median of {options.repeats} x {options.steps} calls [lowest, highest]", box=None)
    for name in ("what", "ms wall", "ms CPU", f"{SHARE:.0%} of"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for name, mode in (("step, metrics.jsonl", WandbMode.disabled), ("step, W&B offline too", WandbMode.offline)):
        table.add_row(name, *_cells([logging(mode, options.steps) for _ in range(options.repeats)]))
    table.add_row("point, the ledger", *_cells([points(100) for _ in range(options.repeats)]))
    Console().print(table)


def logging(mode: WandbMode, steps: int) -> Cost:
    """The cost of a step's numbers in a run of its own."""
    with tempfile.TemporaryDirectory() as folder:
        logs = RunLogs(
            Logger(mode=mode), experiment="overhead", overrides=[], config={}, identity=os.urandom(4).hex(), folder=Path(folder)
        )
        with logs:
            logs(0, NUMBERS)
            cost = timed(lambda step: logs(step, NUMBERS), steps)
    return cost


def points(count: int) -> Cost:
    """The cost of a point whose work is nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        console = Console(file=(folder / "out").open("w"))

        def one(number: int) -> None:
            point = Point(identity=str(number), overrides=(f"a={number}",), run_dir=name)
            run_point(lambda: 1.0, ledger=folder, point=point, searching=False, console=console)

        return timed(one, count)


def timed(call: Callable[[int], None], count: int) -> Cost:
    """Milliseconds a call; CPU time is read once W&B's process has had time to finish what it was given."""
    begin, busy = time.perf_counter(), sum(_busy())
    for number in range(1, count + 1):
        call(number)
    wall = time.perf_counter() - begin
    time.sleep(1.0)
    return Cost(1000 * wall / count, 1000 * (sum(_busy()) - busy) / count)


def _busy(process: str = "self") -> Iterator[float]:
    """CPU seconds of a process and of all that it started and that live."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    yield time.process_time() if process == "self" else (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _busy(child)


def _cells(costs: list[Cost]) -> tuple[str, str, str]:
    walls, cpus = [cost.wall for cost in costs], [cost.cpu for cost in costs]
    longest = max(median(walls), median(cpus)) / SHARE
    return (_spread(walls), _spread(cpus), f"{longest:.0f} ms")


def _spread(values: list[float]) -> str:
    return f"{median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


if __name__ == "__main__":
    main()
