"""One row a run: everything a table, a figure or a reader needs, and what it takes to repeat it."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrtf.evaluation.comparison import Comparison, mcnemar
from rrtf.evaluation.sensitivity import Sensitivity
from rrtf.problems.dropped import DataReport
from rrtf.records import Judged, Outcome, Score
from rrtf.report.redact import redact
from rrtf.store import dump, lock, read_records

ROW_VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRow:
    """One source's candidates: how many there were of each outcome, and on how many problems one passed."""

    source: str
    role: str
    candidates: int
    passed: int
    problems: int
    problems_solved: int
    outcomes: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """What ranking did: groups that are trained on, why the others are not, who wins, and the score gaps of all pairs.

    `targets` counts the best responses by who wrote them, `target_passes` those that pass every test; the fields of
    rrtf.rank's summary.
    """

    kept: int
    dropped: dict[str, int]
    targets: dict[str, int] = field(default_factory=dict)
    target_passes: int = 0
    pairs: int = 0
    mean_gap: float = 0.0
    least_gap: float = 0.0
    most_gap: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRow:
    """One step of the plan: how long its work took, and whether this run found it done."""

    stage: str
    title: str
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """Two models on one benchmark, paired by problem; `second` is the newer one, `effect` 0.05 is five points."""

    benchmark: str
    k: int
    first: str
    second: str
    effect: float
    low: float
    high: float
    gained: int
    lost: int
    p: float
    test: str
    sentence: str

    @classmethod
    def of(cls, benchmark: str, k: int, found: Comparison) -> "ComparisonRow":
        """A comparison of two models on a benchmark, as a row."""
        numbers = {name: value for name, value in found._asdict().items() if name != "problems"}
        return cls(benchmark=benchmark, k=k, sentence=found.sentence, **numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """A model's greedy answers to a benchmark at two batch sizes: shares of problems with another text, program, verdict."""

    benchmark: str
    model: str
    batch_sizes: tuple[int, ...]
    texts: float
    programs: float
    verdicts: float
    first: float
    second: float
    p: float
    sentence: str

    @classmethod
    def of(cls, benchmark: str, model: str, found: Sensitivity) -> "BatchRow":
        """A model's sensitivity to the batch size as a row."""
        kept = ("batch_sizes", "texts", "programs", "verdicts", "first", "second")
        numbers = {name: getattr(found, name) for name in kept}
        return cls(benchmark=benchmark, model=model, p=mcnemar(found.gained, found.lost), sentence=found.sentence, **numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A whole run. `digests` names weights, problem files and artifacts; `solved` the tasks per "benchmark/model"."""

    experiment: str
    overrides: tuple[str, ...] = ()
    seed: int = 0
    scale: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    comparisons: tuple[ComparisonRow, ...] = ()
    batches: tuple[BatchRow, ...] = ()
    sources: tuple[SourceRow, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    data: tuple[DataReport, ...] = ()
    stages: tuple[StageRow, ...] = ()
    solved: dict[str, tuple[str, ...]] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    commit: str = ""
    dirty: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    started: str = ""
    seconds: float = 0.0
    row_version: str = ROW_VERSION

    @property
    def title(self) -> str:
        """The run as people call it: the experiment and what was overridden, places on this machine left out."""
        return run_title(self.experiment, self.overrides)

    def score(self, benchmark: str, model: str, k: int = 1) -> Score | None:
        """The score of a model on a benchmark, or None where it was not run."""
        found = (s for s in self.scores if (s.benchmark, s.model, s.k) == (benchmark, model, k))
        return next(found, None)


def epoch_of(model: str) -> int:
    """The epoch after which a run's model was kept on the way, from its name ("epoch 2"); 0 for any other model."""
    found = re.search(r"\bepoch (\d+)$", model)
    return int(found.group(1)) if found else 0


# overrides that say where or how a run is kept, not what it is
_PLACES = ("experiment=", "debug=", "hydra.", "hydra/", "logger", "store=", "run_dir=", "stages=")


def run_title(experiment: str, overrides: Sequence[str]) -> str:
    """An experiment's name and the overrides that tell one of its runs from another, without secrets."""
    told = (text for text in overrides if not text.lstrip("+~").startswith(_PLACES))
    return str(redact(" ".join((experiment, *told))))


def source_rows(judged: Iterable[Judged]) -> list[SourceRow]:
    """Outcomes per source, students first, in order of appearance."""
    collected: dict[tuple[str, str], list[Judged]] = {}
    for row in judged:
        collected.setdefault((row.candidate.role.value, row.candidate.source), []).append(row)
    return [_source_row(*key, rows) for key, rows in sorted(collected.items(), key=lambda item: item[0][0])]


def _source_row(role: str, source: str, rows: Sequence[Judged]) -> SourceRow:
    counts = Counter(row.verdict.outcome for row in rows)
    passing = {row.candidate.task_id for row in rows if row.verdict.outcome is Outcome.all_tests_passed}
    return SourceRow(
        source=source,
        role=role,
        candidates=len(rows),
        passed=counts[Outcome.all_tests_passed],
        problems=len({row.candidate.task_id for row in rows}),
        problems_solved=len(passing),
        outcomes={outcome.value: counts[outcome] for outcome in Outcome if counts[outcome]},
    )


def append(path: Path, row: RunRow) -> None:
    """Add a run to a results file, without secrets; several processes may do so at once."""
    with lock(path.with_name(f".{path.name}.lock")), path.open("a", encoding="ascii") as file:
        file.write(dump(redact(row)))


def read(path: Path) -> list[RunRow]:
    """The runs of a results file. Raises DataError with the line of a row that does not fit."""
    return list(read_records(RunRow, path))


def flat(row: RunRow) -> dict[str, float]:
    """The row's numbers under one name each: what W&B keeps as a summary and metrics.jsonl as its last line."""
    numbers: dict[str, float] = {}
    for score in row.scores:
        name = f"{score.benchmark}/{score.model}/pass@{score.k}"
        numbers |= {
            name: score.value,
            f"{name}/low": score.low,
            f"{name}/high": score.high,
            f"{name}/solved": float(score.solved),
        }
    for comparison in row.comparisons:
        name = f"{comparison.benchmark}/{comparison.second}-{comparison.first}/pass@{comparison.k}"
        numbers |= {name: comparison.effect, f"{name}/p": comparison.p}
    for batch in row.batches:
        name = f"{batch.benchmark}/{batch.model}/batch_size"
        numbers |= {f"{name}/texts": batch.texts, f"{name}/verdicts": batch.verdicts, f"{name}/p": batch.p}
        numbers |= {f"{name}/effect": batch.second - batch.first}
    for source in row.sources:
        numbers[f"sources/{source.source}/pass_share"] = source.passed / max(source.candidates, 1)
    for number, groups in enumerate(row.groups, start=1):
        numbers |= {f"groups/{number}/kept": float(groups.kept)}
        numbers |= {f"groups/{number}/dropped": float(sum(groups.dropped.values()))}
    return numbers | row.measured | {"seconds": row.seconds}
