"""The committed rows of `experiments/`, and what a notebook needs to put them beside the paper's numbers."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rrtf.records import Score
from rrtf.report import rows as run_rows
from rrtf.report.rows import RunRow
from rrtf.report.tables import percent

NOT_RUN = "not run"
# overrides that say how a run was made, not which arm of a study it is
_MECHANICS = {"seed", "experiment", "scale", "store", "run_dir", "logger", "stages", "judge.workers", "problems.data_dir"}


def rows(experiment: str, *, folder: Path) -> list[RunRow]:
    """The runs of experiments/<experiment>/results.jsonl, or none where it was never run."""
    path = folder / experiment / "results.jsonl"
    return run_rows.read(path) if path.is_file() else []


def origin(row: RunRow) -> str:
    """Where a measured number comes from."""
    return f"measured at scale={row.scale or 'cpu'}"


def whence(found: Sequence[RunRow], *, command: str) -> str:
    """Where the numbers of a study come from, or the command that would make them."""
    return origin(found[0]) if found else f"{NOT_RUN}: {command}"


def student(row: RunRow) -> str:
    """The student's short name."""
    return str(row.settings["student"]["checkpoint"]).rstrip("/").rpartition("/")[2]


def models(row: RunRow, benchmark: str) -> list[str]:
    """The models that were measured on a benchmark, in the order of the run."""
    return list(dict.fromkeys(score.model for score in row.scores if score.benchmark == benchmark))


def arm(row: RunRow, *, among: Sequence[RunRow]) -> str:
    """What a run changed, less what all runs share and what only says how it was made."""
    shared = set.intersection(*(set(other.overrides) for other in among)) if len(among) > 1 else set()
    own = [text for text in row.overrides if text not in shared and text.split("=")[0].split(".")[0] not in _MECHANICS]
    return " ".join(text for text in own if text.split("=")[0] not in _MECHANICS) or "as it is"


def arms(found: Sequence[RunRow]) -> dict[str, list[RunRow]]:
    """The runs of a study by arm, seeds together, in the order they were made."""
    grouped: dict[str, list[RunRow]] = {}
    for row in found:
        grouped.setdefault(arm(row, among=found), []).append(row)
    return grouped


def cell(score: Score | None) -> str:
    """A score with its interval, in percent, or that there is none."""
    return percent(score) if score else NOT_RUN


def best(found: Iterable[RunRow], benchmark: str, model: str, k: int) -> Score | None:
    """The best score of a model among several runs: the paper's "optimal value" over temperatures."""
    scores = [score for row in found if (score := row.score(benchmark, model, k))]
    return max(scores, key=lambda score: score.value, default=None)


def mean_and_range(values: Sequence[float]) -> str:
    """Several seeds as one cell: the mean, and between which values it moved; in percent or points."""
    middle = sum(values) / len(values)
    return (
        f"{100 * middle:.1f}"
        if len(values) == 1
        else f"{100 * middle:.1f} ({100 * min(values):.1f} to {100 * max(values):.1f})"
    )
