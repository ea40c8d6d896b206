"""`rrtf-judge selfcheck`: the hostile and honest programs that ship with the package, and what the judge says of each."""

import importlib.util
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import IO, Any, NamedTuple

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Isolation, Judge
from rrtf.records import Outcome, Problem, Verdict, from_row

# what these programs attack is only protected where the tier is stronger than plain processes
UNSAFE_IN_PROCESSES = frozenset({"9", "11", "16", "25", "26", "27", "28", "29", "30", "31", "33"})
MEMORY_MB, OUTPUT_MB = 512, 16  # what the expectations of the corpus were written for


class Checked(NamedTuple):
    """One program of the corpus with its verdict."""

    row: Mapping[str, Any]
    verdict: Verdict

    @property
    def right(self) -> bool:
        """Whether the verdict is one of those expected."""
        return self.verdict.outcome.value in self.row["expect"]


def corpus() -> list[dict[str, Any]]:
    """The rows whose requirements are installed here."""
    return [row for row in _rows("corpus.jsonl") if not row["needs"] or importlib.util.find_spec(row["needs"])]


def check(rows: Iterable[Mapping[str, Any]], isolation: Isolation) -> Iterator[Checked]:
    """Judge every program with its own time limit."""
    problems = {row["task_id"]: from_row(Problem, row) for row in _rows("corpus_problems.jsonl")}
    by_limit = defaultdict(list)
    for row in rows:
        by_limit[row["time_limit"]].append(row)
    for limit, group in by_limit.items():
        settings = Judge(time_limit=limit, memory_mb=MEMORY_MB, output_mb=OUTPUT_MB, isolation=isolation, max_judge_errors=1.0)
        verdicts = judge([Job(problems[row["task_id"]], row["program"]) for row in group], settings)
        yield from (Checked(row, verdict) for row, verdict in zip(group, verdicts, strict=True))


def selfcheck(isolation: Isolation, out: IO[str]) -> int:
    """Print the matrix of families and outcomes, then every program judged wrongly. Returns 1 when there is one."""
    families: dict[str, list[Checked]] = defaultdict(list)
    rows = corpus()
    if isolation is Isolation.processes:
        rows = [row for row in rows if row["family"] not in UNSAFE_IN_PROCESSES]
    for checked in check(rows, isolation):
        families[checked.row["family"]].append(checked)
    for family in sorted(families, key=lambda name: (len(name), name)):
        _print_family(family, families[family], out)
    everything = [checked for found in families.values() for checked in found]
    wrong = [checked for checked in everything if not checked.right]
    for checked in wrong:
        expected = " or ".join(checked.row["expect"])
        print(f"\n{checked.row['id']}: {checked.row['about']}\n  expected {expected}", file=out)
        print(f"  got {checked.verdict.outcome.value}: {checked.verdict.detail}", file=out)
    tier = everything[0].verdict.isolation if everything else "?"
    print(f"\n{len(everything) - len(wrong)} of {len(everything)} programs judged right (isolation: {tier})", file=out)
    return 1 if wrong else 0


def _print_family(family: str, found: list[Checked], out: IO[str]) -> None:
    counts: dict[Outcome, int] = defaultdict(int)
    for checked in found:
        counts[checked.verdict.outcome] += 1
    shown = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items())
    right = sum(checked.right for checked in found)
    print(f"{family:>3}  {right:>3}/{len(found):<3} {found[0].row['about'][:60]:<60}  {shown}", file=out)


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files("rrtf.judge").joinpath(name).read_text("ascii").splitlines()]
