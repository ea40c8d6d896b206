"""Pictures of scores: bars with intervals per benchmark, per difficulty, and what became of the candidates."""

from collections.abc import Collection, Sequence
from math import ceil
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rrtf.records import Score
from rrtf.report.drawing import GRID, HATCHES, INK, QUIET, canvas, colours, reach, tidy
from rrtf.report.rows import GroupRow, RunRow, SourceRow, StageRow
from rrtf.report.tables import COLUMNS

# worst to best, from warm to cool; dark enough to tell apart in print
OUTCOME_COLOURS = {
    "no\ncode": "#666666",
    "over\nlimit": "#CC79A7",
    "comp.\nerror": "#B03A2E",
    "run\nerror": "#E69F00",
    "pass\nnone": "#F3D9A4",
    "pass\nsome": "#9CC9E8",
    "pass\nall": "#0072B2",
}
# lines that a panel of bars has room for at least, so that a single bar does not fill it
_FEWEST = 4
# characters of labels that have room side by side below a panel
_CHARACTERS = 60


def run_figure(row: RunRow) -> Figure:
    """A run on one page: scores with intervals, outcomes per source, groups, and where the time went."""
    whole = [score for score in row.scores if "/" not in score.benchmark]
    room = 1.6 if _crowded({f"{score.benchmark}\npass@{score.k}" for score in whole}) else 0.0  # for names that lean
    figure = canvas(11.0, 8.2 + room, title="\n".join(wrap(row.title, 90, max_lines=2, placeholder=" …")))
    panels = figure.subplots(2, 2, width_ratios=(1.15, 1))
    score_bars(panels[0, 0], whole)
    outcome_bars(panels[0, 1], row.sources)
    group_bars(panels[1, 0], row.groups)
    time_bars(panels[1, 1], row.stages)
    return figure


def difficulty_figure(scores: Sequence[Score], *, benchmark: str) -> Figure:
    """One benchmark by difficulty or level, models side by side."""
    members = [score for score in scores if score.benchmark.startswith(f"{benchmark}/")]
    figure = canvas(max(5.5, 1.2 + 0.55 * len(members)), 3.8)
    axes = figure.subplots()
    score_bars(axes, members, strip=f"{benchmark}/")
    axes.set_title(f"{benchmark}: problems solved by difficulty", loc="left", fontsize=10.5, color=INK)
    return figure


def score_bars(axes: Axes, scores: Sequence[Score], *, strip: str = "") -> None:
    """Grouped bars in percent with 95 % intervals, each with its value above."""
    tidy(axes, title="scores with 95 % intervals", y="pass@k, %")
    if not scores:
        _nothing(axes, "no benchmark was run")
        return
    models = list(dict.fromkeys(score.model for score in scores))
    several = len({score.k for score in scores}) > 1 or not strip
    names = {(s.benchmark, s.k): s.benchmark.removeprefix(strip) + (f"\npass@{s.k}" if several else "") for s in scores}
    width, palette = 0.8 / len(models), colours(models)
    for index, model in enumerate(models):
        found = {(score.benchmark, score.k): score for score in scores if score.model == model}
        places = [i + (index - (len(models) - 1) / 2) * width for i, key in enumerate(names) if key in found]
        mine = [found[key] for key in names if key in found]
        heights = [100 * score.value for score in mine]
        ends = reach([(100 * score.value, 100 * score.low, 100 * score.high) for score in mine])
        hatch = HATCHES[index % len(HATCHES)]
        axes.bar(places, heights, width * 0.9, label=model, color=palette[model], hatch=hatch, edgecolor="white", linewidth=0.5)
        axes.errorbar(places, heights, yerr=ends, fmt="none", ecolor=INK, elinewidth=1, capsize=2.5)
        for place, score in zip(places, mine, strict=True):
            axes.text(
                place,
                100 * score.high,
                f"{100 * score.value:.1f}",
                ha="center",
                va="bottom",
                fontsize=7.5 if len(scores) <= 12 else 5.5,
                color=INK,
            )
    crowded = _crowded(names.values())
    axes.set_xticks(range(len(names)), [name.replace("\n", " ") if crowded else name for name in names.values()])
    if crowded:
        for label in axes.get_xticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    # room above the highest bar for the lines of the legend
    axes.set_ylim(0, (1.12 + 0.1 * ceil(len(models) / 3)) * max(100 * score.high for score in scores) + 2)
    axes.set_yticks([tick for tick in axes.get_yticks() if tick <= 100])
    axes.legend(fontsize=8.5, frameon=False, loc="upper right", ncols=min(3, len(models)))


def _crowded(names: Collection[str]) -> bool:
    """Whether names have no room side by side below a panel."""
    return len(names) > 5 or sum(max(map(len, name.split("\n"))) for name in names) > _CHARACTERS


def outcome_bars(axes: Axes, sources: Sequence[SourceRow]) -> None:
    """What became of each source's candidates, as shares of one bar."""
    tidy(axes, title="candidates by outcome", x="% of candidates", grid="")
    if not sources:
        _nothing(axes, "no candidates were sampled")
        return
    names = [f"{row.source}\n{row.candidates} × {row.role}" for row in sources]
    left = [0.0] * len(sources)
    seen = {name for row in sources for name in row.outcomes}
    for label, colour in reversed(OUTCOME_COLOURS.items()):
        outcomes = COLUMNS[label]
        if not seen & {outcome.value for outcome in outcomes}:
            continue
        shares = [100 * sum(row.outcomes.get(o.value, 0) for o in outcomes) / max(row.candidates, 1) for row in sources]
        axes.barh(names, shares, left=left, color=colour, label=label.replace("\n", " "), edgecolor="white", height=0.6)
        for index, share in enumerate(shares):
            if share >= 8:
                ink = "white" if colour in ("#666666", "#B03A2E", "#0072B2") else INK
                axes.text(left[index] + share / 2, index, f"{share:.0f}", ha="center", va="center", fontsize=8, color=ink)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.set_xlim(0, 100)
    axes.set_ylim(max(_FEWEST, len(names)) - 0.5, -0.5)
    axes.legend(
        fontsize=7.5,
        frameon=False,
        columnspacing=1.0,
        handlelength=1.2,
        loc="upper right",
        bbox_to_anchor=(1.0, -0.13),
        ncols=4,
    )


def group_bars(axes: Axes, groups: Sequence[GroupRow]) -> None:
    """Groups kept for training and dropped, with the reasons, newest round last."""
    tidy(axes, title="groups", x="problems", grid="x")
    if not groups:
        _nothing(axes, "nothing was ranked")
        return
    reasons = list(dict.fromkeys(reason for group in groups for reason in group.dropped))
    names = ["kept for training", *(_wrapped(f"dropped: {reason}") for reason in reasons)]
    height = 0.8 / len(groups)
    for index, group in enumerate(groups):
        counts = [group.kept, *(group.dropped.get(reason, 0) for reason in reasons)]
        places = [i + (index - (len(groups) - 1) / 2) * height for i in range(len(names))]
        shades = ["#0072B2", *["#B0B0B0"] * len(reasons)]
        axes.barh(places, counts, height * 0.85, color=shades)
        for place, count in zip(places, counts, strict=True):
            label = f" {count}" if len(groups) == 1 else f" {count} (round {index + 1})"
            axes.text(count, place, label, va="center", fontsize=8, color=INK)
    axes.set_yticks(range(len(names)), names)
    axes.margins(x=0.18)
    axes.set_ylim(max(_FEWEST, len(names)) - 0.5, -0.5)


def _wrapped(text: str, width: int = 26) -> str:
    lines = [""]
    for word in text.split():
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < width else [*lines, word]
    return "\n".join(lines)


def time_bars(axes: Axes, stages: Sequence[StageRow], *, most: int = 10) -> None:
    """Seconds of the longest steps; pale where this run found them done."""
    tidy(axes, title="time", x="seconds", grid="x")
    longest = sorted(stages, key=lambda stage: -stage.seconds)[:most]
    if not longest:
        _nothing(axes, "no step was run")
        return
    shown = [stage for stage in stages if stage in longest]
    shades = ["#BBD7EA" if stage.cached else "#0072B2" for stage in shown]
    axes.barh(range(len(shown)), [stage.seconds for stage in shown], color=shades, height=0.7)
    axes.set_yticks(range(len(shown)), [_wrapped(stage.title, 34) for stage in shown])
    for index, stage in enumerate(shown):
        note = f" {stage.seconds:.1f}" + (" (cached)" if stage.cached else "")
        axes.text(stage.seconds, index, note, va="center", fontsize=8, color=INK)
    axes.margins(x=0.25)
    axes.set_ylim(max(_FEWEST, len(shown)) - 0.5, -0.5)


def _nothing(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=QUIET, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("")
    axes.set_ylabel("")
    axes.spines[["left", "bottom"]].set_color(GRID)
