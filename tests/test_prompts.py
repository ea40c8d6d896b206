"""Profiles: what a model is shown for problems of every format, and the way back from a program to an answer."""

import ast
import subprocess
import sys

import pytest

from rrtf.prompts import Message, Opening, Profile, Style, completion, extract, render, stops
from rrtf.records import Problem, StdioPair, TestKind, Tests

ASSERTS = Tests(kind=TestKind.asserts, asserts=("assert add(1, 2) == 3", "assert add(0, 0) == 0"))
BUILTIN = Problem(
    task_id="builtin/add",
    text="Add two numbers.\n\nBoth may be negative.",
    entry_point="add",
    signature="def add(a: int, b: int) -> int:",
    reference='def add(a: int, b: int) -> int:\n    """Add two numbers."""\n    return a + b\n',
    tests=ASSERTS,
)
HUMANEVAL = Problem(
    task_id="HumanEval/900",
    text="Mean of a list.",
    entry_point="mean",
    signature="def mean(values: List[float]) -> float:",
    prompt='from typing import List\n\n\ndef mean(values: List[float]) -> float:\n    """ Mean of a list. """\n',
    reference="",
    tests=Tests(kind=TestKind.check, code="def check(candidate):\n    assert candidate([1.0]) == 1.0"),
)
MBPP = Problem(
    task_id="MBPP/901",
    text="Write a function to add.",
    entry_point="add",
    signature="def add(a,b):",
    reference="def add(a,b):\n    return a+b",
    tests=ASSERTS,
)
LEETCODE = Problem(
    task_id="sum-two",
    text="Return the sum.",
    entry_point="Solution().sumTwo",
    signature="class Solution:\n    def sumTwo(self, a: int, b: int) -> int:\n        ",
    prompt="from typing import *\nimport math\n\n\nclass Solution:\n    def sumTwo(self, a: int, b: int) -> int:\n        ",
    tests=Tests(kind=TestKind.check, code="def check(candidate):\n    assert candidate(a=1, b=2) == 3"),
)
CODEREVAL = Problem(
    task_id="CoderEval/9",
    text="Reverse a string.",
    entry_point="turn",
    signature="def turn(text):",
    prompt="def turn(text):\n    '''Reverse a string.'''\n",
    tests=Tests(kind=TestKind.program, code="def turn(text):\n    pass\nassert turn('ab') == 'ba'"),
)
STDIO = Problem(
    task_id="apps/1",
    text="Print the sum of two numbers.",
    tests=Tests(kind=TestKind.stdio, pairs=(StdioPair(input="1 2", output="3"),)),
)
ALL = [BUILTIN, HUMANEVAL, MBPP, LEETCODE, CODEREVAL, STDIO]
SOLUTIONS = {
    "builtin/add": "def add(a: int, b: int) -> int:\n    return a + b\n",
    "HumanEval/900": "def mean(values):\n    return sum(values) / len(values)\n",
    "MBPP/901": "def add(a, b):\n    return a + b\n",
    "sum-two": "class Solution:\n    def sumTwo(self, a, b):\n        return a + b\n",
    "CoderEval/9": "def turn(text):\n    return text[::-1]\n",
    "apps/1": "a, b = map(int, input().split())\nprint(a + b)\n",
}
PROFILES = [Profile(style=style) for style in Style] + [
    Profile(style=Style.paper, line_breaks=False),
    Profile(opening=Opening.nothing),
    Profile(opening=Opening.signature),
    Profile(system="Be brief."),
]


def name(value):
    return value.task_id if isinstance(value, Problem) else value.label


@pytest.mark.parametrize("problem", ALL, ids=name)
@pytest.mark.parametrize("profile", PROFILES, ids=name)
def test_every_profile_says_what_is_asked(problem, profile):
    prompt = render(problem, profile)
    shown = prompt.text + "".join(message.content for message in prompt.messages)
    assert problem.text.split("\n")[0] in shown
    assert bool(prompt.messages) == (profile.style in (Style.chat, Style.verbatim))
    if profile.style is Style.verbatim:  # what it shows is the writer's own business
        return
    if problem.entry_point:
        assert problem.entry_point.split(".")[-1] in shown
    if problem.signature and problem is not MBPP:
        assert problem.signature.strip() in shown
    assert all(stops(problem, profile)) or not stops(problem, profile)


@pytest.mark.parametrize("problem", ALL, ids=name)
@pytest.mark.parametrize("profile", PROFILES, ids=name)
def test_an_answer_written_for_a_program_gives_that_program_back(problem, profile):
    """completion and extract are inverse, up to what the prompt itself gives."""
    answer = completion(SOLUTIONS[problem.task_id], problem, profile)
    assert answer
    for end in stops(problem, profile):
        answer = answer.split(end)[0]
    program = extract(answer, problem, profile).program
    namespace = {}
    if problem is STDIO:
        assert program.strip() == SOLUTIONS["apps/1"].strip()
        return
    exec(program, namespace)
    result = eval(problem.entry_point, namespace)(
        *{"HumanEval/900": ([1.0, 2.0],), "CoderEval/9": ("ab",)}.get(problem.task_id, (1, 2))
    )
    assert result == {"HumanEval/900": 1.5, "CoderEval/9": "ba"}.get(problem.task_id, 3)


def test_the_papers_prompt_is_docstring_in_quotes_then_signature():
    """Section 4.1.5; the line breaks that its text lost are a setting."""
    assert render(BUILTIN, Profile(style=Style.paper)).text == f'"""\n{BUILTIN.text}\n"""\n{BUILTIN.signature}'
    inline = render(BUILTIN, Profile(style=Style.paper, line_breaks=False))
    assert inline.text == f'"""{BUILTIN.text}"""\n{BUILTIN.signature}'
    assert render(LEETCODE, Profile(style=Style.paper)).text.endswith("-> int:")
    assert "import math" in render(LEETCODE, Profile(style=Style.paper)).text


def test_starcoders_prompt_is_signature_then_docstring():
    text = render(BUILTIN, Profile(style=Style.starcoder)).text
    assert text.startswith(f'{BUILTIN.signature}\n    """Add two numbers.')
    assert ast.get_docstring(ast.parse(text).body[0]) == BUILTIN.text
    assert render(HUMANEVAL, Profile(style=Style.starcoder)).text == HUMANEVAL.prompt


def test_wizardcoders_prompt_is_an_instruction_with_the_code():
    text = render(BUILTIN, Profile(style=Style.wizardcoder)).text
    assert text.startswith("Below is an instruction that describes a task")
    assert text.endswith("### Response:")
    assert BUILTIN.signature in text


def test_mbpp_shows_its_first_test_and_not_the_signature():
    for profile in (profile for profile in PROFILES if profile.style is not Style.verbatim):
        prompt = render(MBPP, profile)
        shown = prompt.text + "".join(message.content for message in prompt.messages)
        assert "assert add(1, 2) == 3" in shown
        assert "def add(a,b)" not in shown
    assert render(MBPP, Profile(style=Style.plain)).text == '"""\nWrite a function to add.\nassert add(1, 2) == 3\n"""\n'


def test_few_shot_shows_solved_examples_first():
    text = render(MBPP, Profile(style=Style.plain), examples=[MBPP, MBPP]).text
    assert text.count("[BEGIN]") == 3
    assert text.count("[DONE]") == 2
    assert text.count("assert add(0, 0) == 0") == 3
    assert text.endswith("[BEGIN]\n")
    assert "[DONE]" in stops(MBPP, Profile(style=Style.plain))


def test_wording_with_quotes_and_backslashes_stays_inside_the_docstring():
    for text in ('Say """hello""".', 'It ends with "', "It ends with \\", "\\N{no such name}"):
        problem = Problem(task_id="q", text=text, entry_point="f", signature="def f():", tests=ASSERTS)
        for style in (Style.paper, Style.starcoder):
            code = render(problem, Profile(style=style)).text + ("\n    pass" if style is Style.paper else "    pass\n")
            assert isinstance(ast.parse(code).body[-1], ast.FunctionDef)


def test_chat_openings():
    assert render(BUILTIN, Profile()).prefill == "```python\n"
    assert render(BUILTIN, Profile(opening=Opening.nothing)).prefill == ""
    assert render(HUMANEVAL, Profile(opening=Opening.signature)).prefill == "```python\n" + HUMANEVAL.prompt
    assert render(BUILTIN, Profile(system="Be brief.")).messages[0] == Message("system", "Be brief.")


def test_labels_tell_profiles_apart():
    labels = [profile.label for profile in PROFILES]
    assert len(set(labels)) == len(labels)


def test_a_foreign_program_moves_under_the_given_signature():
    program = "import math\n\nHALF = 0.5\n\ndef mean(values):\n    # as usual\n    return math.fsum(values) / len(values)\n"
    for style in (Style.paper, Style.starcoder):
        profile = Profile(style=style)
        answer = completion(program, HUMANEVAL, profile)
        assert "def mean" not in answer
        assert "# as usual" in answer
        namespace = {}
        exec(render(HUMANEVAL, profile).text + answer, namespace)
        assert namespace["mean"]([1.0, 3.0]) == 2.0


@pytest.mark.parametrize(
    "program",
    ["def mean(other, names):\n    return 0\n", "def other():\n    pass\n", "def mean(values:\n", "", "-" * 50_000 + "1"],
    ids=["other arguments", "other function", "broken", "empty", "deep"],
)
def test_programs_that_no_answer_gives_have_no_completion(program):
    assert completion(program, HUMANEVAL, Profile(style=Style.paper)) == ""


def test_a_broken_answer_under_the_signature_is_kept_as_written():
    given = "def add(a: int, b: int) -> int:"
    broken = f"{given}\n    return a +"
    assert completion(broken, BUILTIN, Profile(style=Style.paper)) == "\n    return a +"


def test_prompts_start_without_torch():
    code = "import sys, rrtf.prompts; assert not {'torch', 'transformers', 'lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
