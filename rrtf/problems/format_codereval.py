"""CoderEval's Python tasks: a validation program in which one function is replaced by the candidate's."""

import re
from collections.abc import Mapping
from typing import Any

from rrtf.problems.rows import text, text_or_empty
from rrtf.records import Problem, TestKind, Tests


def codereval(row: Mapping[str, Any]) -> Problem:
    """`_id, name, level, prompt, human_label, docstring, ground_truth, validate_source`.

    The level is kept as difficulty, the project as topic; split is "bare" for tasks whose validation needs only a bare
    Python, "image" for those that need the authors' container.
    """
    name, program = text(row, "name"), text(row, "validate_source")
    bare = bool(row.get("runs_bare_py311", True))
    # three tasks of the authors' image import the function, or spell it with two underscores
    if bare and not re.search(rf"^\s*(async\s+)?def {re.escape(name)}\b", program, flags=re.MULTILINE):
        raise ValueError(f"validate_source does not define {name!r}: the problem has no tests")
    return Problem(
        task_id=f"CoderEval/{text(row, '_id')}",
        text=text_or_empty(row, "human_label") or text_or_empty(row, "docstring"),
        entry_point=name,
        signature=f"def {text_or_empty(row, 'signature') or name + '()'}:",
        prompt=text(row, "prompt"),
        reference=text_or_empty(row, "ground_truth"),
        tests=Tests(kind=TestKind.program, code=program),
        topic=text_or_empty(row, "project"),
        difficulty=text_or_empty(row, "level"),
        split="bare" if bare else "image",
    )
