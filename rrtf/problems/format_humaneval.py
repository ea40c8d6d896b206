"""HumanEval, HumanEval+ (OriginFmt) and MultiPL-E rows: a prompt to continue and a `check(candidate)`."""

import ast
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rrtf.problems.rows import header, text, text_or_empty, top_level
from rrtf.records import Problem, TestKind, Tests
from rrtf.syntax import tree_of

_LOOSE = "assert np.allclose(out, exp, rtol=1e-07, atol=atol)"
_STRICT = (
    "assert type(out) is type(exp) and (not isinstance(exp, (list, tuple)) or len(out) == len(exp))"
    " and np.allclose(out, exp, rtol=1e-07, atol=atol)"
)
# of three MBPP+ tasks: the comparison is computed and nothing asserts it
_UNASSERTED = "        exact_match = exp == (out is not None)\n\n"
_ASSERTED = _UNASSERTED.rstrip("\n") + "\n    assert exact_match\n\n"


class Parts(NamedTuple):
    """A prompt taken apart: what stands before the function, its `def` line, and its docstring."""

    before: str
    signature: str
    docstring: str


def humaneval(row: Mapping[str, Any]) -> Problem:
    """`task_id, prompt, entry_point, canonical_solution, test` (openai/human-eval; evalplus OriginFmt)."""
    prompt, entry_point = text(row, "prompt"), text(row, "entry_point")
    solution = text_or_empty(row, "canonical_solution")
    parts = take_apart(prompt, entry_point)
    return Problem(
        task_id=text(row, "task_id"),
        text=parts.docstring or prompt,
        entry_point=entry_point,
        signature=parts.signature,
        prompt=prompt,
        reference=prompt + solution if solution else "",
        # helpers in the prompt are used by tests too (HumanEval/38 calls encode_cyclic)
        tests=Tests(kind=TestKind.check, setup=parts.before, code=check_code(row)),
    )


def multipl_e(row: Mapping[str, Any]) -> Problem:
    """`name, prompt, entry_point, test` of MultiPL-E's Python sets; the test's own last call of `check` is dropped."""
    prompt, entry_point = text(row, "prompt"), text(row, "entry_point")
    parts = take_apart(prompt, entry_point)
    code = re.split(r"^def test_check\(", check_code(row), maxsplit=1, flags=re.MULTILINE)[0]
    return Problem(
        task_id=text(row, "name"),
        text=parts.docstring or prompt,
        entry_point=entry_point,
        signature=parts.signature,
        prompt=prompt,
        tests=Tests(kind=TestKind.check, setup=parts.before, code=code),
    )


def check_code(row: Mapping[str, Any]) -> str:
    """The row's test code, which must define `check(candidate)`."""
    code = text(row, "test")
    if not re.search(r"^def check\(", code, flags=re.MULTILINE):
        raise ValueError("test does not define check(candidate): the problem has no tests")
    return strict(code)


def strict(code: str) -> str:
    """EvalPlus's OriginFmt accepts `[]` for any float, because `allclose` of nothing is true, and anything for three tasks.

    EvalPlus's own evaluator (0.3.1) asks for the same type and length first, and whether something was found; so does this.
    """
    return code.replace(_LOOSE, _STRICT).replace(_UNASSERTED, _ASSERTED)


def take_apart(prompt: str, entry_point: str) -> Parts:
    """Split a prompt around its entry point. A prompt that is no Python, or lacks it, gives empty parts."""
    try:
        module = tree_of(prompt, "prompt")
    except ValueError:
        return Parts("", "", "")
    node = top_level(module, entry_point)
    if not isinstance(node, ast.FunctionDef):
        return Parts("", "", "")
    before = "\n".join(prompt.split("\n")[: node.lineno - 1]).strip("\n")
    return Parts(before + "\n" if before else "", header(prompt, node), (ast.get_docstring(node) or "").strip())
