import ast
import re
from collections import Counter
from dataclasses import replace

import pytest

from rrtf.errors import UserError
from rrtf.evaluation.renaming import rename
from rrtf.evaluation.rewording import reword
from rrtf.evaluation.robustness import drop, vary
from rrtf.evaluation.settings import Variant
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet
from rrtf.records import Outcome, Problem, TestKind, Tests

CHANGED = [variant for variant in Variant if variant is not Variant.none]


@pytest.fixture(scope="module")
def heldout() -> list[Problem]:
    return list(load(ProblemSet(split="heldout")))


def tricky(**changes) -> Problem:
    fields = {
        "task_id": "t/1",
        "text": "Call weigh(key). Return the key sorted; press the return button at least once.",
        "entry_point": "weigh",
        "signature": "def weigh(key, *, n: int = 1, solve=None):",
        "reference": (
            "from functools import lru_cache\n"
            "def helper(key):\n    return -key\n"
            "def weigh(key, *, n: int = 1, solve=None):\n"
            '    """Weigh."""\n'
            "    if n > 1:\n        return weigh(key, n=n - 1)\n"
            "    inner = lambda n: n + len(key)\n"
            "    return f'{inner(n)}' + str(sorted(key, key=lambda key: helper(key)))\n"
        ),
        "tests": Tests(
            kind=TestKind.asserts,
            asserts=("assert weigh([1, 3, 2]) == '4[3, 2, 1]'", "assert weigh(key=[], n=3) == '1[]', 'no'"),
        ),
    }
    return Problem(**(fields | changes))


def outcomes(problems) -> Counter:
    return Counter(verdict.outcome for verdict in judge((Job(p, p.reference) for p in problems), Judge()))


@pytest.mark.parametrize("variant", CHANGED)
def test_every_reference_still_passes_its_variant_in_the_real_judge(variant, heldout):
    varied = [vary(problem, variant) for problem in heldout]
    assert outcomes(varied) == {Outcome.all_tests_passed: len(heldout)}
    assert all(v.text != p.text or v.signature != p.signature for v, p in zip(varied, heldout, strict=True))
    assert [v.parent for v in varied] == [p.task_id for p in heldout]
    assert len({v.task_id for v in varied}) == len(heldout)


def test_the_originals_reference_fails_the_renamed_tests(heldout):
    """The renaming reached the tests: a program of the old name is no answer any more."""
    jobs = [Job(vary(problem, Variant.renamed), problem.reference) for problem in heldout[:10]]
    assert not any(v.outcome is Outcome.all_tests_passed for v in judge(jobs, Judge()))


def test_renaming_minds_scopes_keywords_and_other_functions():
    varied = rename(tricky())
    assert varied.signature == "def solve_(arg1, *, arg2: int=1, arg3=None):"
    assert outcomes([tricky(), varied]) == {Outcome.all_tests_passed: 2}
    assert "sorted(arg1, key=" in varied.reference
    assert "def helper(key)" in varied.reference
    assert varied.tests.asserts[1].startswith("assert solve_(arg1=[], arg2=3)")
    assert "solve_(key)" in varied.text
    assert varied.text.endswith("In the signature, arg1 is key, arg2 is n, arg3 is solve.")


def test_renaming_minds_every_way_to_bind_a_name():
    code = (
        "def weigh(key, n=1, solve=None):\n"
        "    def add(key, n=0):\n        return len(key) + n\n"
        "    def more():\n        nonlocal n\n        n += add(key=key, n=0)\n"
        "    more()\n"
        "    try:\n        raise ValueError(n)\n    except ValueError as solve:\n        n = solve.args[0]\n"
        "    match key:\n        case [n, *key]:\n            return n + len(key)\n"
        "    return sorted([n], key=abs)[0]\n"
    )
    tests = Tests(kind=TestKind.asserts, asserts=("assert weigh([5, 2]) == 6", "assert weigh((), n=3) == 3"))
    task = tricky(reference=code, signature="def weigh(key, n=1, solve=None):", tests=tests)
    assert outcomes([task, rename(task)]) == {Outcome.all_tests_passed: 2}


def test_a_coroutine_is_renamed_as_well():
    tests = Tests(kind=TestKind.asserts, setup="import asyncio", asserts=("assert asyncio.run(weigh(key=2)) == 4",))
    task = tricky(reference="async def weigh(key):\n    return 2 * key\n", signature="async def weigh(key):", tests=tests)
    assert rename(task).signature == "async def solve(arg1):"
    assert outcomes([task, rename(task)]) == {Outcome.all_tests_passed: 2}


def test_a_function_called_like_a_word_of_the_text_leaves_the_word_alone():
    text = "Merge two lists: merge(a, b) gives both, like `merge` of the Unix tools. Don't merge by a.merge(b)."
    told = rename(tricky(text=text, entry_point="merge", signature="def merge(a, b):", reference="def merge(a, b): ...")).text
    assert told.startswith(
        "Merge two lists: solve(a, b) gives both, like `solve` of the Unix tools. Don't merge by a.merge(b)."
    )


@pytest.mark.parametrize("variant", CHANGED)
def test_edge_cases_are_shown_where_there_is_nothing_else(variant):
    task = tricky()
    only = replace(task, tests=replace(task.tests, edge=(0, 1)))
    assert vary(only, variant).text.count("Examples:\n") == vary(task, variant).text.count("Examples:\n")
    assert not vary(only, variant).text.endswith("Examples:\n")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"signature": "class weigh:"}, "t/1: its code can't be read, .*: its signature is not that of a function"),
        ({"signature": "def weigh(key)"}, "t/1: its code can't be read"),
        ({"reference": "def weigh(key) return 1"}, "t/1: its code can't be read"),
        ({"prompt": "def weigh(key):\n"}, "t/1: variants are made of text and signature; this problem is asked by its prompt"),
    ],
)
def test_what_cannot_be_put_otherwise_is_refused_in_words(changes, said):
    with pytest.raises(UserError, match=said):
        vary(tricky(**changes), Variant.renamed)


def test_no_old_name_is_left_in_code(heldout):
    for problem in heldout:
        varied = rename(problem)
        names = {node.id for node in ast.walk(ast.parse(varied.reference)) if isinstance(node, ast.Name)}
        assert problem.entry_point not in names
        assert varied.signature.startswith("def solve")
        assert not any(problem.entry_point in test for test in varied.tests.asserts)


def test_rewording_leaves_quotes_code_and_other_returns_alone():
    text = "Return the word 'at least' or `return it`; call f(exactly). Press the return button at least once."
    words = reword(text)
    assert "'at least'" in words
    assert "`return it`" in words
    assert "f(exactly)" in words
    assert "the return button no less than once" in words
    assert "Give back the word" in words


def test_rewording_keeps_every_number_and_quoted_value(heldout):
    for problem in heldout:
        numbers = re.findall(r"\d+|'[^'\n]*'", problem.text)
        assert Counter(re.findall(r"\d+|'[^'\n]*'", reword(problem.text).replace("n't", " not"))) >= Counter(numbers)


def test_reordered_examples_are_the_same_in_another_order(heldout):
    for problem in heldout:
        shown, other = (
            vary(problem, v).text.split("Examples:\n")[1].split("\n") for v in (Variant.examples, Variant.examples_reordered)
        )
        assert sorted(shown) == sorted(other)
        assert shown[0] != other[0]
        assert len(shown) == 3


def test_variants_are_the_same_every_time(heldout):
    assert all(vary(p, v) == vary(p, v) for p in heldout[:10] for v in Variant)
    assert vary(heldout[0], Variant.none) is heldout[0]


def test_problems_without_asserts_are_refused_in_words():
    problem = replace(tricky(), tests=Tests(kind=TestKind.check, code="def check(f): pass"))
    with pytest.raises(UserError, match="t/1: variants need assert tests and a signature; its tests are check"):
        vary(problem, Variant.renamed)


def test_the_drop_is_paired_by_original_problem():
    base = {f"b/{i}": 1.0 for i in range(30)}
    varied = {f"b/{i}~renamed": float(i >= 10) for i in range(30)}
    found = drop(base, varied, Variant.renamed)
    assert (found.first, found.second, found.lost, found.gained) == ("original", "renamed", 10, 0)
    assert "renamed is worse than original" in found.sentence
