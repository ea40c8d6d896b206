"""`rrtf-judge doctor`: which walls really stand here, found by running programs against them."""

import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import IO, NamedTuple

from rrtf.errors import InfrastructureError
from rrtf.judge.engine import Job, judge
from rrtf.judge.pool import TIERS
from rrtf.judge.settings import Isolation, Judge
from rrtf.records import Outcome, Problem, TestKind, Tests

SAFE = {
    Isolation.namespaces: "safe: own process tree, network, files and user; everything of a candidate dies with its verdict",
    Isolation.landlock: "guarded: files and sockets are closed by the kernel, other processes of this user stay visible",
    Isolation.processes: "NOT safe: limits, a separate process and no sockets; files of this user are open to candidates",
}

_WHY = "only root can read this Python, so candidates, who run as another user, keep root's power to read"
READING = {
    Isolation.namespaces: f"{_WHY}: this Python and the system's libraries are all that is in sight",
    Isolation.landlock: f"{_WHY}: Landlock still closes every file but Python's and the system's libraries",
    Isolation.processes: f"{_WHY}: every file of this machine",
}


class Probe(NamedTuple):
    """A program that returns True when a wall is missing."""

    name: str
    program: str


PROBES = (
    Probe("reads files of this machine", "def f():\n    return bool(open(FILE).read())\n"),
    Probe("writes outside its scratch folder", "def f():\n    open(FILE + '.new', 'w').close()\n    return True\n"),
    Probe("sees other processes", "import os\ndef f():\n    return sum(name.isdigit() for name in os.listdir('/proc')) > 3\n"),
    Probe(
        "reaches the network",
        "import socket\ndef f():\n    socket.create_connection(('127.0.0.1', PORT), 1)\n    return True\n",
    ),
    Probe("signals the judge", "import os\ndef f():\n    os.kill(JUDGE, 0)\n    return True\n"),
    Probe("debugs its worker", "import os\ndef f():\n    open(f'/proc/{os.getppid()}/mem', 'rb').close()\n    return True\n"),
    Probe("reads an environment", "import os\ndef f():\n    return bool(open(f'/proc/{os.getppid()}/environ').read())\n"),
    Probe(
        "raises its limits", "import resource as r\ndef f():\n    r.setrlimit(r.RLIMIT_CPU, (9999, 9999))\n    return True\n"
    ),
    Probe("makes new namespaces", "import ctypes\ndef f():\n    return ctypes.CDLL(None).unshare(0x10000000) == 0\n"),
    Probe("is root", "import os\ndef f():\n    return 0 in (os.getuid(), os.geteuid())\n"),
)


def probe(tier: Isolation) -> tuple[str, list[str]]:
    """The isolation that verdicts of one tier name, and what a candidate could do in it.

    Raises InfrastructureError where the tier can't be built.
    """
    tests = Tests(kind=TestKind.asserts, asserts=("assert f() is True",))
    problem = Problem(task_id="doctor", text="", entry_point="f", tests=tests)
    settings = Judge(workers=1, isolation=tier, time_limit=2.0)
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        Path(folder).chmod(0o755)
        secret = Path(folder, "secret")
        secret.write_text("a file of this user")
        head = f"FILE, PORT, JUDGE = {str(secret)!r}, {server.getsockname()[1]}, {os.getpid()}\n"
        verdicts = list(judge([Job(problem, head + each.program) for each in PROBES], settings))
    passed = [found.outcome is Outcome.all_tests_passed for found in verdicts]
    return verdicts[0].isolation, [each.name for each, hole in zip(PROBES, passed, strict=True) if hole]


def doctor(out: IO[str]) -> int:
    """Print each tier with its probes, and the one that `auto` takes. Returns 1 when that one is not safe."""
    chosen: Isolation | None = None
    print(f"Python {sys.version.split()[0]} on {sys.platform}", file=out)
    for tier in TIERS:
        try:
            isolation, holes = probe(tier)
        except InfrastructureError as error:
            print(f"\n{tier.value}: refused here\n  {error}", file=out)
            continue
        chosen = chosen or tier
        print(f"\n{isolation}: works\n  {SAFE[tier]}", file=out)
        if isolation != tier.value:
            print(f"  {READING[tier]}", file=out)
        for hole in holes:
            print(f"  open: a candidate {hole}", file=out)
        if not holes:
            print(f"  all {len(PROBES)} probes were stopped", file=out)
    print(f"\nisolation=auto takes: {chosen.value if chosen else 'nothing; no tier works here'}", file=out)
    return 0 if chosen is Isolation.namespaces else 1
