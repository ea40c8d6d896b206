"""Rows of LiveCodeBench (code generation) and CodeContests: programs judged by what they print, or methods by their answers."""

import base64
import json
import pickletools
import zlib
from collections.abc import Mapping
from typing import Any

from rrtf.problems.format_apps import apps
from rrtf.problems.rows import text, text_or_empty, texts
from rrtf.records import Problem, StdioPair, TestKind, Tests

PYTHON3 = 3  # of CodeContests's languages
_AROUND_A_TEXT = {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"}


def livecodebench(row: Mapping[str, Any]) -> Problem:
    """`question_id, question_content, public_test_cases, private_test_cases, metadata, starter_code, difficulty`."""
    cases = [*_cases(row, "public_test_cases"), *_cases(row, "private_test_cases")]
    name = text_or_empty(_fields(row, "metadata"), "func_name")
    inputs: list[Any] = [text(case, "input") for case in cases]
    outputs: list[Any] = [text(case, "output") for case in cases]
    if name:  # one argument a line
        inputs = [[json.loads(line) for line in lines.split("\n")] for lines in inputs]
        outputs = [json.loads(output) for output in outputs]
    return apps(
        {
            "task_id": text(row, "question_id"),
            "question": text(row, "question_content"),
            "input_output": {"inputs": inputs, "outputs": outputs, "fn_name": name},
            "starter_code": text_or_empty(row, "starter_code"),
            "difficulty": text_or_empty(row, "difficulty"),
        }
    )


def _fields(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object, or one as JSON; a missing or null one is empty."""
    value = row.get(key)
    value = json.loads(value) if isinstance(value, str) else value or {}
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be an object, not {value!r:.80}")
    return value


def _cases(row: Mapping[str, Any], key: str) -> list[Any]:
    """A list of {input, output, testtype}: as JSON, or that compressed as LiveCodeBench publishes its private ones."""
    value = row.get(key) or []
    try:
        if isinstance(value, str) and not value.lstrip().startswith("["):
            value = _pickled_text(zlib.decompress(base64.b64decode(value)))
        cases = json.loads(value) if isinstance(value, str) else value
    except (ValueError, TypeError, RecursionError, zlib.error) as error:
        raise ValueError(f"{key} is neither JSON nor LiveCodeBench's compressed form of it: {error}") from None
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise ValueError(f"{key} must be a list of tests with input and output, not {cases!r:.80}")
    return cases


def _pickled_text(data: bytes) -> str:
    """The text that LiveCodeBench pickled, read from the pickle's instructions: nothing is unpickled. Raises ValueError."""
    found = [(operation.name, value) for operation, value, _ in pickletools.genops(data)]
    held = [value for name, value in found if "UNICODE" in name]
    if len(held) != 1 or not {name for name, _ in found if "UNICODE" not in name} <= _AROUND_A_TEXT:
        raise ValueError("a pickle that holds more than one text")
    return str(held[0])


def codecontests(row: Mapping[str, Any]) -> Problem:
    """`name, description, public_tests, private_tests, generated_tests` {input, output}, `solutions` {language, solution}."""
    pairs = []
    for key in ("public_tests", "private_tests", "generated_tests"):
        given, wanted = (texts(_fields(row, key), part) for part in ("input", "output"))
        if len(given) != len(wanted):
            raise ValueError(f"{key}: input and output must be lists of one length")
        pairs += [StdioPair(input=one, output=other) for one, other in zip(given, wanted, strict=True)]
    solutions = _fields(row, "solutions")
    languages = solutions.get("language")
    written = zip(languages if isinstance(languages, list) else [], texts(solutions, "solution"), strict=False)
    return Problem(
        task_id=text(row, "name"),
        text=text(row, "description"),
        reference=next((program for language, program in written if language == PYTHON3), ""),
        tests=Tests(kind=TestKind.stdio, pairs=tuple(pairs)),
    )
