"""Near duplicates go, the first of a family stays, and what merely looks alike stays too."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.problems.data_settings import Clean
from rrtf.problems.duplicates import remove_duplicates
from rrtf.problems.formats import read_problems
from rrtf.records import Problem, TestKind, Tests

LONG = (
    "Write a function that reads the departure times of all trains in a station, sorts them by platform and then by time, "
    "and returns the longest gap between two departures from the same platform in minutes."
)
SOLUTION = (
    "def gaps(times):\n    best = 0\n    for a, b in zip(times, times[1:]):\n        best = max(best, b - a)\n    return best\n"
)


def problem(task_id: str, text: str, reference: str = "") -> Problem:
    return Problem(task_id=task_id, text=text, reference=reference, tests=Tests(kind=TestKind.asserts))


def rules(*problems: Problem, **values: object) -> list[tuple[str, str]]:
    return [(one.task_id, one.rule) for one in remove_duplicates(problems, Clean(**values)).dropped]  # type: ignore[arg-type]


def test_each_rule_finds_its_kind() -> None:
    first = problem("a", LONG, SOLUTION)
    assert rules(first, problem("b", LONG.upper() + "!")) == [("b", "same_text")]
    assert rules(first, problem("b", LONG.replace("trains", "buses"))) == [("b", "similar_text")]
    other_names = SOLUTION.replace("times", "xs").replace("gaps", "solve").replace("best", "most")
    assert rules(first, problem("b", "Find the widest step in a list.", other_names)) == [("b", "same_solution")]
    assert rules(first, problem("b", "Find the widest step in a list.", SOLUTION.replace("b - a", "a - b"))) == []


def test_what_evolved_from_a_problem_may_be_close_to_it_and_to_nothing_else() -> None:
    harder = replace(problem("a~1steps", LONG + " Ignore platform three."), parent="a")
    hardest = replace(problem("a~1steps~2steps", LONG + " Ignore platforms three and four."), parent="a~1steps")
    assert rules(problem("a", LONG), harder, hardest) == []
    assert rules(problem("b", LONG), harder) == [("a~1steps", "similar_text")]
    assert rules(problem("a", LONG), replace(harder, text=LONG)) == [("a~1steps", "same_text")]


def test_rules_can_be_switched_off_and_made_stricter() -> None:
    first, near = problem("a", LONG, SOLUTION), problem("b", LONG.replace("trains", "buses"), SOLUTION)
    assert rules(first, near, near_text=0.0) == [("b", "same_solution")]
    assert rules(first, near, near_text=0.99, same_tree_labels=0) == []


def test_the_first_stays_and_is_named() -> None:
    copies = [problem(name, LONG) for name in "cab"]
    result = remove_duplicates(copies, Clean())
    assert [one.task_id for one in result.kept] == ["c"]
    assert {one.detail for one in result.dropped} == {"like c"}


def test_problems_without_text_or_with_one_id_are_taken() -> None:
    assert rules(problem("a", ""), problem("b", ""), problem("c", "?!")) == []
    assert rules(problem("a", LONG), problem("a", "Another task with the same name, by mistake.")) == []


def test_mbpp_told_twice_is_found(shared: Path) -> None:
    problems = [
        one for one in read_problems(shared / "mbpp/mbpp.jsonl.gz") if one.task_id in ("MBPP/248", "MBPP/704", "MBPP/3")
    ]
    assert rules(*problems) == [("MBPP/704", "same_text")]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet="abc \n", max_size=30), max_size=8))
def test_nothing_is_lost_and_a_second_pass_changes_nothing(texts: list[str]) -> None:
    problems = [replace(problem(str(i), text)) for i, text in enumerate(texts)]
    once = remove_duplicates(problems, Clean())
    assert len(once.kept) + len(once.dropped) == len(problems)
    assert remove_duplicates(once.kept, Clean()).dropped == []
