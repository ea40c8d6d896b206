"""Files that tests and program both see, though each has a scratch folder of its own: what one writes, the other finds.

Before a call the tests' folder is copied over, after it the program's comes back: small regular files and folders, by content.
"""
# ruff: noqa: PTH103, PTH106, PTH108, PTH112, PTH113, PTH114, PTH118, PTH123, PTH202, PTH208
# pathlib would be loaded into every candidate

import os
import re
from typing import Any

from rrtf.judge.wire import TooLarge

ROOT = "/tmp"  # noqa: S108 - the scratch folder of both sides, where they have namespaces
MOST_BYTES, MOST_FILES = 8 << 20, 500
# tests that look at files, and those that could run what is in one, to which nothing of a program may come
LOOKS = re.compile(r"\btempfile\b|\btmp_?path|\btmpdir\b|\bopen\(|\bos\.|\bpathlib\b|\bPath\(|\bshutil\b|\bglob\b")
RUNS = re.compile(
    r"\bsubprocess\b|\bos\.(system|popen|exec|spawn|posix_spawn)|\brunpy\b|\bsys\.path\b|\bimport_module\b|\bspec_from|\b__import__\b"
    r"|\bctypes\b|\bmultiprocessing\b|\bzipimport\b|\bpty\b"
)

Tree = dict[str, bytes | None]  # by path below ROOT; None is a folder

together = False  # in the tests' process: whether both sides call their scratch folder ROOT


def shared(text: str) -> bool:
    """Whether what tests of this text do with files is carried over."""
    return together and bool(LOOKS.search(text)) and not RUNS.search(text)


class Files:
    """One side's view: what both have, as of the last exchange."""

    def __init__(self) -> None:
        self._both: Tree = {}

    def changes(self) -> list[list[Any]]:
        """Paths with their new content in hexadecimal, a folder as True, what is gone as None."""
        now = _tree()
        gone: list[list[Any]] = [[path, None] for path in self._both if path not in now]
        new = [[path, True if data is None else data.hex()] for path, data in now.items() if self._both.get(path, 0) != data]
        self._both = now
        return sorted(gone, reverse=True) + new

    def take(self, changes: Any) -> None:
        """Write what the other side changed; raises ValueError for a path that leads elsewhere."""
        for path, content in changes:
            target = os.path.join(ROOT, path)
            if os.path.realpath(target) != target or not target.startswith(f"{ROOT}/"):
                raise ValueError(f"the file {path!r}")
            _write(target, content)
            if content is None:
                self._both.pop(path, None)
            else:
                self._both[path] = None if content is True else bytes.fromhex(content)


def _write(target: str, content: Any) -> None:
    if content is None and os.path.isdir(target):
        if not os.listdir(target):
            os.rmdir(target)
    elif content is None:
        os.unlink(target)
    elif content is True:
        os.makedirs(target, exist_ok=True)
    else:
        with open(target, "wb") as file:
            file.write(bytes.fromhex(content))


def _tree() -> Tree:
    found: Tree = {}
    total = 0
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not os.path.islink(os.path.join(folder, name))]
        found |= {os.path.relpath(os.path.join(folder, name), ROOT): None for name in folders}
        for path in (os.path.join(folder, name) for name in names):
            if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.R_OK):
                total += os.path.getsize(path)
                if total > MOST_BYTES or len(found) >= MOST_FILES:
                    raise TooLarge("more or larger files than can be sent")
                with open(path, "rb") as file:
                    found[os.path.relpath(path, ROOT)] = file.read()
    return found
