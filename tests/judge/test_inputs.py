"""Argument lists as tests: answers that stay in the candidate's process, and numpy's numbers, are compared as EvalPlus does."""

import pytest

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.format_evalplus import evalplus
from rrtf.records import Outcome

# as Mbpp/2: compared as sets; more inputs than travel in one chunk
SHARED = {
    "task_id": "Mbpp/2",
    "prompt": '"""\nWrite a function to find the shared elements from the given two lists.\n"""\n',
    "entry_point": "similar_elements",
    "canonical_solution": "def similar_elements(a, b):\n    return tuple(set(a) & set(b))\n",
    "base_input": [[[number, number + 1], [number + 1, number + 2]] for number in range(70)],
    "plus_input": [],
    "atol": 0,
}
MEAN = {
    "task_id": "HumanEval/4",
    "prompt": 'def mean(numbers):\n    """ Mean. """\n',
    "entry_point": "mean",
    "canonical_solution": "    return sum(numbers) / len(numbers)\n",
    "base_input": [[[1.0, 2.0, 4.0]], [[0.1, 0.2]]],
    "plus_input": [],
    "atol": 1e-6,
}


def passes(row: dict[str, object], program: str) -> bool:
    (verdict,) = judge([Job(evalplus(row), program)], Judge(workers=1))
    assert verdict.detail != "the program answered before it was asked"
    return verdict.outcome is Outcome.all_tests_passed


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("(x for x in a if x in b)", True),
        ("filter(lambda x: x in b, a)", True),
        ("map(lambda x: x + 1, filter(lambda x: x in b, a))", False),
        ("dict.fromkeys(x for x in a if x in b).keys()", True),
        ("Bag(x for x in a if x in b)", True),
        ("Bag(a)", False),
    ],
)
def test_an_answer_that_is_asked_again_waits_for_those_under_way(answer: str, right: bool) -> None:
    """Inputs travel ahead of the answers, and what a comparison asks of one answer comes after all of them."""
    bag = (
        "class Bag:\n    def __init__(self, items): self.items = list(items)\n    def __iter__(self): return iter(self.items)\n"
    )
    assert passes(SHARED, f"{bag}def similar_elements(a, b):\n    return {answer}\n") is right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("sum(numbers) / len(numbers)", True),
        ("sum(numbers) / len(numbers) + 5e-7", True),
        ("numpy.float64(sum(numbers) / len(numbers))", True),
        # EvalPlus compares types before it forgives a rounding error
        ("numpy.float64(sum(numbers) / len(numbers) + 5e-7)", False),
        ("numpy.array(sum(numbers) / len(numbers))", True),
        ("iter([sum(numbers) / len(numbers)])", False),
    ],
)
def test_numpys_numbers_are_compared_as_evalplus_does(answer: str, right: bool) -> None:
    pytest.importorskip("numpy")
    assert passes(MEAN, f"import numpy\ndef mean(numbers):\n    return {answer}\n") is right
