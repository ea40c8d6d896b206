"""Alpaca rows (instruction, input, output) as problems without tests: from JSONL, a JSON list, or the hub."""

import ast
import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rrtf.errors import DataError, MissingDataError
from rrtf.problems.tree import parse
from rrtf.records import Problem, TestKind, Tests
from rrtf.store import digest, read_rows

# the paper's seed set (section 3.3, footnote); cc-by-4.0
CODE_ALPACA = "sahil2801/CodeAlpaca-20k"
_TEXT_KEYS = ("instruction", "prompt", "question")
_ANSWER_KEYS = ("output", "response", "completion", "answer")


def read_instructions(path: Path, *, origin: str = "", licence: str = "") -> Iterator[Problem]:
    """The rows of a .jsonl(.gz) file or of a .json(.gz) list, each a Problem with its answer's code as reference.

    Raises MissingDataError for a file that is not there, DataError with file and line for a row without an instruction.
    """
    rows = list_rows(path) if path.name.endswith((".json", ".json.gz")) else read_rows(path)
    for line, row in rows:
        try:
            yield from_instruction(row, task_id=f"{origin or path.name.split('.')[0]}/{line}", origin=origin, licence=licence)
        except ValueError as error:
            raise DataError(path, line, str(error)) from None


def from_hub(name: str = CODE_ALPACA, *, split: str = "train", licence: str = "cc-by-4.0") -> Iterator[Problem]:
    """A hub data set of instruction rows, through `datasets` (extra `hub`). Raises MissingDataError where it can't be had."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingDataError(f"{name}: hub sets need the package datasets: pip install datasets") from None
    try:
        rows: Iterable[Mapping[str, Any]] = load_dataset(name, split=split)
    except (OSError, ValueError) as error:
        raise MissingDataError(f"{name}: not to be had from the hub ({error}); point at a downloaded .jsonl instead") from None
    for number, row in enumerate(rows, start=1):
        yield from_instruction(row, task_id=f"{name.rpartition('/')[2]}/{number}", origin=name, licence=licence)


def instruction(row: Mapping[str, Any]) -> Problem:
    """A row as a Problem named by its words, for files whose rows have no ids."""
    return from_instruction(row, task_id=str(row.get("task_id") or f"instruction/{digest(_first(row, _TEXT_KEYS))[:12]}"))


def from_instruction(row: Mapping[str, Any], *, task_id: str, origin: str = "", licence: str = "") -> Problem:
    """One row as a Problem. Raises ValueError where the instruction or the answer is missing or no text."""
    text = _first(row, _TEXT_KEYS)
    if not text.strip():
        raise ValueError(f"no instruction (looked for {', '.join(_TEXT_KEYS)}; the row has {', '.join(map(str, row))})")
    given = row.get("input") or ""
    if not isinstance(given, str):
        raise ValueError(f"input must be text, not {given!r:.60}")
    code = code_of(_first(row, _ANSWER_KEYS))
    tree = parse(code)
    named = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []
    return Problem(
        task_id=task_id,
        text=f"{text.strip()}\n{given.strip()}".strip(),
        entry_point=named[-1] if named else "",
        reference=code,
        tests=Tests(kind=TestKind.asserts),
        origin=origin,
        licence=licence,
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


def list_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number, object) for each object of a .json(.gz) list. Raises MissingDataError, or DataError for any other content."""
    if not path.is_file():
        raise MissingDataError(f"{path}: no such file")
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            rows = json.load(file)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error, RecursionError) as error:
        raise DataError(path, 1, f"not a JSON list: {error}") from None
    if not isinstance(rows, list):
        raise DataError(path, 1, f"expected a list of objects, found {type(rows).__name__}")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(path, number, f"expected an object, found {type(row).__name__}")
        yield number, row
