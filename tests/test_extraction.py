"""Extraction: the program in real, odd and hostile responses."""

import gzip
import json
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.extraction import MOST_CHARACTERS, extract
from rrtf.prompts import Opening, Profile, Style
from rrtf.records import Problem, TestKind, Tests

TESTS = Tests(kind=TestKind.asserts, asserts=("assert add(1, 2) == 3",))
PROBLEM = Problem(task_id="p/1", text="Add.", entry_point="add", signature="def add(a, b):", tests=TESTS)
SOLUTION = Problem(
    task_id="two-sum",
    text="Add.",
    entry_point="Solution().add",
    signature="class Solution:\n    def add(self, a: int, b: int) -> List[int]:",
    prompt="from typing import *\n\n\nclass Solution:\n    def add(self, a: int, b: int) -> List[int]:\n        ",
    tests=TESTS,
)
STDIO = Problem(task_id="s/1", text="Print.", tests=Tests(kind=TestKind.stdio))
FREE = Profile(opening=Opening.nothing)
FENCE = Profile()
PAPER = Profile(style=Style.paper)
GOOD = "def add(a, b):\n    return a + b\n"


def works(program, call="add(1, 2)"):
    namespace = {}
    exec(program, namespace)
    return eval(call, namespace) == 3


CASES = {
    "bare code": (GOOD, FREE, "plain"),
    "fenced": (f"Here it is:\n```python\n{GOOD}```\nIt adds.", FREE, "fenced"),
    "fence without language": (f"```\n{GOOD}```", FREE, "fenced"),
    "tildes": (f"~~~py\n{GOOD}~~~\n", FREE, "fenced"),
    "unclosed fence": (f"Sure!\n```python\n{GOOD}", FREE, "fenced"),
    "opened fence, closed": (f"{GOOD}```\nThis adds.", FENCE, "fenced"),
    "opened fence, never closed": (GOOD, FENCE, "fenced"),
    "a chat that ignores the opened fence": (f"Of course!\n\n```python\n{GOOD}```\n", FENCE, "fenced"),
    "usage block first": (f"Run:\n```bash\npip install add\n```\nthen\n```python\n{GOOD}```", FREE, "fenced"),
    "example block after": (f"```python\n{GOOD}```\nUse:\n```python\nprint(add(1, 2))\n```", FREE, "fenced"),
    "example block before": (f"```python\nprint(add(1, 2))\n```\n```python\n{GOOD}```", FREE, "fenced"),
    "helper in its own block": (
        "```python\ndef plus(x, y):\n    return x + y\n```\nand\n```python\ndef add(a, b):\n    return plus(a, b)\n```",
        FREE,
        "fenced",
    ),
    "prose around code": (f"The function adds two numbers.\n\n{GOOD}\nThis works since + adds.", FREE, "plain"),
    "main block": (GOOD + "\nif __name__ == '__main__':\n    exit(add(1, 2))\n", FREE, "plain"),
    "example calls": (GOOD + "\nprint(add(1, 'x'))\nassert add(1, 1) == 3\nresult = add([], 1)\n", FREE, "plain"),
    "windows line ends": (GOOD.replace("\n", "\r\n"), FREE, "plain"),
    "decorated": ("import functools\n\n@functools.lru_cache\n" + GOOD, FREE, "plain"),
    "wrapped after": ("import functools\n" + GOOD + "add = functools.lru_cache(add)\n", FREE, "plain"),
    "lambda": ("add = lambda a, b: a + b\n", FREE, "plain"),
    "torn after the answer": (GOOD + "\n\ndef show():\n    print('half a", FREE, "plain"),
    "indented whole": ("    def add(a, b):\n        return a + b\n", FREE, "plain"),
    "indented amid prose": ("So:\n\n    def add(a, b):\n        c = a\n\n        return c + b\n\nIt adds.\n", FREE, "plain"),
    "indented in a list": ("1. Add:\n\n   ```python\n   def add(a, b):\n       return a + b\n   ```\n2. Done", FREE, "fenced"),
    "indented inside its fence": ("```python\n    def add(a, b):\n        return a + b\n```", FREE, "fenced"),
    "tabs": ("```python\ndef add(a, b):\n\tc = a\n\treturn c + b\n```", FREE, "fenced"),
    "byte order mark": (f"\ufeff{GOOD}", FREE, "plain"),
    "byte order mark in the fence": (f"```python\n\ufeff{GOOD}```", FREE, "fenced"),
    "old line ends": (f"Sure:\n```python\n{GOOD}```\nDone".replace("\n", "\r"), FREE, "fenced"),
    "form feed": (f"```python\n\x0c{GOOD}```\n", FREE, "fenced"),
    "odd line separator in a string": (f"```python\nS = '\u2028'\n{GOOD}```", FREE, "fenced"),
    "replaced characters in prose": (f"Voil\ufffd :\n```python\n{GOOD}```\nFin \ufffd", FREE, "fenced"),
    "wide characters in prose": (f"以下是代码\uff1a\n```python\n{GOOD}```\n\uff08完\uff09", FREE, "fenced"),
    "fences in the docstring": (
        "```python\ndef add(a, b):\n    '''Adds.\n\n    ```\n    add(1, 2)\n    ```\n    '''\n    return a + b\n```\nSo.",
        FREE,
        "fenced",
    ),
    "tildes around backticks": (f"~~~python\n'''\n```\n'''\n{GOOD}~~~\n", FREE, "fenced"),
    "four backticks around three": (f"````python\n'''\n```\n'''\n{GOOD}````\n", FREE, "fenced"),
    "code behind the fence": ("```python def add(a, b):\n    return a + b\n```", FREE, "fenced"),
    "code behind a bare fence": ("```def add(a, b):\n    return a + b\n```", FREE, "fenced"),
    "one line": ("```python def add(a, b): return a + b```", FREE, "fenced"),
    "a title behind the fence": (f"```python title='a.py' {{1}}\n{GOOD}```", FREE, "fenced"),
    "words behind the closing fence": (f"```python\n{GOOD}```This adds.\n```python\nprint(add(1, 2))\n```", FREE, "fenced"),
    "marked as another language": (f"```text\n{GOOD}```", FREE, "fenced"),
    "another language and Python": (f"```java\nint add(int a);\n```\n```py\n{GOOD}```", FREE, "fenced"),
    "upper case and version": (f"```Python3.11\n{GOOD}```", FREE, "fenced"),
    "code before a fenced example": (f"{GOOD}\nExample:\n```python\nprint(add(1, 2))\n```\n", FREE, "plain"),
    "the task repeated as a stub": (
        f"Complete\n```python\ndef add(a, b):\n    '''Adds.'''\n```\nlike so:\n```python\n{GOOD}```",
        FREE,
        "fenced",
    ),
    "broken first, then mended": (f"```python\ndef add(a, b)\n    return a\n```\nOops:\n```python\n{GOOD}```", FREE, "fenced"),
    "a bare fence behind the opened one": (f"Here you are:\n\n```\n{GOOD}```\n", FENCE, "fenced"),
    "an interactive session": (">>> def add(a, b):\n...     return a + b\n...\n>>> add(1, 2)\n3\n", FREE, "plain"),
    "a session in a fence": ("```pycon\n>>> def add(a, b):\n...     return a + b\n>>> add(1, 2)\n3\n```", FREE, "fenced"),
    "thoughts first": (
        f"<think>\n```python\ndef add(a, b):\n    return 0\n```\nNo.\n</think>\n\n```python\n{GOOD}```",
        FREE,
        "fenced",
    ),
    "thoughts of which the template holds the beginning": (f"def add(a, b): wrong\n</think>\n{GOOD}", FREE, "plain"),
    "headings": (f"# Solution\n\n## Code\n{GOOD}\n### Complexity\nTime: O(n)\nSpace: O(1)\n", FREE, "plain"),
    "prose that is Python": (
        f"{GOOD}\nComplexity: O(n)\nresult = total\nsorted(numbers)\nNote: x\n- add\nDone\n",
        FREE,
        "plain",
    ),
    "prose that begins like code": (f"class of problems: adding\n\ndef is the keyword\n\n{GOOD}", FREE, "plain"),
    "quotes in prose": (f'Mind the """ here.\n\n{GOOD}\nThat is all.\n', FREE, "plain"),
    "defined twice": ("def add(a, b):\n    return 0\n\n" + GOOD, FREE, "plain"),
    "input at the top": (
        GOOD + "a = int(input())\nb = int(input('b'))\nwhile a:\n    a -= b\nprint(add(a, b))\n",
        FREE,
        "plain",
    ),
    "lines read at the top": ("import sys\n" + GOOD + "for line in sys.stdin:\n    exit(line)\n", FREE, "plain"),
    "a demonstration in steps": (
        GOOD + "from sys import exit\nresult = add(1, 1)\nshown = f'{result}'\nassert shown == '7'\nif result:\n    exit(3)\n",
        FREE,
        "plain",
    ),
    "tests that it runs": (
        GOOD + "def test_add():\n    assert add(1, 1) == 3\n\ntest_add()\nfor test in [test_add]:\n    test()\n",
        FREE,
        "plain",
    ),
    "a test framework": (
        f"import unittest\n{GOOD}\nclass T(unittest.TestCase):\n    def test(self):\n        assert 0\n\nunittest.main()",
        FREE,
        "plain",
    ),
    "its own import": (GOOD + "\nfrom solution import add\nprint(add(1, 2))\n", FREE, "plain"),
    "tests that import it first": (
        f"from your_module import add\n\n{GOOD}\ndef test_add():\n    assert add(1, 2)\n",
        FREE,
        "plain",
    ),
    "an import that is the answer": ("from operator import add\n\ndef help(a, b):\n    return add(a, b)\n", FREE, "plain"),
    "a main function": (GOOD + "def run():\n    exit(add(1, 1))\nrun()\n", FREE, "plain"),
    "statements on one line": ("import math; print(add(1, 2))\ndef add(a, b):\n    return math.floor(a + b)\n", FREE, "plain"),
    "a table that a loop fills": (
        "T = []\nfor i in range(9):\n    T.append(i)\n[T.append(i) for i in T[:]]\ndef add(a, b):\n    return T[a] + T[b]\n",
        FREE,
        "plain",
    ),
    "a name that the function needs": (
        "n = 7\nm = n - 7\ndef add(a, b):\n    return a + b + m\nn = add(1, m)\nprint(n)\n",
        FREE,
        "plain",
    ),
    "state kept on the function": (
        "def add(a, b):\n    return a + b + add.x[0]\n\nadd.x = [1]\nadd.x[0] = 0\n",
        FREE,
        "plain",
    ),
    "defined under a condition": (
        "try:\n    import nothing\nexcept ImportError:\n    def add(a, b):\n        return a + b\n",
        FREE,
        "plain",
    ),
    "continued": ("\n    return a + b\n", PAPER, "continued"),
    "continued on the line": (" return a + b", PAPER, "continued"),
    "continued, then prose": ("\n    return a + b\n\nThis adds the two numbers.\n", PAPER, "continued"),
    "continued, then a fence": ("\n    return a + b\n```\nDone.", PAPER, "continued"),
    "continued, then more": ("\n    return a + b\n\nprint(add(1, 2))\n", PAPER, "continued"),
    "continued at the edge": ("\nreturn a + b\n", PAPER, "body"),
    "written again under a signature": ("\n" + GOOD, PAPER, "plain"),
    "fenced under a signature": (f"\n```python\n{GOOD}```", PAPER, "fenced"),
    "only the inside": ("return a + b", FREE, "body"),
    "only the inside, fenced": ("```python\n    total = a + b\n    return total\n```", FREE, "body"),
    "the inside, first line moved": ("total = a\n    total += b\n    return total\n", FREE, "body"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_program_is_found(case):
    response, profile, rule = CASES[case]
    found = extract(response, PROBLEM, profile)
    assert works(found.program), found
    assert found.rule == rule


def test_what_is_cut_is_kept():
    found = extract(f"Sure!\n```python\n{GOOD}print(add(1, 2))\n```\nIt adds.", PROBLEM, FREE)
    assert "print" not in found.program
    for cut in ("Sure!", "print(add(1, 2))", "It adds."):
        assert cut in found.removed


@pytest.mark.parametrize("response", ["", "  \n\t\n", "I can't help with that.", "Yes", "42", "```\n```", "\x00", "```python"])
def test_no_code_is_no_program(response):
    assert extract(response, PROBLEM, FREE).program == ""


def test_thoughts_without_an_end_are_no_answer():
    assert extract(f"<think>\nPerhaps:\n```python\n{GOOD}```\nor", PROBLEM, FREE).program == ""


def test_a_demonstration_of_a_class_in_steps_goes_with_its_first():
    body = "class Solution:\n    def add(self, a, b):\n        return a + b\n\n"
    shown = "s = Solution()\ngot = s.add(1, 1)\nassert got == 7\n"
    found = extract(f"```python\n{body}{shown}```", SOLUTION, FREE)
    assert works(found.program, "Solution().add(1, 2)")
    assert found.removed.endswith(shown)


@pytest.mark.parametrize(
    "response",
    [
        "Input:\n```\n5\n```\nCode:\n```python\nprint(int(input()) + 1)\n```",
        "```text\n1 2\n```\n```\nprint(int(input()) + 1)\n```",
        "```python\n    n = int(input())\n    print(n + 1)\n```",
        "Read, then print:\n\nn = int(input())\nprint(n + 1)\n\nTime: O(1)\n",
    ],
    ids=["an example first", "a marked example first", "indented", "amid prose"],
)
def test_the_script_is_found(response):
    said = []
    exec(extract(response, STDIO, FREE).program, {"input": lambda: "1", "print": said.append})
    assert said == [2]


def test_a_syntax_error_stays_the_models_mistake():
    broken = "def add(a, b):\n    return a +\n"
    assert extract(broken, PROBLEM, FREE).program.strip() == broken.strip()
    assert "return a +" in extract(f"```python\n{broken}```", PROBLEM, FREE).program
    assert extract("\n    return a +", PROBLEM, PAPER).program == "def add(a, b):\n    return a +"


def test_the_problems_own_imports_come_before_a_class_that_lacks_them():
    body = "class Solution:\n    def add(self, a: int, b: int) -> List[int]:\n        return a + b\n"
    found = extract(f"```python\n{body}\nprint(Solution().add(1, 2))\n```", SOLUTION, FREE)
    assert works(found.program, "Solution().add(1, 2)")
    assert "print" not in found.program
    assert works(extract("\n        return a + b\n", SOLUTION, PAPER).program, "Solution().add(1, 2)")


def test_future_imports_stay_first():
    future = "from __future__ import annotations\nclass Solution:\n    def add(self, a, b):\n        return a + b\n"
    compile(extract(future, SOLUTION, FREE).program, "p", "exec")


def test_whole_programs_keep_their_main_block():
    program = "import sys\n\ndef main():\n    print(3)\n\nif __name__ == '__main__':\n    main()\n"
    assert extract(f"```python\n{program}```", STDIO, FREE).program == program
    assert extract(f"Read and print:\n\n{program}", STDIO, FREE).program.strip() == program.strip()


HOSTILE = {
    "session": ">>> def add(a, b):\n" * 5_000,
    "thoughts": "<think></think>" * 6_000,
    "deep fences": "".join("`" * (3 + n) + "\n" for n in range(400)),
    "one-line fences": "```python def add(a, b): return a```\n" * 2_500,
    "indented runs": "So\n\n    def add(a, b):\n        return a\n\n" * 2_500,
    "spaces": " " * 99_000 + "def add",
    "names": "def add(a, b):\n    return a + b\n" + "".join(f"x{n} = x{n - 1} + 1\n" for n in range(5_000)),
    "demonstrations": GOOD + "".join(f"def t{n}():\n    add(1, 2)\nt{n}()\n" for n in range(2_500)),
    "parentheses": "def add(a, b):\n    return " + "(" * 60_000,
    "minus signs": "def add(a, b):\n    return " + "-" * 90_000 + "1",
    "sums": "def add(a, b):\n    return " + "1+" * 45_000 + "1",
    "attributes": "def add(a, b):\n    return a" + ".b" * 45_000,
    "indentation": "".join(" " * depth + "if 1:\n" for depth in range(400)),
    "nothing but fences": "```\n" * 30_000,
    "python fences": "```python\nx\n```\n" * 8_000,
    "functions": GOOD * 4_000,
    "broken functions": "def add(a, b:\n" * 8_000,
    "quotes": '"""' * 33_000,
    "nul": "def add(a, b):\n    return a + b\n\x00",
    "surrogates": "def add(a, b):\n    return a + b  # \ud800\udfff\n",
    "megabytes": "x = 1\n" * 1_000_000,
    "one long line": "x" * 3_000_000,
    "carriage returns": "\r" * 100_000,
    "form feeds": "\x0c\n" * 50_000 + GOOD,
    "odd spaces": "\u2028".join([GOOD] * 2_000),
    "decorators": "@a\n" * 30_000,
    "backslashes": "\\\n" * 50_000,
    "lambdas": "add = " + "lambda:" * 10_000 + "1",
    "fstrings": "def add(a, b):\n    return " + "f'{" * 5_000,
}


@pytest.mark.timeout(120)  # milliseconds to two seconds each; a regular expression gone wild takes for ever
@pytest.mark.parametrize("profile", [FREE, FENCE, PAPER], ids=lambda profile: profile.label)
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_text_ends_in_text_that_can_be_written(case, profile):
    found = extract(HOSTILE[case], PROBLEM, profile)
    (found.program + found.removed).encode()


def test_work_grows_in_line_with_length():
    """Four times the text takes about four times the function calls, not sixteen."""
    unit = f"Some words.\n```python\n{GOOD}print(add(1, 2))\n```\ndef broken(:\n"

    def calls(repeats):
        counted = Counter()
        before = sys.getprofile()
        sys.setprofile(lambda frame, event, given: counted.update((event,)))
        try:
            extract(unit * repeats, PROBLEM, FREE)
        finally:
            sys.setprofile(before)
        return counted["call"] + counted["c_call"]

    most = MOST_CHARACTERS // len(unit)
    assert calls(most) < 6 * calls(most // 4)


def test_text_beyond_the_limit_is_kept_as_cut():
    found = extract(GOOD + "\n# " + "x" * (2 * MOST_CHARACTERS), PROBLEM, FREE)
    assert len(found.removed) > MOST_CHARACTERS


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "```python\n",
                "```\n",
                GOOD,
                "def add(a, b):\n",
                "    return 1\n",
                "words\n",
                "\x00",
                "\ud8ff",
                "x = (\n",
                "'''",
                "    ",
                "class Solution:\n",
                "é\n",
            ]
        ),
        max_size=12,
    ).map("".join)
)
@pytest.mark.parametrize("profile", [FREE, FENCE, PAPER], ids=lambda profile: profile.label)
def test_any_text_gives_text(profile, response):
    found = extract(response, PROBLEM, profile)
    (found.program + found.removed).encode()
    assert bool(found.program.strip()) == (found.rule not in ("none", "empty"))


def test_recorded_programs_come_back_whole(shared):
    """Real programs of real models: extraction keeps a definition of the entry point wherever the model wrote one."""
    with gzip.open(shared / "mbpp/mbpp.jsonl.gz", "rt") as file:
        asserts = {row["task_id"]: row["test_list"][0] for row in map(json.loads, file)}
    with gzip.open(shared / "recorded/recorded_responses.jsonl.gz", "rt") as file:
        rows = [row for row in map(json.loads, file) if row["set"] == "mbpp"][::5]
    kept = 0
    for row in rows:
        number = int(str(row["task_id"]).split("/")[-1])
        name = next((word for word in asserts[number].replace("(", " ").split() if f"def {word}(" in row["code"]), "")
        if name:
            problem = Problem(task_id=f"MBPP/{number}", text="t", entry_point=name, tests=TESTS)
            assert f"def {name}(" in extract(row["code"], problem, FREE).program
            kept += 1
    assert kept > 200
