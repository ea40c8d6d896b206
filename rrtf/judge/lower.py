"""The lower tiers, for machines that refuse namespaces: plain processes, with Landlock's walls where the kernel has them."""
# ruff: noqa: PTH101, PTH102, PTH106, PTH116, PTH118, PTH120, PTH208
# pathlib would be loaded into every candidate

import contextlib
import functools
import os
import stat
import time
from collections.abc import Callable

from rrtf.judge import landlock, linux, reading, seccomp
from rrtf.judge.jail import DEVICES, HIDDEN_PACKAGES, OUTSIDE_UID, visible_paths
from rrtf.judge.walls import Walls

FRESH = 1.0  # seconds for which a count of tasks is good: counting takes as long as judging a short program
ROOM = 256  # tasks that the same user may start elsewhere while a candidate runs


def enter(inside: Callable[[Walls], None], *, landlocked: bool) -> int:
    """Run `inside` in a child that adopts orphans and has a scratch folder of its own; returns its pid.

    As root, candidates become `nobody`. Raises OSError when `landlocked` walls can't be built here, or when `nobody` can't be
    let read Python. The folder stays until the child leaves in order, or the engine calls `remove` with this process's id.
    """
    uid = OUTSIDE_UID if os.getuid() == 0 else None
    shown, guarded = tuple(visible_paths()), landlocked and landlock.abi() >= landlock.TRUNCATE_SINCE
    power = None if uid is None else reading.power(uid, shown, hidden=HIDDEN_PACKAGES, closed_to_writes=guarded)
    # not by tempfile: it loads random, whose state every fork would make anew before a candidate's first line
    scratch = os.path.join(os.environ["TMPDIR"], f"rrtf-judge-{os.getpid()}-{os.urandom(8).hex()}")
    os.mkdir(scratch, 0o700)
    os.chmod(scratch, 0o777 if uid else 0o700)
    rules = landlock.ruleset(readable=[*shown, *DEVICES], writable=[scratch, "/dev/null"]) if landlocked else -1
    child = os.fork()
    if child:
        if landlocked:
            os.close(rules)
        return child
    try:
        worker = os.getppid()
        if linux.AVAILABLE:
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
            linux.prctl(linux.PR_SET_DUMPABLE, 0)
        tier = "landlock" if landlocked else "processes"
        os.environ["TMPDIR"] = scratch
        close_in = functools.partial(_close_in, rules)
        crowd = _Crowd(os.getuid() if uid is None else uid)
        leave = functools.partial(remove, worker, os.path.dirname(scratch))
        inside(Walls(tier, scratch, uid, lambda: empty(scratch), close_in, power, crowd, leave))
    finally:
        os._exit(0)


class _Crowd:
    """How many tasks a user has, and room for more: the kernel's limit counts all of them, not a candidate's alone."""

    def __init__(self, uid: int) -> None:
        self._uid, self._count, self._when = uid, 0, -FRESH

    def __call__(self) -> int:
        if linux.AVAILABLE and time.monotonic() - self._when > FRESH:
            self._when, self._count = time.monotonic(), ROOM + sum(map(self._tasks, filter(str.isdigit, os.listdir("/proc"))))
        return self._count

    def _tasks(self, pid: str) -> int:
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == self._uid:
                return len(os.listdir(f"/proc/{pid}/task"))
        return 0


def _close_in(rules: int, candidate: bool) -> None:
    """Landlock where there is a rule set; where its version does not cover signals, the system call filter does."""
    if rules >= 0:
        landlock.restrict(rules)
    if candidate and linux.AVAILABLE and (rules < 0 or landlock.abi() < landlock.SIGNALS_SINCE):
        seccomp.install(os.getpid())


def remove(worker: int, place: str) -> None:
    """Every scratch folder in `place` of a worker that has ended, by its process id."""
    for name in os.listdir(place):
        if name.startswith(f"rrtf-judge-{worker}-"):
            with contextlib.suppress(OSError):  # another user's, of a process that had the same id
                empty(os.path.join(place, name))
                os.rmdir(os.path.join(place, name))


def empty(folder: str) -> None:
    """Remove everything below `folder` without following links, whatever its names, modes or depth.

    A folder's own folders are first moved up, so the depth of a tree costs no recursion and no open files.
    """
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    moved = 0
    try:
        while names := os.listdir(top):
            for name in names:
                if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=top)
                    continue
                os.chmod(name, 0o700, dir_fd=top)
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
                for child in os.listdir(inner):
                    moved += 1
                    os.rename(child, f".rrtf-moved-{os.getpid()}-{moved}", src_dir_fd=inner, dst_dir_fd=top)
                os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
