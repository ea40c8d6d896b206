"""Tables 2 and 3 as pictures: the paper's models that its authors ran, beside ours with intervals."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rrtf.evaluation.statistics import wilson
from rrtf.records import Score
from rrtf.report.drawing import PALETTE, QUIET, canvas, reach, tidy
from rrtf.report.evidence import best, models
from rrtf.report.paper import TABLE_2, TABLE_3
from rrtf.report.quantization_figure import Quantized
from rrtf.report.rows import RunRow

# name, percent, and the ends of its 95 % interval (None where there is none)
Bar = tuple[str, float, tuple[float, float] | None]


def sampling_figure(found: Sequence[RunRow]) -> Figure:
    """Table 2: a panel a k."""
    figure = canvas(10.5, 3.4)
    panels: Any = figure.subplots(1, 3)
    for axes, k in zip(panels, (1, 10, 100), strict=True):
        own = [row for row in TABLE_2 if row.run_by_authors]
        columns: dict[int, list[float | None]] = {
            1: [r.pass_at_1 for r in own],
            10: [r.pass_at_10 for r in own],
            100: [r.pass_at_100 for r in own],
        }
        printed = columns[k]
        bars: list[Bar] = [(row.model, value, None) for row, value in zip(own, printed, strict=True) if value is not None]
        _bars(axes, f"HumanEval pass@{k}", bars, _ours(found, "humaneval", k))
    return figure


def greedy_figure(found: Sequence[RunRow]) -> Figure:
    """Table 3: HumanEval and CoderEval; the paper's intervals follow from its counts."""
    figure = canvas(9.5, 3.4)
    panels = figure.subplots(1, 2)
    humaneval: list[Bar] = [(row.model, row.humaneval, _ends(row.humaneval_solved, 164)) for row in TABLE_3]
    codereval: list[Bar] = [(row.model, row.codereval, _ends(row.codereval_solved, 230)) for row in TABLE_3]
    _bars(panels[0], "HumanEval, greedy", humaneval, _ours(found, "humaneval", 1))
    _bars(panels[1], "CoderEval, greedy", codereval, _ours(found, "codereval", 1))
    return figure


def quantized(found: Sequence[RunRow]) -> list[Quantized]:
    """Our Table 4 for the picture: models whose memory and time were measured (`measured` holds MODEL/memory_mb, …)."""
    points = []
    for row in found:
        for model in models(row, "humaneval"):
            memory, time = (row.measured.get(f"{model}/{name}") for name in ("memory_mb", "ms_per_token"))
            score = row.score("humaneval", model)
            if memory and time and score:
                points.append(Quantized(model, memory / 1024, time, score.value, score.low, score.high))
    return points


def _ends(solved: int, problems: int) -> tuple[float, float]:
    interval = wilson(solved, problems)
    return 100 * interval.low, 100 * interval.high


def _ours(found: Sequence[RunRow], benchmark: str, k: int) -> list[Bar]:
    names = dict.fromkeys(model for row in found for model in models(row, benchmark))
    scores = {name: best(found, benchmark, name, k) for name in names}
    return [(f"ours, {name}", 100 * score.value, _percent_ends(score)) for name, score in scores.items() if score]


def _percent_ends(score: Score) -> tuple[float, float]:
    return 100 * score.low, 100 * score.high


def _bars(axes: Axes, title: str, paper: Sequence[Bar], ours: Sequence[Bar]) -> None:
    tidy(axes, title=title, x="%", grid="x")
    colours = [PALETTE[6]] * len(paper) + [PALETTE[0]] * len(ours)
    for place, ((_, value, ends), colour) in enumerate(zip([*paper, *ours], colours, strict=True)):
        error = reach([(value, *ends)]) if ends else None
        axes.barh([place], [value], color=colour, xerr=error, ecolor=QUIET, capsize=2)
    axes.set_yticks(range(len(paper) + len(ours)), [name for name, _, _ in (*paper, *ours)], fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    if not ours:
        axes.text(0.98, 0.98, "ours: not run", transform=axes.transAxes, ha="right", va="top", fontsize=8.5, color=QUIET)
