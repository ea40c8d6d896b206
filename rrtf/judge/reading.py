"""Candidates that become another user must still be able to read Python, or honest programs fail at `import`.

A Python below a folder that only root enters (pyenv or uv under /root, the usual thing in a container) is probed as that user
before any program runs. Where it is closed, candidates keep one power of root: to read.
"""
# ruff: noqa: PTH110, PTH112, PTH118, PTH123, PTH208
# pathlib would be loaded into every candidate

import functools
import os
import sys
from collections.abc import Iterator

from rrtf.judge import linux


@functools.cache
def power(uid: int, shown: tuple[str, ...], *, hidden: tuple[str, ...], closed_to_writes: bool) -> linux.Keeping | None:
    """Keeps the capability that candidates need to read what lies in `shown` as `uid`; None where they need none.

    `closed_to_writes` says whether the tier refuses writes even to root. Raises OSError where no capability may be used.
    """
    path = _unreadable(uid, shown, hidden)
    if not path:
        return None
    held = linux.permitted()
    if held >> linux.CAP_DAC_READ_SEARCH & 1:
        return linux.Keeping(linux.CAP_DAC_READ_SEARCH)
    # containers often hold back the power to read alone; the one to read and write is as good where writing is closed
    if closed_to_writes and held >> linux.CAP_DAC_OVERRIDE & 1:
        return linux.Keeping(linux.CAP_DAC_OVERRIDE)
    raise OSError(
        f"candidates run as another user than root, who can't read {path}; open the folders on that path (chmod a+rx) "
        "or use a Python that every user can read"
    )


def _unreadable(uid: int, shown: tuple[str, ...], hidden: tuple[str, ...]) -> str:
    """The first part of Python that `uid` can't read, found by becoming that user; "" where all is readable."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            parts = list(_parts(shown, hidden))
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            first = next((path for path, way in parts if not os.access(path, way)), "")
            os.write(theirs, os.fsencode(first) or b"/")
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as answer:
        found = answer.read()
    os.waitpid(child, 0)
    if not found:
        raise OSError(f"user {uid} can't be tried out here")
    return "" if found == b"/" else os.fsdecode(found)


def _parts(shown: tuple[str, ...], hidden: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """What programs may import or start, and how it must be open: the interpreter, folders of modules, what lies there."""
    yield sys.executable, os.R_OK | os.X_OK
    for folder in sys.path:
        if not any(f"{folder}/".startswith(f"{path}/") for path in shown) or not os.path.exists(folder):
            continue
        yield folder, _way(folder)
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            path = os.path.join(folder, name)
            importable = name.endswith((".py", ".so")) or (name.isidentifier() and os.path.isdir(path))
            if importable and name not in (*hidden, "__pycache__") and os.path.exists(path):
                yield path, _way(path)


def _way(path: str) -> int:
    return os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK
