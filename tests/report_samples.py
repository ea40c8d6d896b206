"""A small made-up run for the report's tests: real records, counted by the real functions."""

import random
from dataclasses import asdict

from rrtf.evaluation.benchmarks import by_task, score, values
from rrtf.evaluation.comparison import compare
from rrtf.rank import summarize
from rrtf.records import Candidate, Group, Judged, Outcome, Problem, Role, TestKind, Tests, Verdict
from rrtf.report.rows import ComparisonRow, GroupRow, RunRow, StageRow, source_rows

LEVELS = ("easy", "medium", "hard")
WRONG = [outcome for outcome in Outcome if outcome not in (Outcome.judge_error, Outcome.all_tests_passed)]


def problems(count: int = 30) -> list[Problem]:
    return [
        Problem(
            task_id=f"set/{i}",
            text=f"Return n plus {i}.",
            entry_point="add",
            signature="def add(n: int) -> int:",
            reference=f"def add(n: int) -> int:\n    return n + {i}\n",
            tests=Tests(kind=TestKind.asserts, asserts=(f"assert add(0) == {i}", f"assert add(1) == {i + 1}")),
            topic="arithmetic",
            difficulty=LEVELS[i % 3],
        )
        for i in range(count)
    ]


def judged(tasks, source, share, *, role=Role.student, n=1, seed=0) -> list[Judged]:
    """`n` candidates a problem, passing with probability `share`, otherwise any of the other outcomes."""
    rng = random.Random(f"{source}{seed}")
    rows = []
    for task in tasks:
        for sample in range(n):
            outcome = Outcome.all_tests_passed if rng.random() < share else rng.choice(WRONG)
            passed = {Outcome.all_tests_passed: 2, Outcome.some_tests_passed: 1}.get(outcome, 0)
            program = (
                task.reference if passed == 2 else "" if outcome is Outcome.no_code else f"def add(n):\n    return {sample}\n"
            )
            candidate = Candidate(
                task_id=task.task_id,
                source=source,
                role=role,
                sample=sample,
                temperature=0.0 if n == 1 else 0.8,
                seed=seed,
                prompt=task.text,
                response=f"```python\n{program}```",
                program=program,
            )
            verdict = Verdict(task_id=task.task_id, outcome=outcome, passed=passed, total=2, detail="AssertionError: add(0)")
            rows.append(Judged(candidate=candidate, verdict=verdict))
    return rows


def run_row(count: int = 30, **changes) -> RunRow:
    tasks = problems(count)
    results = {}
    for model, share in (("student", 0.2), ("trained", 0.5)):
        verdicts = by_task(row.verdict for row in judged(tasks, model, share))
        results[model] = score("builtin_heldout", tasks, verdicts, model=model, protocol="greedy", ks=[1])
    pair = compare(values(results["student"].problems), values(results["trained"].problems), names=("student", "trained"))
    candidates = judged(tasks, "student", 0.1, n=4) + judged(tasks, "reference", 1.0, role=Role.teacher)
    groups = [
        Group(task_id=t.task_id, prompt="", responses=(), dropped="" if i % 3 else "no teacher") for i, t in enumerate(tasks)
    ]
    fields = {
        "experiment": "quickstart",
        "scores": tuple(s for r in results.values() for part in (r.scores, *r.groups.values()) for s in part),
        "comparisons": (ComparisonRow.of("builtin_heldout", 1, pair),),
        "sources": tuple(source_rows(candidates)),
        "groups": (GroupRow(**asdict(summarize(groups))),),
        "stages": (
            StageRow(stage="sample", title="sample student", seconds=12.5, cached=False),
            StageRow(stage="judge", title="judge student", seconds=3.25, cached=True),
        ),
        "solved": {f"builtin_heldout/{m}": tuple(p.task_id for p in r.problems if p.correct) for m, r in results.items()},
        "settings": {"loss": {"rank_weight": 1.0}},
    }
    return RunRow(**(fields | changes))
