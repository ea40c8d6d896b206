"""Read problems as their publishers wrote them: every known format, told apart by the keys of a row."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rrtf.errors import DataError
from rrtf.problems.format_apps import apps
from rrtf.problems.format_codereval import codereval
from rrtf.problems.format_contests import codecontests, livecodebench
from rrtf.problems.format_evalplus import evalplus
from rrtf.problems.format_humaneval import humaneval, multipl_e
from rrtf.problems.format_leetcode import leetcode
from rrtf.problems.format_mbpp import mbpp, mbpp_plus
from rrtf.problems.format_pytest import pytest_style
from rrtf.problems.instructions import instruction, is_instruction
from rrtf.problems.settings import Format
from rrtf.records import Problem, TestKind, Tests, from_row
from rrtf.store import read_rows

# keys that only this format has together, the most telling first
_KEYS = {
    Format.native: {"task_id", "tests"},
    Format.codereval: {"validate_source"},
    Format.evalplus: {"base_input", "canonical_solution"},
    Format.mbpp_plus: {"test_list", "code", "test"},
    Format.mbpp: {"test_list", "code"},
    Format.apps: {"question", "input_output"},
    Format.livecodebench: {"question_id", "question_content", "public_test_cases"},
    Format.codecontests: {"name", "description", "public_tests"},
    Format.multipl_e: {"name", "language", "entry_point", "test"},
    Format.leetcode: {"completion", "entry_point", "test", "prompt"},
    Format.humaneval: {"task_id", "entry_point", "prompt", "test"},
    Format.pytest: {"test"},
    Format.instructions: {"instruction"},
}
# what a task's function is called where nothing names it
ENTRY_POINT = "solution"


def read_problems(
    path: Path, format: Format | str = Format.auto, *, challenge_tests: bool = False, untested: bool = False
) -> Iterator[Problem]:
    """The problems of a file of JSON lines or of one JSON list (.gz too), in its order, read as they are asked for.

    `challenge_tests` adds MBPP's challenge_test_list; `untested` takes problems without tests, which get them later.
    Raises MissingDataError for a file that is not there, DataError with file and line for a row that is malformed, of no
    known format, without tests, or with a task_id seen before.
    """
    known = Format(format)
    lines: dict[str, int] = {}
    for line, row in read_rows(path):
        try:
            problem = _reader(known if known is not Format.auto else detect(row), challenge_tests=challenge_tests)(row)
            if untested and not has_tests(problem.tests):
                problem = replace(problem, entry_point=problem.entry_point or ENTRY_POINT)
            _require_whole(problem, untested=untested)
        except ValueError as error:
            raise DataError(path, line, str(error)) from None
        if problem.task_id in lines and "task_id" not in row:  # named by its words; clean knows what to do with repeats
            problem = replace(problem, task_id=f"{problem.task_id}/{line}")
        if problem.task_id in lines:
            raise DataError(path, line, f"task_id {problem.task_id!r} is already on line {lines[problem.task_id]}")
        lines[problem.task_id] = line
        yield problem


def detect(row: Mapping[str, Any]) -> Format:
    """The format of one row. Raises ValueError that lists the row's keys when none fits."""
    for known, keys in _KEYS.items():
        if keys <= set(row) and not (known is Format.humaneval and "def check(" not in str(row["test"])):
            return known
    if is_instruction(row):
        return Format.instructions
    raise ValueError(
        f"no known format has the keys {', '.join(sorted(map(str, row))) or '(none)'}; see rrtf/problems/formats.py"
    )


def _reader(known: Format, *, challenge_tests: bool) -> Callable[[Mapping[str, Any]], Problem]:
    readers: dict[Format, Callable[[Mapping[str, Any]], Problem]] = {
        Format.native: partial(from_row, Problem),
        Format.humaneval: humaneval,
        Format.evalplus: evalplus,
        Format.mbpp: partial(mbpp, challenge_tests=challenge_tests),
        Format.mbpp_plus: mbpp_plus,
        Format.multipl_e: multipl_e,
        Format.leetcode: leetcode,
        Format.apps: apps,
        Format.livecodebench: livecodebench,
        Format.codecontests: codecontests,
        Format.pytest: pytest_style,
        Format.codereval: codereval,
        Format.instructions: instruction,
    }
    return readers[known]


def _require_whole(problem: Problem, *, untested: bool) -> None:
    """A problem needs a name, tests and, unless it is a whole program, an entry point."""
    if not problem.task_id:
        raise ValueError("task_id is empty")
    if not untested and not has_tests(problem.tests):
        raise ValueError(f"problem {problem.task_id!r} has no tests ({problem.tests.kind.value}); test_votes=voted makes some")
    if problem.tests.kind is TestKind.inputs and not problem.tests.oracle:
        raise ValueError(f"problem {problem.task_id!r} has inputs but no oracle to say what they should give")
    if problem.tests.kind is not TestKind.stdio and not problem.entry_point:
        raise ValueError(f"problem {problem.task_id!r} has no entry_point")


def has_tests(tests: Tests) -> bool:
    """Whether there is anything to judge a program by."""
    held = {TestKind.asserts: tests.asserts, TestKind.inputs: tests.inputs, TestKind.stdio: tests.pairs}
    return bool(held.get(tests.kind, tests.code.strip()))
