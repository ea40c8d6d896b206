"""LeetCodeDataset rows (its v0.2 and v0.3 fields): a class Solution and `check(candidate)`."""

import re
from collections.abc import Mapping
from typing import Any

from rrtf.problems.format_humaneval import check_code
from rrtf.problems.rows import text, text_or_empty, texts
from rrtf.records import Problem, TestKind, Tests


def leetcode(row: Mapping[str, Any]) -> Problem:
    """`task_id, prompt` (imports and node classes), `completion, entry_point, test`, and either `meta` or the v0.3 fields."""
    meta = row.get("meta") or {}
    if not isinstance(meta, Mapping):
        raise ValueError(f"meta must be an object, not {meta!r:.80}")
    imports, completion = text(row, "prompt"), text_or_empty(row, "completion")
    starter = text_or_empty(row, "starter_code") or text_or_empty(meta, "lang_code")
    return Problem(
        task_id=text(row, "task_id"),
        text=text_or_empty(row, "problem_description") or _question(text_or_empty(row, "query")),
        entry_point=text(row, "entry_point"),
        signature=starter.strip("\n"),
        prompt=f"{imports}\n\n{starter}",
        reference=f"{imports}\n\n{completion}" if completion else "",
        tests=Tests(kind=TestKind.check, setup=imports, code=check_code(row)),
        topic=", ".join(texts(row, "tags") or texts(meta, "tags")),
        difficulty=text_or_empty(row, "difficulty") or text_or_empty(meta, "difficulty"),
    )


def _question(query: str) -> str:
    """v0.2 has the wording only inside its own chat prompt."""
    return re.split(r"^Please complete the following python code", query, maxsplit=1, flags=re.MULTILINE)[0].strip()
