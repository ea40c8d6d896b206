"""APPS-style rows (also TACO): whole programs judged by what they print, or a function judged by what it returns."""

import json
from collections.abc import Mapping
from typing import Any

from rrtf.problems.rows import text, text_or_empty
from rrtf.records import Problem, StdioPair, TestKind, Tests
from rrtf.store import digest

# What stands before a function that is answered, as LeetCode has it: starter code says List[int] and imports nothing, and the
# runners of APPS and LiveCodeBench put such a list before every answer. Ours names what would otherwise hide a builtin.
GIVEN = """
import bisect, collections, copy, functools, heapq, itertools, math, operator, random, re, string, sys
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import ceil, comb, factorial, floor, gcd, inf, isqrt, log, log2, pi, sqrt
from typing import *
""".lstrip()

# APPS writes a returned value as itself or as a list of one, and can't tell tuples from lists
_CALLS = """
import json

CASES = json.loads({cases!r})


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return {{str(key): plain(item) for key, item in value.items()}} if isinstance(value, dict) else value


def check(candidate):
    for arguments, expected in CASES:
        output = plain(candidate(*arguments))
        assert output == expected or [output] == expected
"""


def apps(row: Mapping[str, Any]) -> Problem:
    """`problem_id, question, input_output` {inputs, outputs, fn_name?}, `solutions, difficulty, starter_code, checker`."""
    data = _json(row, "input_output")
    if not isinstance(data, dict) or not data.get("inputs"):
        raise ValueError("input_output has no inputs: the problem has no tests")
    inputs, outputs = data["inputs"], data.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise ValueError("input_output: inputs and outputs must be lists of one length")
    starter, name = text_or_empty(row, "starter_code"), data.get("fn_name") or ""
    given = f"{GIVEN}\n\n" if name and starter.strip() else ""
    solution = _first_solution(row)
    return Problem(
        task_id=_task_id(row),
        text=text(row, "question"),
        entry_point=f"Solution().{name}" if name and "class Solution" in starter else name,
        signature=starter.strip("\n"),
        prompt=given + starter,
        reference=given + solution if solution else "",
        tests=_calls(inputs, outputs) if name else _stdio(inputs, outputs, text_or_empty(row, "checker")),
        difficulty=text_or_empty(row, "difficulty"),
    )


def _calls(inputs: list[Any], outputs: list[Any]) -> Tests:
    if not all(isinstance(arguments, list) for arguments in inputs):
        raise ValueError("input_output: with fn_name each of inputs must be a list of arguments")
    cases = json.dumps(list(zip(inputs, outputs, strict=True)))
    return Tests(kind=TestKind.check, code=_CALLS.format(cases=cases))


def _stdio(inputs: list[Any], outputs: list[Any], checker: str) -> Tests:
    pairs = zip(inputs, outputs, strict=True)
    return Tests(
        kind=TestKind.stdio,
        pairs=tuple(StdioPair(input=_lines(read), output=_lines(printed)) for read, printed in pairs),
        checker=checker,
    )


def _lines(value: Any) -> str:
    """APPS writes a text or a list of lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    if not isinstance(value, str):
        raise ValueError(f"input_output: expected text or a list of lines, not {value!r:.80}")
    return value


def _json(row: Mapping[str, Any], key: str) -> Any:
    """A field that APPS stores as JSON inside JSON, or that was already decoded."""
    value = row.get(key)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{key} is not JSON: {error}") from None


def _first_solution(row: Mapping[str, Any]) -> str:
    solutions = _json(row, "solutions")
    return solutions[0] if isinstance(solutions, list) and solutions and isinstance(solutions[0], str) else ""


def _task_id(row: Mapping[str, Any]) -> str:
    """TACO names no task, so its words do."""
    for key in ("task_id", "problem_id", "id"):
        if isinstance(row.get(key), (str, int)):
            return str(row[key])
    return f"apps/{digest(text(row, 'question'))[:12]}"
