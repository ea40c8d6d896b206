"""Curves over training: the paper's Figure 4 for our runs, and the learning curves of one run."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rrtf.records import Score
from rrtf.report.drawing import INK, PALETTE, QUIET, canvas, colours, tidy
from rrtf.report.paper import FIGURE_4

Series = Mapping[str, Sequence[tuple[int, float]]]


class Checkpoint(NamedTuple):
    """A score on the way: after so many epochs."""

    epoch: float
    score: Score


def epochs_figure(curves: Mapping[str, Sequence[Checkpoint]], *, whence: str = "", with_paper: bool = True) -> Figure:
    """Score against epochs, a line a data size with its 95 % band; the paper's peaks as dashed lines in their own panel.

    `whence` says where the scores come from.
    """
    figure = canvas(9.2 if with_paper else 5.6, 3.9)
    panels = figure.subplots(1, 2 if with_paper else 1, squeeze=False)[0]
    tidy(panels[0], title=f"this project, {whence}".rstrip(", "), x="epochs", y="pass@1, %")
    for (name, points), colour in zip(curves.items(), colours(list(curves)).values(), strict=True):
        epochs = [point.epoch for point in points]
        panels[0].plot(epochs, [100 * p.score.value for p in points], marker="o", markersize=4, color=colour, label=name)
        low, high = [100 * p.score.low for p in points], [100 * p.score.high for p in points]
        panels[0].fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    panels[0].set_ylim(bottom=0)
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    if curves:
        panels[0].legend(fontsize=8.5, frameon=False, title="prompts", title_fontsize=8.5)
    if with_paper:
        _paper_peaks(panels[1])
    return figure


def _paper_peaks(axes: Axes) -> None:
    tidy(axes, title="paper, Figure 4 (only the peaks survive)", x="epochs trained", y="HumanEval greedy pass@1, %")
    for curve, colour in zip(FIGURE_4, PALETTE, strict=False):
        axes.plot([0, curve.epochs], [curve.peak] * 2, linestyle="--", color=colour)
        label = f"{curve.data}: peak {curve.peak:.1f} ({curve.solved}/164)"
        axes.annotate(label, (0.1, curve.peak), (0, 4), textcoords="offset points", fontsize=8.5, color=INK)
    axes.set_ylim(45, 68)
    note = "the 18k run took ~8 prompts a step, the others ~512"
    axes.text(0.98, 0.03, note, transform=axes.transAxes, ha="right", fontsize=7.5, color=QUIET)


def learning_figure(metrics: Series, *, smooth: int = 10) -> Figure:
    """Each metric of a run against its steps, a panel a metric, with a running mean over `smooth` points.

    Metrics that share the part after "train/" or "validation/" share a panel.
    """
    panels: dict[str, dict[str, Sequence[tuple[int, float]]]] = {}
    for name, points in metrics.items():
        part, _, label = name.partition("/") if "/" in name else ("", "", name)
        panels.setdefault(label, {})[part] = points
    columns = min(3, max(1, len(panels)))
    rows = -(-max(1, len(panels)) // columns)
    figure = canvas(3.9 * columns, 2.7 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (label, lines) in zip(grid, panels.items(), strict=False):
        tidy(axes, title=label.replace("_", " "), x="step")
        for (part, points), colour in zip(lines.items(), PALETTE, strict=False):
            steps, values = [step for step, _ in points], [value for _, value in points]
            few = len(points) <= 2 * smooth
            axes.plot(
                steps, values, color=colour, alpha=1 if few else 0.3, marker="o" if few else None, markersize=3, label=part
            )
            if not few:
                axes.plot(steps, running_mean(values, smooth), color=colour, linewidth=1.8)
        if len(lines) > 1:
            axes.legend(fontsize=8, frameon=False)
    for axes in grid[len(panels) :]:
        axes.axis("off")
    return figure


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and its neighbours, up to `window` // 2 on both sides; fewer, but as many on each, at the ends."""
    reach = (min(window // 2, i, len(values) - 1 - i) for i in range(len(values)))
    return [sum(values[i - r : i + r + 1]) / (2 * r + 1) for i, r in enumerate(reach)]
