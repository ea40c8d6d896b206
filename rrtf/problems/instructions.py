"""Rows of a task and an answer (Alpaca's instruction, input, output and their like) as problems without tests."""

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rrtf.problems.tree import parse
from rrtf.records import Problem, TestKind, Tests
from rrtf.store import digest

_TEXT_KEYS = ("instruction", "prompt", "question", "problem")
_ANSWER_KEYS = ("output", "response", "completion", "answer", "solution")


def is_instruction(row: Mapping[str, Any]) -> bool:
    """Whether a row names a task and an answer."""
    return any(key in row for key in _TEXT_KEYS) and any(key in row for key in _ANSWER_KEYS)


def instruction(row: Mapping[str, Any]) -> Problem:
    """One row as a Problem, named by its words where the row has no id.

    Raises ValueError where the instruction is missing, or anything that should be text is none.
    """
    text = _first(row, _TEXT_KEYS)
    if not text.strip():
        raise ValueError(f"no instruction (looked for {', '.join(_TEXT_KEYS)}; the row has {', '.join(map(str, row))})")
    given = row.get("input") or ""
    if not isinstance(given, str):
        raise ValueError(f"input must be text, not {given!r:.60}")
    named = digest([text, given] if given else text)[:12]  # "Fix the bug." is one task for each input
    code = code_of(_first(row, _ANSWER_KEYS))
    tree = parse(code)
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []
    return Problem(
        task_id=str(row.get("task_id") or f"instruction/{named}"),
        text=f"{text.strip()}\n{given.strip()}".strip(),
        entry_point=defined[-1] if defined else "",
        reference=code,
        tests=Tests(kind=TestKind.asserts),
    )


def code_of(answer: str) -> str:
    """The code of an answer: its fenced blocks, else all of it (the clean stage says where that is no Python)."""
    blocks = re.findall(r"```[\w+#-]*[ \t]*\n(.*?)(?:```|\Z)", answer, flags=re.DOTALL)
    return "\n\n".join(block.strip("\n") for block in blocks if parse(block)) or (blocks[0] if blocks else answer)


def _first(row: Mapping[str, Any], keys: Iterable[str]) -> str:
    for key in keys:
        value = row.get(key)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{key} must be text, not {value!r:.60}")
        if value:
            return value
    return ""
