"""Artifacts on disk: JSONL files named by the hash of everything that made them.

An artifact is finished or absent: rows go to a `.partial` file, which is renamed when the stage ends. A `Log` is the other
kind of file, an append-only map from keys to rows that several processes share and a kill can't corrupt: at worst its last
line is half written, and is cut off by whoever opens the log or writes to it next.
"""

import codecs
import contextlib
import fcntl
import gzip
import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from rrtf.errors import DataError, MissingDataError
from rrtf.records import from_row, to_row

Record = TypeVar("Record")


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that stand for any record, settings object or plain JSON value."""
    text = json.dumps(to_row(value), sort_keys=True, ensure_ascii=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, in full."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha.update(block)
    return sha.hexdigest()


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) for each entry of `read_entries`. Raises DataError also for one that is no object."""
    for line, row in read_entries(path):
        if not isinstance(row, dict):
            raise DataError(path, line, f"expected an object, found {type(row).__name__}")
        yield line, row


def read_entries(path: Path) -> Iterator[tuple[int, Any]]:
    """(line number, value) for each line of a file of JSON lines, read as it is asked for; (number, value) for each entry of
    a file that is one JSON list; (1, value) for one object over several lines. All may be gzipped; what a file is its first
    bytes tell, not its name.

    Raises MissingDataError for a file that is not there, DataError for what is not JSON.
    """
    if not path.is_file():
        raise MissingDataError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    line = 0
    with path.open("rb") as raw, unpacked(raw) as file:
        try:
            listed = file.read(64).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
            file.seek(0)
            if listed:
                yield from enumerate(_json(path, 0, file.read()), start=1)
                return
            if (whole := _indented(file)) is not None:
                yield 1, whole
                return
            for line, text in enumerate(file, start=1):
                if text.strip():
                    yield line, _json(path, line, text)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(path, line + 1, f"truncated or damaged gzip file ({error})") from None


def _indented(file: Any) -> Any:
    """The object of a file that is one object over several lines, whose first is its bracket; None for any other file."""
    alone = file.readline().removeprefix(codecs.BOM_UTF8).strip() == b"{"
    file.seek(0)
    if alone:
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(file.read())
    file.seek(0)
    return None


def unpacked(raw: IO[bytes]) -> Any:
    """A file as it was before gzip, which its first bytes tell."""
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    return gzip.open(raw) if packed else raw


def _json(path: Path, line: int, text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        place = line or getattr(error, "lineno", 1)
        raise DataError(path, place, f"not JSON: {error} (one object a line is expected, or one list)") from None


def read_records(kind: type[Record], path: Path) -> Iterator[Record]:
    """The rows of `path` as records; a row that does not fit raises DataError with its line."""
    for line, row in read_rows(path):
        try:
            yield from_row(kind, row)
        except ValueError as error:
            raise DataError(path, line, str(error)) from None


def dump(record: Any) -> str:
    """One JSONL line, newline included; lone surrogates and control characters survive as escapes."""
    return json.dumps(to_row(record), ensure_ascii=True, separators=(",", ":")) + "\n"


def write_records(path: Path, records: Iterable[Any]) -> int:
    """Write all records to `path` at once or not at all; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    count = 0
    try:
        with partial.open("w", encoding="ascii") as file:
            for record in records:
                file.write(dump(record))
                count += 1
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return count


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; released by the kernel however the holder ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """`folder`, or one beside it with a number where another process works in it: runs begun in one second are called alike."""
    for number in itertools.count(1):
        chosen = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        chosen.mkdir(parents=True, exist_ok=True)
        with (chosen / ".busy").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield chosen
            return


class Log:
    """An append-only map from string keys to JSON rows, shared between processes, safe against kill -9.

    One line a row, each its own write; `refresh` reads what other processes added. The last row of a key wins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        self._read = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_half_line(file)
        self.refresh()

    def refresh(self) -> None:
        """Take in rows that other processes appended since the last look."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                row = json.loads(text)
                self.rows[row["key"]] = row["row"]
                self._read += len(text)

    def append(self, key: str, record: Any) -> None:
        """Add one row; it is in the kernel's hands when this returns."""
        row = to_row(record)
        text = dump({"key": key, "row": row}).encode()
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_half_line(file)
            file.write(text)
        self.rows[key] = row


def _cut_half_line(file: IO[bytes]) -> None:
    """Drop a last line that a killed writer or a full disk left unfinished: the next row would be glued to it."""
    if file.seek(0, os.SEEK_END) == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read() != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


@dataclass(frozen=True)
class Store:
    """The folder of artifacts. `path(stage, key)` names one; `key` is the digest of everything that made it."""

    root: Path

    def path(self, stage: str, key: str, suffix: str = ".jsonl") -> Path:
        """Where the artifact of `stage` with digest `key` lives, finished or not."""
        return self.root / stage / f"{key}{suffix}"

    def lock(self, stage: str, key: str) -> contextlib.AbstractContextManager[None]:
        """Held while an artifact is made, so that two processes never make it twice."""
        return lock(self.root / "locks" / f"{stage}-{key}.lock")
