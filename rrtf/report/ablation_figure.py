"""An ablation as a picture: one line an arm, a dot a seed with its 95 % interval, the score before training as a band."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rrtf.records import Score
from rrtf.report.curve_figures import Checkpoint
from rrtf.report.drawing import INK, PALETTE, QUIET, canvas, reach, tidy
from rrtf.report.evidence import NOT_RUN, arms, models, whence
from rrtf.report.overlap_figure import overlap_bars
from rrtf.report.rows import RunRow, epoch_of


def ablation_figure(studies: Sequence[tuple[str, Sequence[RunRow]]], *, benchmark: str) -> Figure:
    """A panel a study, each (title, its runs); a study without runs says so."""
    figure = canvas(5.4 * len(studies), 4.4)
    for axes, (title, found) in zip(figure.subplots(1, len(studies), squeeze=False)[0], studies, strict=True):
        tidy(axes, title=title, x=f"{benchmark} pass@1, % (95 % interval)", grid="x")
        if found:
            _arms(axes, found, benchmark)
        else:
            axes.text(0.5, 0.5, NOT_RUN, transform=axes.transAxes, ha="center", va="center", color=QUIET)
            axes.set_xticks([])
            axes.set_yticks([])
    return figure


def _arms(axes: Axes, found: Sequence[RunRow], benchmark: str) -> None:
    grouped = arms(found)
    before = next((score for row in found if (score := row.score(benchmark, "student"))), None)
    if before:
        axes.axvspan(100 * before.low, 100 * before.high, color=PALETTE[6], alpha=0.12, linewidth=0)
        axes.axvline(100 * before.value, color=PALETTE[6], linestyle="--", linewidth=1, label="before training")
    for place, group in enumerate(grouped.values()):
        scores = [score for row in group if (score := row.score(benchmark, "trained"))]
        for number, score in enumerate(scores):
            _dot(axes, score, place + 0.18 * (number - (len(scores) - 1) / 2))
    axes.set_yticks(range(len(grouped)), list(grouped), fontsize=8.5)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    if before:
        axes.legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)


def _dot(axes: Axes, score: Score, y: float) -> None:
    value = 100 * score.value
    ends = reach([(value, 100 * score.low, 100 * score.high)])
    axes.errorbar([value], [y], xerr=ends, fmt="o", markersize=4, color=PALETTE[0], ecolor=INK, elinewidth=0.8, capsize=2)


def curves(found: Sequence[RunRow], *, benchmark: str) -> dict[str, list[Checkpoint]]:
    """Figure 4's lines: the score over the epochs, one line a number of training problems, epoch 0 being before training."""
    lines: dict[str, list[Checkpoint]] = {}
    for row in found:
        limit = row.settings["problems"]["limit"]
        line = lines.setdefault(f"{limit} problems" if limit else "all problems", [])
        kept = [(model, epoch) for model in models(row, benchmark) if (epoch := epoch_of(model))]
        for model, epoch in (("student", 0), *kept, ("trained", row.settings["batching"]["epochs"])):
            if (score := row.score(benchmark, model)) and all(point.epoch != epoch for point in line):
                line.append(Checkpoint(epoch, score))
    return {name: sorted(line, key=lambda point: point.epoch) for name, line in lines.items()}


def solved_sets(found: Sequence[RunRow], *, benchmark: str) -> dict[str, set[str]]:
    """Figure 5's circles: the student before training, then each run's trained student by what it changed."""
    sets: dict[str, set[str]] = {}
    for name, group in arms(found).items():
        for model in models(group[0], benchmark):
            label = "before training" if model == "student" else name
            sets.setdefault(label, set(group[0].solved.get(f"{benchmark}/{model}", ())))
    return sets


def own_overlap(found: Sequence[RunRow], *, benchmark: str, command: str) -> Figure:
    """Figure 5 for our runs, by any number of models; where there are none, a figure that says so."""
    title = f"{benchmark}, {whence(found, command=command)}"
    if not found:
        figure = canvas(7.0, 3.4)
        axes = figure.subplots()
        axes.axis("off")
        axes.text(0.5, 0.5, title, ha="center", va="center", fontsize=12, color=INK)
        return figure
    problems = next(score.problems for score in found[0].scores if score.benchmark == benchmark)
    return overlap_bars(solved_sets(found, benchmark=benchmark), problems=problems, title=title)
