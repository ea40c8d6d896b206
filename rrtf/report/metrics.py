"""metrics.jsonl: a run's numbers as plain lines, with or without W&B."""

from collections.abc import Mapping
from pathlib import Path

from rrtf.store import dump, read_rows


class Metrics:
    """Appends one JSON object a call: `step` and the numbers. A resumed run goes on in the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            _cut_half_line(path)

    def __call__(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add the numbers of one step."""
        with self.path.open("a", encoding="ascii") as file:
            file.write(dump({"step": step, **numbers}))

    def answers(self, step: int, texts: Mapping[str, str]) -> None:
        """Add a line with a model's answers, {prompt: answer}, under `answers`."""
        with self.path.open("a", encoding="ascii") as file:
            file.write(dump({"step": step, "answers": dict(texts)}))


def read_answers(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(step, {prompt: answer}) of each line that has answers; none where there is no file."""
    rows = [row for _, row in read_rows(path)] if path.is_file() else []
    return [(int(row["step"]), row["answers"]) for row in rows if "answers" in row]


def read_steps(path: Path) -> list[tuple[int, dict[str, float]]]:
    """(step, numbers) of each line of numbers as it was written; none where there is no file."""
    rows = [row for _, row in read_rows(path) if "answers" not in row] if path.is_file() else []
    return [(int(row.pop("step")), {name: float(value) for name, value in row.items()}) for row in rows]


def read_metrics(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Each metric's (step, value) pairs by step; of a step that a resumed run repeated, the later counts."""
    series: dict[str, dict[int, float]] = {}
    for step, numbers in read_steps(path):
        for name, value in numbers.items():
            series.setdefault(name, {})[step] = value
    return {name: sorted(values.items()) for name, values in series.items()}


def _cut_half_line(path: Path) -> None:
    """Drop a last line that a kill left unfinished."""
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
