"""Extraction of real programs from the forms that models and their servers wrap them in: nothing is lost."""

import ast
import gzip
import html
import json
import re
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.extraction import MOST_WRAPPED, extract
from rrtf.prompts import Opening, Profile, Style
from rrtf.records import Problem, TestKind, Tests

TESTS = Tests(kind=TestKind.asserts, asserts=("assert add(1, 2) == 3",))
PROBLEM = Problem(task_id="p/1", text="Add.", entry_point="add", signature="def add(a, b):", tests=TESTS)
STDIO = Problem(task_id="s/1", text="Print.", tests=Tests(kind=TestKind.stdio))
FREE, FENCE, PAPER = Profile(opening=Opening.nothing), Profile(), Profile(style=Style.paper)
STARCODER = Profile(style=Style.starcoder)
WRONG = "def {name}(*given):\n    return [given, 'wrong']\n"


def lines(form, start=0):
    return lambda code, name: "\n".join(form(number, line) for number, line in enumerate(code.split("\n"), start))


def fenced(code, language="python"):
    return f"```{language}\n{code}\n```\n"


def own_docstring(code, inside):
    """The code with another docstring in its last function, indented as the function is."""
    place = list(re.finditer(r"^def .*:[ ]*\n(?=([ \t]+))", code, re.MULTILINE))
    if not place:
        return code
    text = textwrap.indent(f'"""Does it.\n\n{inside}\n"""\n', place[-1][1])
    return code[: place[-1].end()] + text + code[place[-1].end() :]


FORMS = {
    "an attempt, then the corrected one": lambda code, name: (
        f"{fenced(WRONG.format(name=name))}Wait, that is wrong.\n\n### Corrected\n{fenced(code)}"
    ),
    "an attempt, then the final": lambda code, name: f"{fenced(WRONG.format(name=name))}**Final Answer**\n{fenced(code)}",
    "a sketch that runs first": lambda code, name: f"A sketch:\n{fenced(WRONG.format(name=name))}In Python:\n{fenced(code)}",
    "an alternative behind it": lambda code, name: f"{fenced(code)}Or, shorter:\n{fenced(WRONG.format(name=name))}",
    "thoughts in tags a prompt asked for": lambda code, name: (
        f"<reasoning>\n{fenced(WRONG.format(name=name))}</reasoning>\n<answer>\n{fenced(code)}</answer>"
    ),
    "thoughts behind the answer": lambda code, name: f"{fenced(code)}\n<reflection>\n{WRONG.format(name=name)}\n</reflection>",
    "thoughts in channels": lambda code, name: (
        f"<|channel|>analysis<|message|>{fenced(WRONG.format(name=name))}<|end|><|start|>assistant<|channel|>final<|message|>"
        f"{fenced(code)}<|return|>"
    ),
    "an end token behind it": lambda code, name: f"{code}<|endoftext|>",
    "another end token behind it": lambda code, name: f"{code}</s>",
    "the next turn behind it": lambda code, name: f"{code}<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nThanks",
    "an instruction before it": lambda code, name: f"<s>[INST] Do it [/INST]{code}</s>",
    "a quotation": lambda code, name: textwrap.indent(fenced(code), "> ", lambda line: True),
    "numbers with dots": lines(lambda number, line: f"{number}. {line}", 1),
    "numbers in a column": lambda code, name: fenced(lines(lambda number, line: f"{number:4d}  {line}")(code, name)),
    "numbers and bars": lambda code, name: fenced(lines(lambda number, line: f"{number:3d} | {line}")(code, name)),
    "numbers and tabs": lambda code, name: fenced(lines(lambda number, line: f"{number}\t{line}")(code, name)),
    "a patch": lambda code, name: fenced(
        "--- a/a.py\n+++ b/a.py\n@@ -1 +1,9 @@\n-pass\n" + lines(lambda _, line: "+" + line)(code, name), "diff"
    ),
    "a session of IPython": lines(lambda number, line: ("   ...: " if number else "In [1]: ") + line),
    "tags on its lines": lambda code, name: f'<pre><code class="language-python">{code}</code></pre>',
    "escaped markup": lambda code, name: f"<pre><code>{html.escape(code)}</code></pre>",
    "character data": lambda code, name: f"<solution><![CDATA[\n{code}\n]]></solution>",
    "an object": lambda code, name: json.dumps({"explanation": "It adds.\nSo.", "code": code}),
    "an object, torn": lambda code, name: json.dumps({"code": code + "\n"})[:-2],
    "an object in a fence": lambda code, name: fenced(json.dumps({"code": code}, indent=2), "json"),
    "a fence in an object": lambda code, name: json.dumps([{"answer": f"So:\n{fenced(code)}"}]),
    "escaped line ends": lambda code, name: json.dumps(code)[1:-1],
    "spaces that do not break": lambda code, name: fenced(re.sub(r"(?m)^ +", lambda at: "\xa0" * len(at[0]), code)),
    "characters without width": lambda code, name: fenced(f"\u200b{code}\u200b"),
    "words on its first line": lambda code, name: f"Sure! {code}" if code.startswith(f"def {name}(") else code,
    "a fence of quotes": lambda code, name: f"'''python\n{code}\n'''",
    "a fence in its docstring": lambda code, name: fenced(own_docstring(code, f"```\n>>> {name}(1)\n```")),
    "a file's name on its fence": lambda code, name: fenced(code, "python:solution.py"),
    "attributes on its fence": lambda code, name: fenced(code, "{.python .numberLines}"),
    "a shell that writes it": lambda code, name: f"```bash\ncat > a.py << 'EOF'\n{code}\nEOF\npython a.py\n```",
}
FORMS["typographic quotes"] = lambda code, name: (
    fenced(code.replace('"', "\u201d").replace("'", "\u2019")) if "\\" not in code and '"""' not in code else code
)


def defined(program):
    """What a program's functions and classes do, without docstrings: name -> tree."""
    found = {}
    for node in ast.parse(program).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            for inner in ast.walk(node):
                if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
                    inner.body = [
                        one for one in inner.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))
                    ]
            found[node.name] = ast.dump(node)
    return found


@pytest.fixture(scope="module")
def recorded(shared):
    """(name of the function, program) of some right programs of several models."""
    with gzip.open(shared / "mbpp/mbpp.jsonl.gz", "rt") as file:
        asserts = {row["task_id"]: row["test_list"][0] for row in map(json.loads, file)}
    with gzip.open(shared / "recorded/recorded_responses.jsonl.gz", "rt") as file:
        rows = [row for row in map(json.loads, file) if row["set"] == "mbpp" and row["claimed_pass"]][::29]
    programs = []
    for row in rows:
        words = asserts[int(str(row["task_id"]).split("/")[-1])].replace("(", " ").split()
        programs += [(word, row["code"].strip("\n")) for word in words if f"\ndef {word}(" in "\n" + row["code"]][:1]
    return programs


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("profile", [FREE, FENCE], ids=lambda profile: profile.label)
def test_real_programs_come_out_of_every_form(recorded, form, profile):
    assert len(recorded) > 12
    for name, code in recorded:
        problem = Problem(task_id="p/1", text="t", entry_point=name, tests=TESTS)
        found = extract(FORMS[form](code, name), problem, profile)
        if form == "typographic quotes":
            assert f"def {name}(" in found.program and ast.parse(found.program)
        else:
            assert defined(found.program) == defined(code), found


BODY = "c = a + b\nif c > 30:\n    c = c\nreturn c"
BODIES = {
    "at the edge": BODY,
    "first line moved": BODY.replace("\n", "\n    "),
    "two columns in": textwrap.indent(BODY.replace("    ", "  "), "  "),
    "eight columns in": textwrap.indent(BODY, "        "),
    "three columns in": textwrap.indent(BODY, "   "),
    "one space before the first": " " + BODY.replace("\n", "\n    "),
    "tabs": textwrap.indent(BODY.replace("    ", "\t"), "\t"),
    "then words": textwrap.indent(BODY, "    ") + "\n\nIt adds.\n",
    "then its helper": "    return help(a, b)\n\n\ndef help(a, b):\n    return a + b\n",
    "then an example": textwrap.indent(BODY, "    ") + "\n\nprint(add(1, 2))\n",
    "in a fence": fenced(textwrap.indent(BODY, "    ")),
    "in a fence, at the edge": fenced(BODY),
    "in a fence behind words": f"Here is:\n{fenced(textwrap.indent(BODY, '    '))}So.",
}


@pytest.mark.parametrize("profile", [FREE, FENCE, PAPER, STARCODER], ids=lambda profile: profile.label)
@pytest.mark.parametrize("case", BODIES)
def test_the_inside_of_the_function_is_found_however_it_is_indented(case, profile):
    found = extract(BODIES[case], PROBLEM, profile)
    names = {}
    exec(found.program, names)
    assert names["add"](1, 2) == 3, found
    assert "print" not in found.program and "It adds" not in found.program
    if "words" in case:
        assert found.removed.strip()


def test_a_function_of_another_name_is_not_made_the_inside_of_the_right_one():
    found = extract("```python\ndef plus(a, b):\n    return a + b\n```", PROBLEM, FREE)
    assert found.program == "def plus(a, b):\n    return a + b\n"


def test_a_script_comes_out_of_an_object():
    script = "n = int(input())\nprint(n + 1)\n"
    assert extract(json.dumps({"code": script}), STDIO, FREE).program.strip() == script.strip()


def test_a_program_that_reads_marks_of_thought_is_no_thought():
    code = "def add(a, b):\n    return a.split('</think>')[-1].removeprefix('<think>') + b\n"
    assert extract(f"```python\n{code}```", PROBLEM, FREE).program == code


def test_forms_are_not_taken_off_programs_that_can_be_read():
    code = 'def add(a, b):\n    """\n    >>> add(1, 2)\n    3\n    """\n    return f"<s>{a}\u201c&lt;</s>" + b\n'
    assert extract(fenced(code), PROBLEM, FREE).program.strip() == code.strip()


HOSTILE = {
    name: unit * (MOST_WRAPPED // len(unit))
    for name, unit in {
        "quotes": '"',
        "backslashes": "\\",
        "escaped quotes": '\\"',
        "brackets": "[(",
        "open tags": "<code",
        "tokens": "<|a",
        "thoughts": "<thinking>\n",
        "reasoning": "<reasoning></reasoning",
        "numbers": "1 ",
        "numbered lines": "1\n",
        "plus signs": "+\n",
        "angles": "> \n",
        "colons": ": ",
        "words and colons": "a: `",
        "entities": "&lt",
        "sessions": "In [1",
        "dots": "...:",
        "spaces and a word": " " * 999 + "x",
        "objects": '{"a": "',
        "texts": '"\n',
        "fences in docstrings": '```python\n"""\n ```\n',
    }.items()
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("profile", [FREE, PAPER], ids=lambda profile: profile.label)
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_text_ends(case, profile):
    for end in ("", "def add(a, b:\n    return"):
        found = extract(HOSTILE[case][: MOST_WRAPPED - len(end)] + end, PROBLEM, profile)
        (found.program + found.removed).encode()


LINES = """```python
```
def add(a, b):
    return a + b
words
    return a
print(add(1, 2))
x = 1
def other():
    pass
import os
if x:
c = add(1, 2)
return a
# note
<think>
</think>
"""


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.sampled_from(LINES.splitlines(keepends=True)), max_size=10))
@pytest.mark.parametrize("profile", [FREE, FENCE, PAPER, STARCODER], ids=lambda profile: profile.label)
def test_every_line_is_in_the_program_or_kept_as_cut(profile, parts):
    response = "".join(parts)
    found = extract(response, PROBLEM, profile)
    for line in response.split("\n"):
        assert line.strip() in found.program + found.removed or line.startswith("```"), (line, found)
