"""Rows whose tests are `test_*` functions or unittest classes (KodCode, BigCodeBench and hand-written ones)."""

import ast
import builtins
import re
from collections.abc import Mapping
from typing import Any

from rrtf.problems.rows import header, names_called, text, text_or_empty, top_level
from rrtf.records import Problem, TestKind, Tests
from rrtf.syntax import tree_of


def pytest_style(row: Mapping[str, Any]) -> Problem:
    """`task_id` (or `question_id`), wording, `test`, a solution if any, and `entry_point` unless tests import it."""
    code = text(row, "test")
    module = tree_of(code, "test")
    if not any(_is_test(node) for node in module.body):
        raise ValueError("test holds neither test_* functions nor a TestCase class: the problem has no tests")
    prompt = text_or_empty(row, "complete_prompt", "prompt")
    solution = text_or_empty(row, "reference", "solution", "canonical_solution")
    reference = text_or_empty(row, "code_prompt") + solution
    entry_point = text_or_empty(row, "entry_point") or _entry_point(module, code, reference)
    node = top_level(tree_of(reference, "the solution"), entry_point)
    return Problem(
        task_id=text_or_empty(row, "task_id", "question_id") or text(row, "task_id"),
        text=text_or_empty(row, "text", "question", "instruct_prompt") or prompt,
        entry_point=entry_point,
        signature=header(reference, node) if node else "",
        prompt=prompt,
        reference=reference,
        tests=Tests(kind=TestKind.pytest, code=code),
        difficulty=text_or_empty(row, "difficulty", "gpt_difficulty"),
    )


def _is_test(node: ast.stmt) -> bool:
    if isinstance(node, ast.ClassDef):
        return node.name.startswith("Test") or any(ast.unparse(base).endswith("TestCase") for base in node.bases)
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")


def _entry_point(module: ast.Module, code: str, reference: str) -> str:
    """What the tests import from `solution`, else the first name they call that the reference defines."""
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and node.module in ("solution", "main") and node.names[0].name != "*":
            return node.names[0].name
    defined = tree_of(reference, "the solution")
    for name in [*names_called(code), *re.findall(r"\.(\w+)\(", code)]:
        if not hasattr(builtins, name) and top_level(defined, name):
            return name
    raise ValueError("no field 'entry_point', and the tests don't tell it")
