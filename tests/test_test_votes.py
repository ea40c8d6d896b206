"""Voted tests: what programs agree on becomes a test, through the real judge."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.calls import Call, read_calls, request_calls, varied
from rrtf.problems.data_settings import TestVotes
from rrtf.problems.test_votes import agreed, independent, vote, write_calls
from rrtf.records import Candidate, Outcome, Problem, Role, TestKind, Tests, Verdict

SETTINGS = TestVotes()
PROBLEM = Problem(task_id="p", text="Add two numbers.", entry_point="add", tests=Tests(kind=TestKind.asserts))
RIGHT = [
    "def add(a, b):\n    return a + b",
    "def add(a, b):\n    return sum([a, b])",
    "def add(a, b):\n    c = b\n    return c + a",
]
WRONG = "def add(a, b):\n    return a - b"
CALLS = [Call("add(1, 2)", "3"), Call("add(0, 0)", ""), Call("add(-4, 4)", "1")]


def run(jobs: Iterable[tuple[Problem, str]]) -> Iterator[Verdict]:
    return judge((Job(*job) for job in jobs), Judge(workers=1, time_limit=1.0))


def test_the_values_of_the_majority_become_tests_that_tell_right_from_wrong() -> None:
    (voted,) = vote([PROBLEM], {"p": [*RIGHT, WRONG]}, {"p": CALLS}, run, SETTINGS).problems
    assert set(voted.tests.asserts) == {"assert add(0, 0) == 0", "assert add(1, 2) == 3", "assert add(-4, 4) == 0"}
    assert len(voted.tests.confidence) == 3
    assert list(voted.tests.confidence) == sorted(voted.tests.confidence, reverse=True)
    outcomes = [verdict.outcome for verdict in run([(voted, program) for program in [*RIGHT, WRONG]])]
    assert outcomes == [Outcome.all_tests_passed] * 3 + [Outcome.some_tests_passed]


def test_errors_odd_values_and_endless_programs_vote_for_nothing() -> None:
    silent = [
        "def add(a, b):\n    raise ValueError('returned 3')",
        "def add(a, b):\n    return object()",
        "def add(a, b):\n    while True: pass",
        "def other(a, b):\n    return a",
        "def add(a, b):\n    return 'x' * 1000",
    ]
    result = vote([PROBLEM], {"p": silent}, {"p": CALLS[:1]}, run, SETTINGS)
    assert [(one.rule, one.detail) for one in result.dropped] == [("no_agreement", "0 of 1 calls agreed on")]


def test_what_can_not_be_voted_on_is_dropped_with_its_reason() -> None:
    problems = [PROBLEM, replace(PROBLEM, task_id="q"), replace(PROBLEM, task_id="r")]
    programs = {"p": [RIGHT[0], RIGHT[0].replace("b", "x")], "q": RIGHT, "r": RIGHT}
    result = vote(problems, programs, {"p": CALLS, "r": CALLS[:2]}, run, SETTINGS)
    assert [(one.task_id, one.rule) for one in result.dropped] == [("p", "few_programs"), ("q", "no_calls")]
    assert [one.task_id for one in result.problems] == ["r"]
    assert (result.calls, result.agreed) == (2, 2)


def test_programs_that_return_nothing_give_no_tests() -> None:
    """They print, or fill in what a model left open: any program that does nothing would pass."""
    idle = ["def add(a, b):\n    print(a + b)", "def add(a, b):\n    pass", "def add(a, b):\n    a += b"]
    result = vote([PROBLEM], {"p": idle}, {"p": CALLS}, run, SETTINGS)
    assert [(one.rule, one.detail) for one in result.dropped] == [("no_value", "None is all that 3 calls return")]


def test_programs_that_differ_in_clothes_are_one_voter() -> None:
    clothes = [RIGHT[0], "def add(x: int, y: int) -> int:\n    '''Adds.'''\n    return x + y  # done", "not python ("]
    assert independent([*clothes, RIGHT[1]]) == [RIGHT[0], RIGHT[1]]


def test_floats_agree_within_a_hair() -> None:
    thirds = [
        "def add(a, b):\n    return (a + b) / 3",
        "def add(a, b):\n    return a / 3 + b / 3",
        "def add(a, b):\n    return 7.0",
    ]
    (voted,) = vote([PROBLEM], {"p": thirds}, {"p": [Call("add(1, 0.1)", ""), Call("add(2, 0.3)", "")]}, run, SETTINGS).problems
    assert all(line.startswith("assert abs(add(") for line in voted.tests.asserts)
    outcomes = [verdict.outcome for verdict in run([(voted, program) for program in thirds])]
    assert outcomes == [Outcome.all_tests_passed, Outcome.all_tests_passed, Outcome.no_test_passed]


def test_a_voter_who_is_often_alone_counts_less() -> None:
    calls = [Call(f"f({i})", "") for i in range(6)]
    table = [["1", "1", "9"] for _ in range(5)] + [["2", "2", "3"]]
    even = agreed(calls[-1:], table[-1:], TestVotes(rounds=1))
    joint = agreed(calls, table, SETTINGS)
    assert {one.call: one.value for one in joint}["f(5)"] == "2"
    assert min(one.confidence for one in joint) > even[0].confidence


def test_the_writer_alone_convinces_nobody() -> None:
    table = [["1", "2"]]
    assert agreed([Call("f(0)", "1")], table, TestVotes(writer_vote=9.0)) == []
    assert agreed([Call("f(0)", "1")], [["1", "1"]], SETTINGS)[0].programs == 2


def test_true_and_one_are_two_values() -> None:
    assert agreed([Call("f(0)", "")], [["True", "1", "1"]], TestVotes(agreement=0.5))[0].value == "1"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["", "0", "1", "[1]", "1.5", "(", "None"]), min_size=3, max_size=3), max_size=5))
def test_confidence_is_a_share_and_kept_values_were_said(table: list[list[str]]) -> None:
    calls = [Call(f"f({i})", "") for i in range(len(table))]
    for one in agreed(calls, table, SETTINGS):
        row = table[int(one.call[2:-1])]
        assert SETTINGS.agreement <= one.confidence <= 1
        assert row.count(one.value) >= SETTINGS.least_programs


ANSWER = """Sure! Here are tests:
```python
assert add(1, 2) == 3
assert add(1,2) == 3  # again
assert 5 == add(a=2, b=3)
- assert add(0, 0) == 0, "zero"
2. assert add([1], x) == 1
assert not add(0, 0.0)
assert sub(1, 2) == 3
assert add(7, 7) > 3
assert add(9,
def add(a, b): return a + b
```"""


def test_calls_are_read_from_what_models_write() -> None:
    assert read_calls(ANSWER, PROBLEM) == [
        Call("add(1, 2)", "3"),
        Call("add(a=2, b=3)", "5"),
        Call("add(0, 0)", "0"),
        Call("add(0, 0.0)", "False"),
        Call("add(7, 7)", ""),
    ]
    assert read_calls("", PROBLEM) == read_calls("assert " * 10_000, PROBLEM) == []


def test_the_writer_is_asked_once_a_problem_and_its_calls_are_varied() -> None:
    def ask(messages: Sequence[Problem]) -> Iterator[Candidate]:
        for message in messages:
            assert "`add`" in message.text
            yield Candidate(
                task_id=message.task_id,
                source="w",
                role=Role.teacher,
                sample=0,
                temperature=0.0,
                seed=0,
                prompt=message.text,
                response=f"<think>\nassert add(9, 9) == 0, no\n</think>\n{ANSWER}",
                program="",
            )

    wide = TestVotes(mutants=3)
    calls = write_calls([PROBLEM, replace(PROBLEM, task_id="q")], ask, wide)
    assert set(calls) == {"p", "q"}
    assert calls["p"] == calls["q"]
    assert len(calls["p"]) > 5
    assert calls["p"][0] == Call("add(1, 2)", "3")
    assert len({call.text for call in calls["p"]}) == len(calls["p"])
    assert request_calls(PROBLEM, wide).task_id == "p~tests"


@given(st.integers(0, 99))
def test_a_varied_call_keeps_the_number_and_types_of_arguments(seed: int) -> None:
    call = Call("f(1, 2.5, 'ab', [1, 2], (3,), {'a': 1, 'b': 2}, True, x=None)", "")
    for new in varied([call], TestVotes(mutants=5, seed=seed)):
        assert new.text.count("x=None") == 1
        values = eval(new.text, {"f": lambda *values, x: values})
        assert [type(value) for value in values] == [int, float, str, list, tuple, dict, bool]


def test_wrong_settings_are_all_named() -> None:
    assert len(TestVotes(calls=0, agreement=0.0, most_tests=1).mistakes()) == 3
    assert TestVotes().mistakes() == []
    with pytest.raises(TypeError):
        TestVotes(nonsense=1)  # type: ignore[call-arg]
