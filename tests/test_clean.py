"""Each rule drops what it is named for and nothing of the published sets; the report adds up."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from rrtf.errors import DataError, MissingDataError
from rrtf.problems.clean import RULES, clean
from rrtf.problems.data_settings import Clean
from rrtf.problems.dropped import report_rows
from rrtf.problems.duplicates import remove_duplicates
from rrtf.problems.formats import read_problems
from rrtf.problems.instructions import code_of
from rrtf.problems.load import load
from rrtf.problems.settings import Format, ProblemSet
from rrtf.records import Problem, TestKind, Tests

GOOD = Problem(
    task_id="good",
    text="Write a Python function that adds two numbers and returns the sum.",
    reference="def add(a, b):\n    return a + b",
    tests=Tests(kind=TestKind.asserts, asserts=("assert add(1, 2) == 3",)),
)
ALL = Clean(rules=dict.fromkeys(RULES, True))
BAD = {
    "short_text": {"text": "Sort it"},
    "long_text": {"text": "count the words " * 200},
    "not_latin": {"text": "Напишите функцию, которая складывает два числа"},
    "garbled": {"text": "Add two numbers \ufffd\ufffd of a list"},
    "repetitive": {"text": "Add the numbers. " + "and so on " * 80},
    "leaked_instruction": {"text": "Add two numbers. Unlike the given prompt, take three."},
    "refusal": {"text": "I'm sorry, as an AI I can not rewrite that one for you."},
    "missing_material": {"text": "Compute the area of the shape shown in the figure."},
    "needs_service": {"text": "Build a responsive website that adds two numbers."},
    "other_language": {
        "text": "Write a Java method that adds two numbers.",
        "reference": "int add(int a, int b) { return a + b; }",
    },
    "no_python": {"reference": "You can add two numbers with the plus sign."},
    "no_function": {"reference": "print(1 + 2)"},
    "unfinished": {"reference": "def add(a, b):\n    # your code here\n    return 0"},
    "no_solution": {"reference": " "},
    "no_tests": {"tests": Tests(kind=TestKind.asserts)},
}


def test_there_is_an_example_of_every_rule() -> None:
    assert set(BAD) == set(RULES) == set(Clean().rules)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_speaks_against_its_example_only_while_it_is_on(rule: str) -> None:
    bad = replace(GOOD, task_id="bad", **BAD[rule])  # type: ignore[arg-type]
    result = clean([bad, GOOD], ALL)
    assert [one.task_id for one in result.kept] == ["good"]
    assert result.hits[rule] == 1
    off = clean([bad, GOOD], Clean(rules=dict.fromkeys(RULES, True) | {rule: False}))
    assert rule not in off.hits
    assert all(one.rule != rule for one in off.dropped)


def test_published_sets_pass_whole(shared: Path) -> None:
    sets = [
        list(load(ProblemSet())),
        list(islice(read_problems(shared / "mbpp/mbpp.jsonl.gz"), 300)),
        list(islice(read_problems(shared / "leetcode/LeetCodeDataset-v0.2.0-train.jsonl.gz"), 100)),
    ]
    for problems in sets:
        assert [(one.task_id, one.rule) for one in clean(problems, Clean()).dropped] == []


def test_real_instruction_data_is_cut_as_the_papers_was(shared: Path) -> None:
    problems = list(islice(read_problems(shared / "evolinstruct/converted_alpaca_2k.json.gz", untested=True), 300))
    result = clean(problems, Clean())
    assert len(result.kept) + len(result.dropped) == len(problems)
    assert result.hits["other_language"] > 50
    assert result.hits["no_python"] > 50
    assert all("Java" not in one.text or "Python" in one.text or "def " in one.reference for one in result.kept)


def test_the_report_adds_up_and_shows_examples() -> None:
    bad = [replace(GOOD, task_id=f"bad{i}", text="Sort it") for i in range(5)]
    rows = report_rows(clean([*bad, GOOD], ALL).dropped, total=6, examples=2)
    assert [(row.rule, row.count) for row in rows] == [("kept", 1), ("short_text", 5)]
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert rows[1].examples == ("bad0: 2 words | Sort it", "bad1: 2 words | Sort it")
    assert report_rows([], total=0)[0].count == 0


def test_rules_that_do_not_exist_and_values_out_of_range_are_named() -> None:
    wrong = Clean(rules={"shorttext": True}, near_text=2.0, least_words=9, most_words=3).mistakes()
    assert any("shorttext: no such rule" in mistake for mistake in wrong)
    assert any("near_text" in mistake for mistake in wrong)
    assert any("least_words" in mistake for mistake in wrong)
    assert Clean().mistakes() == []


def instructions(path: Path) -> list[Problem]:
    return list(read_problems(path, Format.instructions, untested=True))


def test_instruction_rows_of_every_form_are_read(tmp_path: Path) -> None:
    rows = '[{"instruction": "Add.", "input": "1 2", "output": "```python\\ndef f(): pass\\n```"}]'
    (tmp_path / "a.json").write_text(rows)
    (tmp_path / "b.jsonl").write_text('{"prompt": "Add.", "completion": "x = 1"}\n')
    (one,) = instructions(tmp_path / "a.json")
    assert (one.text, one.reference) == ("Add.\n1 2", "def f(): pass")
    (other,) = instructions(tmp_path / "b.jsonl")
    assert (other.text, other.reference) == ("Add.", "x = 1")


def test_one_instruction_for_several_inputs_is_several_tasks_and_a_repeat_is_left_to_clean(tmp_path: Path) -> None:
    """CodeAlpaca says "Fix the bug." of many programs, and some rows twice."""
    rows = [{"instruction": "Fix it.", "input": given, "output": "x = 1"} for given in ("a", "b", "b", "")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = instructions(tmp_path / "a.jsonl")
    assert len({one.task_id for one in problems}) == 4
    assert [one.rule for one in remove_duplicates(problems, Clean()).dropped] == ["same_text"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", '{"a": 1}', "a.json:1: no instruction"),
        ("a.json", "[1]", "expected an object"),
        ("a.json", "[{", "not JSON"),
        ("a.jsonl", '{"output": "x"}', "a.jsonl:1: no instruction"),
        ("a.jsonl", '{"instruction": "Add.", "output": 3}', "output must be text"),
        ("a.jsonl", '{"instruction": "Add.", "output": "x"}\n{"instr', "a.jsonl:2"),
    ],
)
def test_broken_instruction_files_are_named_with_their_line(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        instructions(tmp_path / name)


def test_a_missing_instruction_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"none\.json"):
        instructions(tmp_path / "none.json")


def test_code_is_taken_out_of_prose() -> None:
    assert code_of("Here:\n```python\nx = 1\n```\nand\n```\ny = 2\n```\n") == "x = 1\n\ny = 2"
    assert code_of("```python\nx = 1\n") == "x = 1"
    assert code_of("x = 1") == "x = 1"
