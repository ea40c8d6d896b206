"""How all figures look: one palette that survives colour blindness and grey print, one way to save.

Figures are built on matplotlib's objects, never through pyplot: no global state, no display, no font lookup surprises.
"""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's eight colours, the yellow left out (too light on white)
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666")
# hatches tell bars apart in grey print
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo")
INK, QUIET, GRID = "#222222", "#666666", "#dddddd"
DPI = 150
# a user's name for a level or a model is not a formula: two dollar signs would be read as one, and end the run where it is none
rcParams["text.parse_math"] = False


def canvas(width: float, height: float, *, title: str = "") -> Figure:
    """An empty figure, in inches, whose parts are placed so that they do not touch."""
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", color=INK, x=0.01, ha="left")
    return figure


def tidy(axes: Axes, *, title: str = "", x: str = "", y: str = "", grid: str = "y") -> None:
    """Titles, quiet lines and no box."""
    axes.set_title(title, loc="left", fontsize=10.5, color=INK)
    axes.set_xlabel(x, fontsize=9, color=QUIET)
    axes.set_ylabel(y, fontsize=9, color=QUIET)
    axes.tick_params(labelsize=8.5, colors=INK, length=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.7)  # type: ignore[arg-type]


def reach(points: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    """How far the bars of (value, low, high) go below and above each value, as matplotlib takes it; never less than nothing."""
    return [[max(0.0, value - low) for value, low, _ in points], [max(0.0, high - value) for value, _, high in points]]


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, in order; more names than colours start again."""
    return {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(names)}


def save(figure: Figure, path: Path) -> Path:
    """Write a PNG; the same figure gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path
