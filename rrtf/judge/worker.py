"""The start of a worker process: the zygote and the tester, each behind its own walls, with one socket between them.

Run by the engine as `python -s -c BOOT`. It raises nothing upwards: a worker that can't start says why on its first line.
"""

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rrtf.judge import jail, linux
from rrtf.judge.settings import Isolation
from rrtf.judge.tester import Tester
from rrtf.judge.zygote import Zygote

SCRATCH_MB = 64


def main(isolation: str) -> None:
    """Build both halves in the tier `isolation` and serve until the engine closes stdin."""
    sys.argv = sys.orig_argv = ["solution.py"]  # no path of this machine, and what fileinput expects of a script
    if linux.AVAILABLE:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    control, theirs = socket.socketpair()
    start = _in_namespaces if isolation == Isolation.namespaces.value else _in_processes
    try:
        children = [start(lambda walls, scratch: _zygote(theirs, control, walls, scratch))]
        children += [start(lambda walls, scratch: _tester(control, theirs, isolation))]
    except OSError as error:
        _say({"refused": str(error)})
        sys.exit(3)
    control.close()
    theirs.close()
    os.close(0)
    os.close(1)
    ended, _ = os.wait()
    for child in children:
        if child != ended:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    os._exit(0)


def _zygote(theirs: socket.socket, control: socket.socket, walls: jail.Jail | None, scratch: str) -> None:
    control.close()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    Zygote(theirs, walls, scratch).serve()


def _tester(control: socket.socket, theirs: socket.socket, isolation: str) -> None:
    theirs.close()
    orders, findings = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _say({"ready": isolation})
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    Tester(control, orders, findings).serve()


def _say(message: dict[str, str]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


Inside = Callable[["jail.Jail | None", str], None]


def _in_namespaces(inside: Inside) -> int:
    return jail.enter(scratch_mb=SCRATCH_MB, inside=lambda walls: inside(walls, "/tmp"))


def _in_processes(inside: Inside) -> int:
    """The lower tier: a plain child that adopts orphans, with a scratch folder of its own."""
    child = os.fork()
    if child:
        return child
    if linux.AVAILABLE:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
    scratch = tempfile.mkdtemp(prefix="rrtf-judge-")
    try:
        inside(None, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(0)


BOOT = "import sys; sys.path[0] = sys.argv[1]; from rrtf.judge.worker import main; sys.path.pop(0); main(sys.argv.pop())"
ROOT = str(Path(__file__).parents[2])
