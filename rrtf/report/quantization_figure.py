"""Table 4 as a picture: time per token against score, memory as the bubble's size."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rrtf.evaluation.statistics import wilson
from rrtf.report.drawing import INK, QUIET, canvas, colours, reach, tidy
from rrtf.report.paper import TABLE_4


class Quantized(NamedTuple):
    """One model in one precision; memory in GB, `low` and `high` the score's 95 % interval, all scores 0 to 1."""

    name: str
    memory_gb: float
    ms_per_token: float
    value: float
    low: float
    high: float


def paper_points() -> list[Quantized]:
    """The paper's Table 4, with the intervals it does not print (Wilson, from the problems solved of 164)."""
    points = []
    for row in TABLE_4:
        ends = wilson(row.solved, 164)
        name = f"{row.model.removeprefix('PanGu-Coder2').lstrip('-')} {row.precision}".strip()
        points.append(Quantized(name, row.memory_gb, row.ms_per_token, row.solved / 164, ends.low, ends.high))
    return points


def quantization_figure(ours: Sequence[Quantized], *, hardware: str = "") -> Figure:
    """The paper's table beside ours; the two panels have their own axes, because neither model nor machine is the same."""
    panels = [("paper, Table 4 (15B, one GPU)", paper_points())]
    if ours:
        panels.append((f"this project{f' ({hardware})' if hardware else ''}", list(ours)))
    figure = canvas(5.2 * len(panels), 4.2)
    for axes, (title, points) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _bubbles(axes, title, points)
    return figure


def _bubbles(axes: Axes, title: str, points: Sequence[Quantized]) -> None:
    tidy(axes, title=title, x="ms per token", y="HumanEval pass@1, % (95 % interval)", grid="both")
    largest = max(point.memory_gb for point in points)
    for index, (point, colour) in enumerate(zip(points, colours([p.name for p in points]).values(), strict=True)):
        x, y = point.ms_per_token, 100 * point.value
        size = 900 * point.memory_gb / largest
        ends = reach([(y, 100 * point.low, 100 * point.high)])
        axes.errorbar([x], [y], yerr=ends, fmt="none", ecolor=QUIET, elinewidth=1, capsize=3, zorder=1)
        axes.scatter([x], [y], s=size, color=colour, alpha=0.75, edgecolor="white", zorder=2)
        label = f"{point.name}\n{point.memory_gb:.2f} GB, {y:.1f} %"
        # neighbours' labels go to opposite ends of their intervals, so that they never cover each other or a bubble
        end, shift, side = (point.high, 4, "bottom") if index % 2 == 0 else (point.low, -4, "top")
        axes.annotate(
            label, (x, 100 * end), (0, shift), textcoords="offset points", ha="center", va=side, fontsize=8, color=INK
        )
    low, high = min(p.ms_per_token for p in points), max(p.ms_per_token for p in points)
    room = max(high - low, 0.1 * high)
    axes.set_xlim(low - 0.3 * room, high + 0.3 * room)
    axes.margins(y=0.2)
    axes.text(0.99, 0.01, "area = memory", transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5, color=QUIET)
