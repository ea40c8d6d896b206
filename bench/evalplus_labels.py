"""Judge recorded programs by HumanEval+ and MBPP+ beside EvalPlus itself, and list every verdict that differs.

python bench/evalplus_labels.py ../shared/data PYTHON [--out experiments/label_reproduction/evalplus.jsonl]

PYTHON is the interpreter of an environment with evalplus==0.3.1, whose own command is run on the same problem rows (through
its HUMANEVAL_OVERRIDE_PATH and MBPP_OVERRIDE_PATH, so without network) and the same programs, twice: base tests, base and plus.
"""

import argparse
import gzip
import json
import os
import random
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.formats import read_problems
from rrtf.records import Outcome, Verdict

FILES = {"humaneval": "humanevalplus/HumanEvalPlus.jsonl.gz", "mbpp": "mbppplus/MbppPlus.jsonl.gz"}
# recorded sets whose programs answer the tasks of a set above
RECORDED = {"humaneval": "humaneval", "mbpp": "mbpp", "mbpp397": "mbpp"}


class Program(NamedTuple):
    """A recorded program for a task of HumanEval+ or MBPP+."""

    model: str
    task_id: str
    code: str


def run_evalplus(
    python: Path, dataset: str, rows: Sequence[dict[str, Any]], programs: Sequence[tuple[str, str]], *options: str, folder: Path
) -> tuple[list[tuple[str, str]], float]:
    """EvalPlus's statuses (base, plus) of each (task id, program), and the seconds until it wrote them.

    `rows` are the tasks' own rows, each with a program. What it computes once a problem file, the expected outputs, stays in
    `folder` for the next call. Its command ends up to 20 seconds after its results are there, because a watching thread sleeps.
    """
    problems, samples, results = (folder / name for name in ("problems.jsonl", "samples.jsonl", "samples_eval_results.json"))
    _write(problems, rows)
    _write(samples, [{"task_id": task, "solution": code} for task, code in programs])
    results.unlink(missing_ok=True)
    places = {f"{dataset.upper()}_OVERRIDE_PATH": str(problems), "XDG_CACHE_HOME": str(folder)}
    command = [python, "-m", "evalplus.evaluate", "--dataset", dataset, "--samples", samples, *options]
    start = time.perf_counter()
    with subprocess.Popen(command, env=os.environ | places, cwd=folder, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not results.exists():
            time.sleep(0.02)
        seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"EvalPlus ended with status {process.returncode}")
    waiting = {task: iter(found) for task, found in json.loads(results.read_text())["eval"].items()}
    return [((one := next(waiting[task]))["base_status"], one["plus_status"]) for task, _ in programs], seconds


def run_ours(rows: Sequence[dict[str, Any]], programs: Sequence[tuple[str, str]], settings: Judge) -> list[Verdict]:
    """This project's verdicts on the same."""
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / "problems.jsonl", rows)
        problems = {problem.task_id: problem for problem in read_problems(Path(folder) / "problems.jsonl")}
    return list(judge((Job(problems[task], code) for task, code in programs), settings))


def recorded(data: Path, dataset: str, known: set[str], *, unlabelled: int) -> Iterator[Program]:
    """Recorded programs for known tasks; of those that nobody labelled so many a task, drawn with a fixed seed."""
    drawn: dict[str, list[Program]] = {}
    for row in read_all(data / "recorded" / "recorded_responses.jsonl.gz"):
        number = re.search(r"\d+", row["task_id"])
        task = f"{'HumanEval' if dataset == 'humaneval' else 'Mbpp'}/{number.group() if number else ''}"
        if RECORDED.get(row["set"]) == dataset and task in known:
            program = Program(f"{row['model']} {row['method'] or ''}".strip(), task, row["code"])
            if row["claimed_pass"] is None:
                drawn.setdefault(f"{task} {program.model}", []).append(program)
            else:
                yield program
    for key, listed in drawn.items():
        yield from random.Random(key).sample(listed, min(unlabelled, len(listed)))


def compared(data: Path, dataset: str, options: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A row a model with how many verdicts differ, and a row a difference."""
    tasks = {row["task_id"]: row for row in read_all(data / FILES[dataset])}
    programs = list(recorded(data, dataset, set(tasks), unlabelled=options.unlabelled))
    programs = random.Random(0).sample(programs, min(options.sample or len(programs), len(programs)))
    asked = [(program.task_id, program.code) for program in programs]
    rows = [row for task, row in tasks.items() if task in {task for task, _ in asked}]
    with tempfile.TemporaryDirectory() as folder:
        how = (f"--parallel={options.workers}", f"--min-time-limit={options.min_time_limit}")
        theirs, _ = run_evalplus(options.python, dataset, rows, asked, *how, folder=Path(folder))
    settings = Judge(time_limit=options.time_limit, workers=options.workers)
    base = run_ours([row | {"plus_input": []} for row in rows], asked, settings)
    whole = run_ours(rows, asked, settings)
    counts: dict[str, Counter[str]] = {}
    differences = []
    for program, status, ours in zip(programs, theirs, zip(base, whole, strict=True), strict=True):
        found = {
            "base": (status[0] == "pass", ours[0]),
            "base and plus": (status[0] == status[1] == "pass", ours[1]),
        }
        count = counts.setdefault(program.model, Counter())
        count["programs"] += 1
        for tests, (passes, verdict) in found.items():
            count[f"{tests} passes"] += passes
            if passes != (verdict.outcome is Outcome.all_tests_passed):
                count[f"{tests} different"] += 1
                differences.append(_difference(dataset, program, tests, status, verdict))
    names = ("programs", "base passes", "base different", "base and plus passes", "base and plus different")
    summary = [{"set": f"{dataset}+", "model": model} | {n: count[n] for n in names} for model, count in counts.items()]
    return summary, differences


def _difference(dataset: str, program: Program, tests: str, status: tuple[str, str], verdict: Verdict) -> dict[str, Any]:
    return {
        "set": f"{dataset}+",
        "model": program.model,
        "task_id": program.task_id,
        "tests": tests,
        "evalplus": "/".join(status),
        "verdict": verdict.outcome.value,
        "passed": verdict.passed,
        "total": verdict.total,
        "cpu_seconds": round(verdict.cpu_seconds, 1),
        "detail": verdict.detail,
        "program": program.code,
    }


def main() -> None:
    """Both sets, or one; print tables, write rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("python", type=Path, help="the interpreter that has evalplus")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", choices=[*FILES], action="append", help="only this one (repeatable)")
    parser.add_argument("--unlabelled", type=int, default=4, help="programs without a label a task and model")
    parser.add_argument("--sample", type=int, default=0, help="only so many programs a set, drawn with a fixed seed")
    parser.add_argument("--min-time-limit", type=float, default=1.0, help="EvalPlus's own: wall seconds an input may take")
    parser.add_argument("--time-limit", type=float, default=Judge.time_limit)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    pairs = [compared(options.data, dataset, options) for dataset in options.set or FILES]
    summary, differences = ([row for pair in pairs for row in pair[part]] for part in (0, 1))
    for listed in (summary, differences):
        table = Table(*(listed[0] if listed else ["no differences"]))
        for row in listed:
            table.add_row(*(str(value)[:60] for value in row.values()))
        Console(width=200).print(table)
    if options.out:
        _write(options.out, [*summary, *differences])


def read_all(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
