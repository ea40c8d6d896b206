"""Every published format reads as it is; whatever is wrong with a row is said with file and line."""

import base64
import contextlib
import gzip
import json
import pickle
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rrtf.errors import DataError, MissingDataError
from rrtf.extraction import extract
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.problems.format_evalplus import checker
from rrtf.problems.formats import detect, read_problems
from rrtf.problems.settings import Format
from rrtf.profiles import Profile
from rrtf.records import Outcome, Problem, TestKind, from_row, to_row

HUMANEVAL = {
    "task_id": "HumanEval/900",
    "prompt": 'import math\n\n\ndef helper(x):\n    return x\n\n\ndef area(r: float) -> float:\n    """ A circle\'s area """\n',
    "canonical_solution": "    return math.pi * r ** 2\n",
    "entry_point": "area",
    "test": "def check(candidate):\n    assert helper(round(candidate(1), 2)) == 3.14\n",
}
MBPP = {
    "task_id": 12,
    "text": "Write a function to add.",
    "code": "class Pair:\r\n\tdef __init__(self, a):\r\n\t\tself.a = a\r\ndef add(pair, b):\r\n\treturn pair.a + b",
    "test_setup_code": "one = Pair(1)",
    "test_list": ["assert add(one, 2) == 3", "assert add(Pair(5), 6) == 11"],
    "challenge_test_list": ["assert add(Pair(-1), 1) == 0"],
}
MBPP_PLUS = {
    "task_id": 56,
    "prompt": "Check it.",
    "code": "def check(n):\n    return n > 1",
    "test_imports": ["import math"],
    "test_list": ["assert check(2) == True"],
    "test": "def assertion(out, exp, atol):\n    assert out == exp\n\ninputs = [[1], [2]]\nresults = [False, True]\n"
    "for i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(check(*inp), exp, 0)\n",
}
EVALPLUS = {
    "task_id": "Mbpp/2",
    "prompt": '"""\nShared elements.\nassert set(similar_elements((3, 4), (4, 5))) == {4}\n"""\n',
    "entry_point": "similar_elements",
    "canonical_solution": "\ndef similar_elements(a, b):\n    return tuple(set(a) & set(b))\n",
    "base_input": [[[3, 4], [4, 5]]],
    "plus_input": [[[], [1]]],
    "atol": 0,
    "contract": "",
}
MULTIPL_E = {
    "name": "mbpp_3_add",
    "language": "py",
    "prompt": 'def add(a: int, b: int) -> int:\n    """\n\tAdd.\n\t"""\n',
    "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n\ndef test_check():\n    check(add)\n\ntest_check()\n",
}
LEETCODE = {
    "task_id": "two-sum",
    "prompt": "from typing import *\n",
    "completion": "class Solution:\n    def twoSum(self, nums, target):\n        return [0, 1]\n",
    "entry_point": "Solution().twoSum",
    "test": "def check(candidate):\n    assert candidate(nums=[1, 2], target=3) == [0, 1]\n",
    "query": "Find two numbers.\nPlease complete the following python code precisely:\n```python\nclass Solution:\n```",
    "meta": {
        "difficulty": "Easy",
        "lang_code": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n",
    },
}
APPS = {
    "problem_id": 7,
    "question": "Double the number.",
    "input_output": json.dumps({"inputs": ["1\n", ["2", "3"]], "outputs": ["2\n", ["4"]]}),
    "solutions": json.dumps(["print(2 * int(input()))"]),
    "difficulty": "introductory",
    "starter_code": "",
}
APPS_CALL = APPS | {
    "input_output": {"fn_name": "double", "inputs": [[1], [2]], "outputs": [[2], 4]},
    "solutions": ["class Solution:\n    def double(self, n):\n        return 2 * n"],
    "starter_code": "class Solution:\n    def double(self, n: int) -> int:\n        ",
}
PYTEST = {
    "question_id": "K1",
    "question": "Add two numbers.",
    "solution": "def add(a, b):\n    return a + b",
    "test": "from solution import add\n\ndef test_add():\n    assert add(1, 2) == 3\n",
}
CODEREVAL = {
    "_id": "62e6",
    "project": "a/b",
    "name": "double",
    "level": "slib_runnable",
    "signature": "double(n)",
    "docstring": "Doubles.",
    "human_label": "Double a number",
    "prompt": 'def double(n):\n    """Doubles."""\n',
    "ground_truth": "def double(n):\n    return 2 * n\n",
    "validate_source": 'def double(n):\n    return 2 * n\n\nif __name__ == "__main__":\n    assert double(2) == 4\n',
}
CASE = {"input": "1\n", "output": "2\n", "testtype": "stdin"}
HIDDEN = base64.b64encode(zlib.compress(pickle.dumps(json.dumps([{**CASE, "input": "2\n", "output": "4\n"}])))).decode()
LIVECODEBENCH = {
    "question_id": "abc_a",
    "question_title": "Double",
    "question_content": "Double the number.",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps([CASE]),
    "private_test_cases": HIDDEN,
    "metadata": "{}",
}
LIVECODEBENCH_CALL = LIVECODEBENCH | {
    "starter_code": "class Solution:\n    def join(self, words: List[str], n: int) -> str:\n        ",
    "public_test_cases": json.dumps([{"input": '["a", "b"]\n2', "output": '"abab"', "testtype": "functional"}]),
    "private_test_cases": json.dumps([{"input": "[]\n1", "output": '""', "testtype": "functional"}]),
    "metadata": '{"func_name": "join"}',
}
CODECONTESTS = {
    "name": "1_A. Double",
    "description": "Double the number.",
    "difficulty": 7,
    "public_tests": {"input": ["1\n"], "output": ["2\n"]},
    "private_tests": {"input": ["2\n"], "output": ["4\n"]},
    "generated_tests": {"input": [], "output": []},
    "solutions": {"language": [2, 3], "solution": ["int main() {}", "print(2 * int(input()))"]},
}
ROWS: dict[Format, dict[str, Any]] = {
    Format.humaneval: HUMANEVAL,
    Format.mbpp: MBPP,
    Format.mbpp_plus: MBPP_PLUS,
    Format.evalplus: EVALPLUS,
    Format.multipl_e: MULTIPL_E,
    Format.leetcode: LEETCODE,
    Format.apps: APPS,
    Format.livecodebench: LIVECODEBENCH,
    Format.codecontests: CODECONTESTS,
    Format.pytest: PYTEST,
    Format.codereval: CODEREVAL,
}


def read(tmp_path: Path, *rows: dict[str, Any], **options: Any) -> list[Problem]:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(read_problems(path, **options))


def one(tmp_path: Path, row: dict[str, Any], **options: Any) -> Problem:
    (problem,) = read(tmp_path, row, **options)
    return problem


@pytest.mark.parametrize("known", list(ROWS), ids=lambda known: known.value)
def test_each_format_is_told_by_its_keys_and_survives_a_round_trip(tmp_path: Path, known: Format) -> None:
    assert detect(ROWS[known]) is known
    problem = one(tmp_path, ROWS[known])
    assert problem == one(tmp_path, ROWS[known], format=known.value)
    again = from_row(Problem, json.loads(json.dumps(to_row(problem))))
    assert again == problem
    assert one(tmp_path, to_row(problem)) == problem  # the native form of it


def test_every_format_but_auto_and_native_has_a_row_here() -> None:
    assert set(ROWS) == set(Format) - {Format.auto, Format.native, Format.instructions}


def test_instructions_are_problems_that_wait_for_tests(tmp_path: Path) -> None:
    row = {"instruction": "Add two numbers.", "input": "1, 2", "output": "```python\ndef add(a, b):\n    return a + b\n```"}
    with pytest.raises(DataError, match=r":1: .*no tests.*test_votes=voted"):
        read(tmp_path, row)
    problem = one(tmp_path, row, untested=True)
    assert (problem.text, problem.reference) == ("Add two numbers.\n1, 2", "def add(a, b):\n    return a + b")
    assert problem.entry_point == "add" and one(tmp_path, to_row(problem), untested=True) == problem
    assert one(tmp_path, row | {"output": "print(3)"}, untested=True).entry_point == "solution"
    (tmp_path / "list.json").write_text(json.dumps([row]))
    assert list(read_problems(tmp_path / "list.json", untested=True)) == [problem]
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(DataError, match="expected an object"):
        list(read_problems(tmp_path / "list.json", untested=True))


def test_humaneval_parts(tmp_path: Path) -> None:
    problem = one(tmp_path, HUMANEVAL)
    assert (problem.text, problem.signature) == ("A circle's area", "def area(r: float) -> float:")
    assert problem.tests.setup == "import math\n\n\ndef helper(x):\n    return x\n"
    assert problem.reference == HUMANEVAL["prompt"] + HUMANEVAL["canonical_solution"]


def test_mbpp_parts(tmp_path: Path) -> None:
    problem = one(tmp_path, MBPP)
    assert (problem.task_id, problem.entry_point, problem.split) == ("MBPP/12", "add", "test")
    assert problem.tests.setup.startswith("class Pair:\n\tdef __init__")
    assert problem.tests.setup.endswith("one = Pair(1)")
    assert "\r" not in problem.reference
    assert len(problem.tests.asserts) == 2
    assert len(one(tmp_path, MBPP, challenge_tests=True).tests.asserts) == 3


@pytest.mark.parametrize(("number", "split"), [(1, "prompt"), (10, "prompt"), (11, "test"), (510, "test"), (511, "validation")])
def test_mbpp_splits(tmp_path: Path, number: int, split: str) -> None:
    assert one(tmp_path, MBPP | {"task_id": number}).split == split


def test_mbpp_entry_point_that_hides_a_builtin(tmp_path: Path) -> None:
    row = MBPP | {
        "code": "def sum(a, b):\n    return a",
        "test_list": ["assert set([sum(1, 2)]) == {1}"],
        "test_setup_code": "",
    }
    assert one(tmp_path, row).entry_point == "sum"


def test_mbpp_plus_calls_the_candidate_even_where_it_is_named_check(tmp_path: Path) -> None:
    namespace: dict[str, Any] = {}
    exec(one(tmp_path, MBPP_PLUS).tests.code, namespace)
    namespace["check"](lambda n: n > 1)
    with pytest.raises(AssertionError):
        namespace["check"](lambda n: True)


def test_origin_format_asks_for_type_and_length_where_it_compares_floats(tmp_path: Path) -> None:
    loose = (
        "def assertion(out, exp, atol):\n    if out != exp:\n        assert np.allclose(out, exp, rtol=1e-07, atol=atol)\n\n"
        "def check(candidate):\n    assertion(candidate(1), 3.14, 1e-6)\n"
    )
    code = one(tmp_path, HUMANEVAL | {"test": "import numpy as np\n" + loose}).tests.code
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    namespace["check"](lambda _: 3.1400001)
    for wrong in ([], (), [3.14], 3, "x", float("nan")):
        with pytest.raises(AssertionError):
            namespace["check"](lambda _, wrong=wrong: wrong)


def test_origin_format_asserts_what_it_compares(tmp_path: Path) -> None:
    idle = (
        "def assertion(out, exp, atol):\n    if isinstance(out, bool):\n        exact_match = out == exp\n    else:\n"
        "        exact_match = exp == (out is not None)\n\n\ndef check(candidate):\n    assertion(candidate(1), True, 0)\n"
    )
    code = one(tmp_path, HUMANEVAL | {"test": idle}).tests.code
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    namespace["check"](lambda _: "found")
    for wrong in (None, False):
        with pytest.raises(AssertionError):
            namespace["check"](lambda _, wrong=wrong: wrong)


def test_evalplus_inputs_come_with_their_own_comparison(tmp_path: Path) -> None:
    problem = one(tmp_path, EVALPLUS)
    assert problem.tests.kind is TestKind.inputs
    assert problem.text == "Shared elements."
    assert len(problem.tests.inputs) == 2
    namespace: dict[str, Any] = {}
    exec(problem.tests.checker, namespace)
    assert namespace["prepare"]([[3, 4], [4, 5]]) == [(3, 4), (4, 5)]
    assert namespace["check"]([], (5, 4, 4), (4, 5))
    assert not namespace["check"]([], (5,), (4, 5))


@pytest.mark.parametrize(
    ("entry_point", "atol", "output", "expected", "right"),
    [
        ("f", 0.0, 0.1 + 0.2, 0.3, True),  # floats always have 1e-6
        ("f", 0.0, 0.31, 0.3, False),
        ("f", 0.0, [0.1, 0.2], [0.1, 0.2000000001], True),
        ("f", 0.0, (0.1,), [0.1], False),
        ("f", 0.0, [0.1], [0.1, 0.2], False),
        ("f", 0.0, float("nan"), 0.3, False),
        ("f", 0.0, "0.3", 0.3, False),
        ("f", 0.0, 1, 2, False),
        ("f", 0.0, True, 1, True),
        ("f", 0.5, 3, 3.4, False),  # another type
        ("f", 0.5, 3.0, 3.4, True),
        ("are_equivalent", 0.0, 1, False, True),
        ("sum_div", 0.0, 0, 7, True),
        ("check_str", 0.0, "match", "other", True),
        ("check_str", 0.0, None, "other", False),
        ("check_str", 0.0, True, "match", True),
    ],
)
def test_evalplus_comparison(entry_point: str, atol: float, output: Any, expected: Any, right: bool) -> None:
    namespace: dict[str, Any] = {}
    exec(checker("Mbpp/0", entry_point, atol), namespace)
    assert namespace["check"]([], output, expected) is right


def test_evalplus_zero_of_a_polynomial() -> None:
    namespace: dict[str, Any] = {}
    exec(checker("HumanEval/32", "find_zero", 1e-4), namespace)
    assert namespace["check"]([[-2.0, 1.0]], 2.00001, 99)
    assert not namespace["check"]([[-2.0, 1.0]], 2.1, 2.1)


def test_leetcode_parts(tmp_path: Path) -> None:
    problem = one(tmp_path, LEETCODE)
    assert (problem.text, problem.difficulty) == ("Find two numbers.", "Easy")
    assert problem.prompt.startswith("from typing import *\n")
    assert problem.prompt.rstrip().endswith("-> List[int]:")
    assert problem.reference.endswith("return [0, 1]\n")


@pytest.mark.parametrize("pair", [("problem", "solution"), ("prompt", "response"), ("question", "answer")])
def test_a_task_and_an_answer_under_other_names_are_instructions_too(tmp_path: Path, pair: tuple[str, str]) -> None:
    row = {"lang": "python", pair[0]: "Add two numbers.", pair[1]: "```python\ndef add(a, b):\n    return a + b\n```"}
    with pytest.raises(DataError, match=r":1: .*no tests.*test_votes=voted"):
        read(tmp_path, row)
    problem = one(tmp_path, row, untested=True)
    assert (problem.text, problem.entry_point, problem.reference[:7]) == ("Add two numbers.", "add", "def add")
    with pytest.raises(DataError, match="no known format has the keys problem"):
        read(tmp_path, {"problem": "Add two numbers."}, untested=True)


def test_rows_of_taco_have_no_name_and_get_one_by_their_words(tmp_path: Path) -> None:
    row = {key: value for key, value in APPS.items() if key != "problem_id"}
    first, second, third = read(tmp_path, row, row | {"question": "Halve the number."}, row)
    assert first.task_id.startswith("apps/") and len({first.task_id, second.task_id, third.task_id}) == 3
    assert one(tmp_path, row) == first


def test_apps_pairs_and_calls(tmp_path: Path) -> None:
    problem = one(tmp_path, APPS)
    assert [(pair.input, pair.output) for pair in problem.tests.pairs] == [("1\n", "2\n"), ("2\n3", "4")]
    called = one(tmp_path, APPS_CALL)
    assert called.entry_point == "Solution().double"
    namespace: dict[str, Any] = {}
    exec(called.tests.code, namespace)
    namespace["check"](lambda n: 2 * n)
    with pytest.raises(AssertionError):
        namespace["check"](lambda n: n)


def test_contest_rows_have_their_public_and_hidden_tests(tmp_path: Path) -> None:
    pairs = [("1\n", "2\n"), ("2\n", "4\n")]
    for row, name in ((LIVECODEBENCH, "abc_a"), (CODECONTESTS, "1_A. Double")):
        problem = one(tmp_path, row)
        assert (problem.task_id, [(pair.input, pair.output) for pair in problem.tests.pairs]) == (name, pairs)
    assert one(tmp_path, CODECONTESTS).reference == "print(2 * int(input()))"
    called = one(tmp_path, LIVECODEBENCH_CALL)
    assert called.entry_point == "Solution().join"
    program = "class Solution:\n    def join(self, words, n):\n        return ''.join(words) * n\n"
    jobs = [Job(called, program), Job(called, program.replace("* n", ""))]
    assert [verdict.passed for verdict in judge(jobs, Judge(workers=1, early_exit=False))] == [2, 1]


def test_a_function_is_answered_below_the_imports_that_its_starter_code_leaves_out(tmp_path: Path) -> None:
    problem = one(tmp_path, LIVECODEBENCH_CALL)
    answer = "class Solution:\n    def join(self, words: List[str], n: int) -> str:\n        return ''.join(words) * n\n"
    program = extract(answer, problem, Profile()).program
    (verdict,) = judge([Job(problem, program)], Judge(workers=1))
    assert verdict.outcome is Outcome.all_tests_passed


@pytest.mark.parametrize("pickled", [pickle.dumps(Path("x")), b"cos\nsystem\n(V[]\ntR.", pickle.dumps(["[]"]), b"\x80\x04"])
def test_a_pickle_in_a_row_makes_no_objects(tmp_path: Path, pickled: bytes) -> None:
    packed = base64.b64encode(zlib.compress(pickled)).decode()
    with pytest.raises(DataError, match="pickle"):
        one(tmp_path, LIVECODEBENCH | {"private_test_cases": packed})


def test_pytest_style_finds_the_entry_point(tmp_path: Path) -> None:
    problem = one(tmp_path, PYTEST)
    assert (problem.entry_point, problem.signature) == ("add", "def add(a, b):")
    for test in (
        "from solution import add, sub\n\ndef test_add():\n    assert add(1, 2) == 3\n",
        "from solution import *\n\ndef test_add():\n    assert add(1, 2) == 3\n",
        "import solution as s\n\ndef test_add():\n    assert s.add(1, 2) == 3\n",
    ):
        found = one(tmp_path, PYTEST | {"test": test})
        assert (found.entry_point, found.tests.code) == ("add", test)  # the judge takes the imports out


def test_codereval_parts(tmp_path: Path) -> None:
    problem = one(tmp_path, CODEREVAL)
    assert (problem.task_id, problem.difficulty, problem.topic) == ("CoderEval/62e6", "slib_runnable", "a/b")
    assert problem.split == "bare"
    assert one(tmp_path, CODEREVAL | {"runs_bare_py311": False}).split == "image"


MALFORMED = [
    ({"x": 1}, "no known format has the keys x"),
    (HUMANEVAL | {"prompt": 5}, "prompt must be a string, not 5"),
    (HUMANEVAL | {"task_id": None}, "task_id must be a string"),
    (HUMANEVAL | {"task_id": ""}, "task_id is empty"),
    (HUMANEVAL | {"entry_point": ""}, "has no entry_point"),
    (HUMANEVAL | {"test": "check = 1"}, "problem has no tests"),
    (MBPP | {"test_list": []}, "has no tests"),
    (MBPP | {"test_list": "assert"}, "test_list must be a list of strings"),
    (MBPP | {"test_list": ["assert add("]}, "a test is not valid Python"),
    (MBPP | {"test_list": ["assert True"]}, "call no function"),
    (MBPP | {"task_id": "12"}, "task_id must be a number"),
    (MBPP | {"code": "def ("}, "code is not valid Python"),
    (MBPP_PLUS | {"test": "inputs = []"}, "has no tests"),
    (EVALPLUS | {"base_input": [], "plus_input": []}, "has no tests"),
    (EVALPLUS | {"base_input": [5]}, "list of argument lists"),
    (EVALPLUS | {"atol": "0"}, "atol must be a number"),
    (EVALPLUS | {"canonical_solution": "x = 1"}, "does not define 'similar_elements'"),
    (APPS | {"input_output": "{"}, "input_output is not JSON"),
    (APPS | {"input_output": ""}, "has no tests"),
    (APPS | {"input_output": {"inputs": ["1"], "outputs": []}}, "lists of one length"),
    (APPS_CALL | {"input_output": {"fn_name": "f", "inputs": ["1"], "outputs": [1]}}, "list of arguments"),
    (PYTEST | {"test": "x = 1"}, "has no tests"),
    (CODEREVAL | {"validate_source": "x = 1"}, "does not define 'double'"),
    ({"task_id": "n", "text": "", "tests": {"kind": "asserts"}}, "has no tests"),
    ({"task_id": "n", "text": "", "tests": {"kind": "no"}}, "kind must be one of"),
    ({"task_id": "n", "text": "", "tests": {"kind": "inputs", "inputs": [[1]]}, "entry_point": "f"}, "no oracle"),
    ({"task_id": "n", "text": "", "tests": {"kind": "stdio", "pairs": [5]}}, "must be an object"),
    ({"task_id": "n", "text": "", "tests": 5}, "tests must be an object"),
]


@pytest.mark.parametrize(("row", "reason"), MALFORMED, ids=[reason for _, reason in MALFORMED])
def test_a_malformed_row_is_named_by_file_and_line(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, HUMANEVAL | {"task_id": "before"}, row)
    assert str(caught.value).startswith(f"{tmp_path / 'rows.jsonl'}:2: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize("known", list(ROWS), ids=lambda known: known.value)
def test_no_value_of_a_field_makes_anything_but_a_data_error(tmp_path: Path, known: Format) -> None:
    for key in ROWS[known]:
        for value in (None, 5, -1.5, "", "\0", "def (", [], [None], [[1]], {}, {"a": None}, True, "\ud800", "x" * 10000):
            with contextlib.suppress(DataError):
                read(tmp_path, ROWS[known] | {key: value}, format=known)
        with contextlib.suppress(DataError):
            read(tmp_path, {k: v for k, v in ROWS[known].items() if k != key}, format=known)


def test_a_task_id_seen_before(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r":3: task_id 'HumanEval/900' is already on line 1"):
        read(tmp_path, HUMANEVAL, MBPP, HUMANEVAL)


def test_files_that_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with pytest.raises(MissingDataError, match="no such file"):
        list(read_problems(path))
    path.write_text(json.dumps(HUMANEVAL) + '\n{"half": ')
    with pytest.raises(DataError, match=":2: not JSON"):
        list(read_problems(path))
    path.write_text(json.dumps(HUMANEVAL) + "\n\n[1]\n")
    with pytest.raises(DataError, match=":3: expected an object"):
        list(read_problems(path))
    packed = tmp_path / "rows.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(HUMANEVAL).encode() * 50)[:-20])
    with pytest.raises(DataError, match="truncated or damaged"):
        list(read_problems(packed))


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(HUMANEVAL) + "\nnot JSON\n")
    assert next(read_problems(path)).task_id == "HumanEval/900"


REAL = [
    ("mbpp/mbpp.jsonl.gz", 974, TestKind.asserts),
    ("mbpp/mbpp-py.multiple-typed-397.jsonl.gz", 397, TestKind.check),
    ("humanevalplus/HumanEvalPlus.jsonl.gz", 164, TestKind.inputs),
    ("humanevalplus/HumanEvalPlus-OriginFmt.jsonl.gz", 164, TestKind.check),
    ("mbppplus/MbppPlus.jsonl.gz", 378, TestKind.inputs),
    ("mbppplus/MbppPlus-OriginFmt.jsonl.gz", 378, TestKind.check),
    ("leetcode/LeetCodeDataset-v0.2.0-train.jsonl.gz", 1890, TestKind.check),
    ("leetcode/LeetCodeDataset-v0.3.1-test.jsonl.gz", 228, TestKind.check),
    ("codereval/CoderEval_Python_230.joined.jsonl.gz", 230, TestKind.program),
    ("codereval/CoderEval_Python_54_stdlib_runnable.jsonl.gz", 54, TestKind.program),
]


@pytest.mark.parametrize(("name", "count", "kind"), REAL, ids=[name for name, _, _ in REAL])
def test_published_files_read_as_they_are(shared: Path, name: str, count: int, kind: TestKind) -> None:
    problems = list(read_problems(shared / name))
    assert len(problems) == count
    assert {problem.tests.kind for problem in problems} == {kind}
    assert all(problem.text.strip() and problem.entry_point for problem in problems)
    if "typed" not in name:
        assert all(problem.reference for problem in problems)


def test_published_levels_and_splits(shared: Path) -> None:
    levels = Counter(p.difficulty for p in read_problems(shared / "leetcode/LeetCodeDataset-v0.2.0-train.jsonl.gz"))
    assert levels == {"Easy": 515, "Medium": 1000, "Hard": 375}
    splits = Counter(p.split for p in read_problems(shared / "mbpp/mbpp.jsonl.gz"))
    assert splits == {"prompt": 10, "test": 500, "validation": 90, "train": 374}
