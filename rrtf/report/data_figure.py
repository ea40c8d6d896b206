"""What the data work did to a set, as a picture: one panel a step, one bar a rule, with what it dropped."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rrtf.problems.dropped import DataReport
from rrtf.report.drawing import INK, PALETTE, canvas, tidy


def data_figure(reports: Sequence[DataReport]) -> Figure:
    """Bars for each step in order, what is kept on top; the numbers stand beside the bars."""
    heights = [1 + len(report.rows) for report in reports]
    figure = canvas(7.5, 0.9 + 0.32 * sum(heights), title="training problems: kept, and dropped by rule")
    all_axes = figure.subplots(len(reports), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, report in zip(all_axes, reports, strict=True):
        _bars(axes, report)
    return figure


def _bars(axes: Axes, report: DataReport) -> None:
    tidy(axes, title=f"{report.title}: {report.total} problems", grid="x")
    colours = [PALETTE[2] if row.rule == "kept" else PALETTE[1] for row in report.rows]
    axes.barh(
        [row.rule.replace("_", " ") for row in report.rows], [row.count for row in report.rows], color=colours, height=0.7
    )
    for place, row in enumerate(report.rows):
        axes.text(row.count, place, f" {row.count} ({100 * row.share:.0f} %)", va="center", fontsize=8.5, color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(1, report.total))
