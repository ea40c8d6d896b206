"""The pictures of a run's benchmarks, or of several runs': who solves what, and the scores by difficulty."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from rrtf.report.drawing import save
from rrtf.report.evidence import arm
from rrtf.report.overlap_figure import overlap_bars, overlap_figure, regions
from rrtf.report.rows import RunRow
from rrtf.report.score_figures import difficulty_figure

# characters of a name that have room beside a circle
LONGEST = 20


def benchmark_pictures(rows: Sequence[RunRow], folder: Path) -> dict[str, Path]:
    """Write overlap_<benchmark>.png where two or more models answered and levels_<benchmark>.png where it has levels."""
    named = [(row, model_names(row, among=rows)) for row in rows]
    scores = [replace(score, model=names[score.model]) for row, names in named for score in row.scores]
    drawn = {}
    for benchmark in dict.fromkeys(score.benchmark for score in scores if "/" not in score.benchmark):
        solved = {
            names[model]: set(row.solved[f"{benchmark}/{model}"])
            for row, names in named
            for model in names
            if f"{benchmark}/{model}" in row.solved
        }
        if len(solved) > 1:
            problems = max(score.problems for score in scores if score.benchmark == benchmark)
            drawn[f"overlap_{benchmark}"] = who_solves_what(solved, problems=problems, benchmark=benchmark)
        levels = {(s.benchmark, s.model, s.k): s for s in scores if s.benchmark.startswith(f"{benchmark}/")}
        if levels:
            drawn[f"levels_{benchmark}"] = difficulty_figure(list(levels.values()), benchmark=benchmark)
    return {name: save(figure, folder / f"{name}.png") for name, figure in drawn.items()}


def who_solves_what(solved: dict[str, set[str]], *, problems: int, benchmark: str) -> Figure:
    """Three models as circles, as in the paper's Figure 5; any other number, and longer names, as bars."""
    if len(solved) != 3 or max(map(len, solved)) > LONGEST:
        return overlap_bars(solved, problems=problems, title=f"{benchmark}: who solves what")
    nobody = problems - len(set().union(*solved.values()))
    return overlap_figure({f"{benchmark}: who solves what": (list(solved), regions(solved), nobody)})


def model_names(row: RunRow, *, among: Sequence[RunRow]) -> dict[str, str]:
    """What the models of a run are called beside those of other runs: by what the run changed. One student stays one."""
    models = dict.fromkeys(score.model for score in row.scores)
    if len(among) == 1:
        return {model: model for model in models}
    own = arm(row, among=among) if len({other.experiment for other in among}) == 1 else row.title
    own += f", seed {row.seed}" if len({other.seed for other in among}) > 1 else ""
    same = all(other.settings.get("student") == row.settings.get("student") for other in among)
    return {model: model if model == "student" and same else f"{model}, {own}" for model in models}
