"""Answers that no model has to be run for: recorded responses, and the problems' own solutions."""

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rrtf.errors import DataError, MissingDataError
from rrtf.progress import Report
from rrtf.records import Candidate, Problem, Role, from_row
from rrtf.sampling.settings import Recorded
from rrtf.store import read_rows

# what `path` says for the responses that come with this package
PACKAGED = "builtin"


def recorded_file(source: Recorded) -> Path:
    """The file of a recorded source. Raises MissingDataError where there is none."""
    path = (
        Path(str(resources.files("rrtf.data") / "recorded.jsonl.gz"))
        if source.path == PACKAGED
        else Path(source.path).expanduser()
    )
    if not path.is_file():
        raise MissingDataError(
            f"{path}: no such file of recorded responses. A run's own are in its store: sample/*.jsonl; "
            f"path={PACKAGED} names the packaged ones"
        )
    return path


def recorded(problems: Sequence[Problem], source: Recorded, *, role: Role, progress: Report) -> Iterator[Candidate]:
    """The recorded responses to these problems, unchanged but for the role; they keep the name of who wrote them.

    Problems without a recorded response and rows that are there twice are counted in the progress note. Raises
    MissingDataError where no problem has a response, DataError for two responses that are said to be the same sample.
    """
    path, twice = recorded_file(source), 0
    found: dict[str, list[Candidate]] = {problem.task_id: [] for problem in problems}
    seen: dict[tuple[str, str, float, int], tuple[int, Candidate]] = {}
    for line, row in _candidates(path):
        rows = found.get(row.task_id)
        if rows is None or (source.sources and row.source not in source.sources):
            continue
        first, same = seen.setdefault(row.key, (line, row))
        if (same.response, same.program) != (row.response, row.program):
            what = f"sample {row.sample} of {row.source} to {row.task_id} at temperature {row.temperature:g}"
            raise DataError(path, line, f"another response than in line {first} for {what}")
        if first != line:
            twice += 1
        elif not source.limit or len(rows) < source.limit:
            rows.append(dataclasses.replace(row, role=role))
    silent = sum(not rows for rows in found.values())
    if silent == len(found):
        raise MissingDataError(f"{path}: no response to any of the {len(found)} problems asked")
    notes = [f"{silent} problems have no recorded response"] if silent else []
    notes += [f"{twice} rows are there twice"] if twice else []
    progress(len(found), len(found), ", ".join(notes))
    for rows in found.values():
        yield from rows


def _candidates(path: Path) -> Iterator[tuple[int, Candidate]]:
    """The rows of a file with their lines: candidates as the sample stage writes them, or {task_id, model, code}."""
    numbers = Counter[tuple[str, str]]()
    for line, row in read_rows(path):
        try:
            if "code" in row and "program" not in row:
                plain = _plain(row)
                who = (plain.task_id, plain.source)
                yield line, dataclasses.replace(plain, sample=numbers[who])
                numbers[who] += 1
            else:
                yield line, from_row(Candidate, row)
        except KeyError as error:
            raise DataError(path, line, f"a recorded response needs task_id, model and code; there is no {error}") from None
        except ValueError as error:
            raise DataError(path, line, str(error)) from None


def _plain(row: dict[str, Any]) -> Candidate:
    """{task_id, model, code, …}: how published responses are kept. Raises ValueError for code that is no text."""
    if not isinstance(row["code"], str):
        raise ValueError(f"code must be a string, not {row['code']!r:.80}")
    code = re.sub("[\ud800-\udfff]", "\ufffd", row["code"])  # no file, pipe or tokenizer takes halves of characters
    # MultiPL-E calls MBPP/234 mbpp_234_volume_cube
    task = str(row["task_id"])
    numbered = re.fullmatch(r"mbpp_(\d+)_\w+", task)
    return Candidate(
        task_id=f"MBPP/{numbered[1]}" if numbered else task,
        source=str(row["model"]),
        role=Role.teacher,
        sample=0,
        temperature=0.0,
        seed=0,
        prompt="",
        response=code,
        program=code,
        finish="recorded",
    )


def references(problems: Sequence[Problem], *, name: str, role: Role) -> Iterator[Candidate]:
    """Each problem's own solution; problems that have none are left out."""
    for problem in problems:
        if problem.reference:
            yield Candidate(
                task_id=problem.task_id,
                source=name,
                role=role,
                sample=0,
                temperature=0.0,
                seed=0,
                prompt="",
                response=problem.reference,
                program=problem.reference,
                finish="recorded",
            )
