"""Two runs on the same problems, from their files: results.jsonl of a run folder, or any file of judged candidates."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rrtf.errors import InfrastructureError, UserError
from rrtf.evaluation.comparison import Comparison, compare
from rrtf.evaluation.pass_at_k import pass_at_k
from rrtf.records import Judged, Outcome
from rrtf.report.rows import RunRow, read
from rrtf.store import read_records, read_rows

JUDGE, PROMPTS = "judge version", "prompts version"


class Scores(NamedTuple):
    """One number a problem. A run's row names only the solved ones; `problems` says how many there were in all.

    `made` says what else moves a score, by name: the judge's version, the prompts', the protocol.
    """

    values: dict[str, float]
    problems: int
    made: dict[str, str]


class Paired(NamedTuple):
    """What was compared (a benchmark and model, or two sources), the outcome, and what else was not the same ("": nothing)."""

    label: str
    found: Comparison
    unlike: str


def compare_files(first: Path, second: Path, *, k: int = 1) -> list[Paired]:
    """Compare two files, paired by problem: everything both hold, or the one thing each holds.

    Raises UserError where they share nothing, or where a problem of one is missing in the other.
    """
    before, after = scores_of(first, k=k), scores_of(second, k=k)
    names = (_name(first, second), _name(second, first))
    if len(before) == len(after) == 1:
        (one,), (other,) = before, after
        label = one if one == other else f"{one} and {other}"
        return [_paired(label, before[one], after[other], names)]
    shared = [label for label in before if label in after]
    if not shared:
        raise UserError(f"nothing in common: {first} holds {', '.join(before)}; {second} holds {', '.join(after)}")
    return [_paired(label, before[label], after[label], names) for label in shared]


def _paired(label: str, first: Scores, second: Scores, names: tuple[str, str]) -> Paired:
    """A version that one file does not record may be another one; what the other kind of file never records says nothing."""
    pairs = {name: (first.made.get(name), second.made.get(name)) for name in {**first.made, **second.made}}
    unlike = [
        f"{name} ({names[0]} {one or 'not recorded'}, {names[1]} {other or 'not recorded'})"
        for name, (one, other) in pairs.items()
        if one != other and ((one and other) or name == JUDGE)
    ]
    return Paired(label, _compared(first, second, names), "; ".join(unlike))


def unlike_runs(rows: Sequence[RunRow]) -> str:
    """The versions of judge and prompts in which runs with scores differ, in words; "" where they are the same."""
    made = [_made(row) for row in rows if row.scores]
    found = {name: sorted({one.get(name) or "not recorded" for one in made}) for name in (JUDGE, PROMPTS)}
    return "; ".join(f"{name} ({', '.join(versions)})" for name, versions in found.items() if len(versions) > 1)


def _made(row: RunRow) -> dict[str, str]:
    return {JUDGE: row.versions.get("judge", ""), PROMPTS: row.versions.get("prompts", "")}


def _compared(first: Scores, second: Scores, names: tuple[str, str]) -> Comparison:
    """Problems that both rows leave out are unsolved by both: they count, and add no difference."""
    if len(first.values) == first.problems and len(second.values) == second.problems:
        return compare(first.values, second.values, names=names)
    if first.problems != second.problems:
        raise UserError(f"{names[0]} has {first.problems} problems, {names[1]} has {second.problems}: not the same benchmark")
    known = set(first.values) | set(second.values)
    tasks = [*known, *(f"unsolved {number}" for number in range(first.problems - len(known)))]
    before, after = ({task: scores.values.get(task, 0.0) for task in tasks} for scores in (first, second))
    return compare(before, after, names=names)


def _name(path: Path, other: Path) -> str:
    """A run folder is called by its name, a file by its own, both by the whole path where that does not tell them apart."""
    short = path.parent.name if path.name == "results.jsonl" else path.stem
    beside = other.parent.name if other.name == "results.jsonl" else other.stem
    return short if short != beside else str(path)


def scores_of(path: Path, *, k: int = 1) -> dict[str, Scores]:
    """pass@k of each problem, for everything a file holds. Of several runs in one results file, the last counts.

    Raises UserError for a file that holds none, InfrastructureError for one in which the judge failed.
    """
    _, row = next(read_rows(path), (0, None))
    if row is None:
        raise UserError(f"{path}: empty")
    if "experiment" in row:
        return _of_run(path, read(path)[-1], k)
    if "verdict" not in row:
        raise UserError(
            f"{path}: holds neither a run's rows nor judged candidates. A samples file is judged by: "
            f"rrtf-evaluate samples PROBLEMS {path} --out JUDGED.jsonl"
        )
    return _of_judged(path, k)


def _of_judged(path: Path, k: int) -> dict[str, Scores]:
    tried: dict[str, dict[str, list[bool]]] = {}
    made: dict[str, dict[str, set[str]]] = {}
    for row in read_records(Judged, path):
        circumstances = made.setdefault(row.candidate.source, {JUDGE: set(), "prompt profile": set(), "temperature": set()})
        told = (row.verdict.judge_version, row.candidate.profile, f"{row.candidate.temperature:g}")
        for found, value in zip(circumstances.values(), told, strict=True):
            found.add(value)
        if row.verdict.outcome is Outcome.judge_error:
            raise InfrastructureError(f"{path}: no verdict on {row.candidate.task_id}, so no score: {row.verdict.detail}")
        passed = row.verdict.outcome is Outcome.all_tests_passed
        tried.setdefault(row.candidate.source, {}).setdefault(row.candidate.task_id, []).append(passed)
    return {
        source: Scores(
            {task: pass_at_k(len(passed), sum(passed), k) for task, passed in tasks.items()},
            len(tasks),
            {name: " and ".join(sorted(values)) for name, values in made[source].items()},
        )
        for source, tasks in tried.items()
    }


def _of_run(path: Path, row: RunRow, k: int) -> dict[str, Scores]:
    """A run's row says which problems were solved; that is pass@1 where each problem had one answer."""
    if k != 1:
        raise UserError(f"{path}: a run's row holds no samples, so pass@{k} can't be paired; give its judged files instead")
    found = {}
    for label, solved in row.solved.items():
        benchmark, model = label.rsplit("/", 1)
        score = row.score(benchmark, model)
        if score and score.samples == score.problems:
            found[label] = Scores(dict.fromkeys(solved, 1.0), score.problems, {**_made(row), "protocol": score.protocol})
    if not found:
        raise UserError(f"{path}: its last run has no greedy scores to compare")
    return found
