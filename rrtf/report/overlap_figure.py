"""Who solves what: the paper's Figure 5 for any runs, as circles for three models and as bars for any number."""

from collections import Counter
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from rrtf.errors import UserError
from rrtf.report.drawing import INK, PALETTE, QUIET, canvas, colours, tidy
from rrtf.report.paper import FIGURE_5_MODELS, OVERLAP_REGIONS, Overlap

# a set of models without an entry solves nothing together
Regions = Mapping[tuple[bool, ...], int]

# where three circles of radius 1 lie, and where each region's number stands
_CENTRES = ((-0.55, 0.35), (0.55, 0.35), (0.0, -0.6))
_PLACES = {
    (True, False, False): (-1.0, 0.62),
    (False, True, False): (1.0, 0.62),
    (False, False, True): (0.0, -1.12),
    (True, True, False): (0.0, 0.78),
    (True, False, True): (-0.62, -0.25),
    (False, True, True): (0.62, -0.25),
    (True, True, True): (0.0, 0.04),
}
_NAMES = ((-1.0, 1.58), (1.0, 1.58), (0.0, -1.82))


def regions(solved: Mapping[str, set[str]]) -> Regions:
    """Problems counted by who solves them; the keys say yes or no for each model, in the mapping's order."""
    return Counter(tuple(task in tasks for tasks in solved.values()) for task in set().union(*solved.values()))


def paper_regions(panel: Overlap) -> Regions:
    """A panel of the paper's Figure 5."""
    return dict(zip(OVERLAP_REGIONS, panel.regions, strict=True))


def overlap_figure(panels: Mapping[str, tuple[Sequence[str], Regions, int]]) -> Figure:
    """Circles side by side; each panel is (three models, regions, problems that nobody solves) under its title.

    Raises UserError where a panel does not have three models; `overlap_bars` takes any number.
    """
    figure = canvas(4.6 * len(panels), 4.5)
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, (models, counts, unsolved)) in zip(all_axes, panels.items(), strict=True):
        if len(models) != 3:
            raise UserError(f"{title}: circles need three models, not {len(models)}; draw overlap_bars instead")
        _circles(axes, models, counts)
        axes.set_title(title, fontsize=11, color=INK, pad=10)
        axes.text(1.9, -1.85, f"nobody: {unsolved}", fontsize=9.5, ha="right", color=QUIET)
    return figure


def paper_overlap_panel(panel: Overlap) -> tuple[Sequence[str], Regions, int]:
    """A panel of the paper, as `overlap_figure` takes it."""
    return FIGURE_5_MODELS, paper_regions(panel), panel.unsolved


def _circles(axes: Axes, models: Sequence[str], counts: Regions) -> None:
    for index, (model, centre, place) in enumerate(zip(models, _CENTRES, _NAMES, strict=True)):
        axes.add_patch(Circle(centre, 1, facecolor=PALETTE[index], alpha=0.32, edgecolor=PALETTE[index], linewidth=1.5))
        total = sum(count for pattern, count in counts.items() if pattern[index])
        axes.text(*place, f"{model}\n{total} solved", ha="center", va="center", fontsize=9.5, color=INK)
    for pattern, (x, y) in _PLACES.items():
        axes.text(x, y, str(counts.get(pattern, 0)), ha="center", va="center", fontsize=13, fontweight="bold", color=INK)
    axes.set_xlim(-1.95, 1.95)
    axes.set_ylim(-2.05, 1.8)
    axes.set_aspect("equal")
    axes.axis("off")


def overlap_bars(solved: Mapping[str, set[str]], *, problems: int, title: str = "", most: int = 16) -> Figure:
    """One column per set of models that solve the same problems, the largest first; dots below say which models.

    Beyond `most` sets the others share a column, so that all columns together are all problems.
    """
    found = sorted(((n, pattern) for pattern, n in regions(solved).items()), key=lambda item: (-item[0], item[1]))
    filled, others = found[:most], found[most:]
    nobody, none = problems - len(set().union(*solved.values())), (False,) * len(solved)
    rest = {f"{len(others)}\nother\nsets": sum(n for n, _ in others)} if others else {}
    rest["nobody"] = nobody
    columns = [*filled, *((n, none) for n in rest.values())]
    longest = max(map(len, solved)) + len(" (000)")
    width = max(5.0, 0.8 + 0.08 * longest + 0.5 * len(columns))
    figure = canvas(width, 3.4 + 0.3 * len(solved), title=title or "problems by who solves them")
    bars, dots = figure.subplots(2, 1, sharex=True, height_ratios=(3, max(1.0, 0.45 * len(solved))))
    tidy(bars, y="problems")
    bars.bar(
        range(len(columns)), [n for n, _ in columns], color=["#444444"] * len(filled) + ["#C8C8C8"] * len(rest), width=0.65
    )
    for index, (n, _) in enumerate(columns):
        bars.text(index, n, str(n), ha="center", va="bottom", fontsize=8.5, color=INK)
    bars.margins(y=0.12)
    _dots(dots, solved, [pattern for _, pattern in columns])
    dots.set_xticks(range(len(filled), len(columns)), list(rest))
    return figure


def _dots(axes: Axes, solved: Mapping[str, set[str]], patterns: Sequence[tuple[bool, ...]]) -> None:
    tidy(axes, grid="")
    palette = colours(list(solved))
    for row, model in enumerate(solved):
        shades = [palette[model] if pattern[row] else "#e4e4e4" for pattern in patterns]
        axes.scatter(range(len(patterns)), [row] * len(patterns), s=70, c=shades)
    axes.set_yticks(range(len(solved)), [f"{model} ({len(tasks)})" for model, tasks in solved.items()])
    axes.set_ylim(len(solved) - 0.5, -0.5)
    axes.spines[["left", "bottom"]].set_visible(False)
