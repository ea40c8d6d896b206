"""`rrtf-judge doctor`: which walls really stand here, found by running programs against them."""

import sys
from typing import IO, NamedTuple

from rrtf.errors import InfrastructureError
from rrtf.judge.engine import Job, judge
from rrtf.judge.pool import TIERS
from rrtf.judge.settings import Isolation, Judge
from rrtf.records import Outcome, Problem, Tests, TestKind

SAFE = {
    Isolation.namespaces: "safe: own process tree, network, files and user; everything of a candidate dies with its verdict",
    Isolation.landlock: "guarded: files and network are closed by the kernel, other processes of this user stay visible",
    Isolation.processes: "NOT safe: limits and a separate process only; files and network of this user are open to candidates",
}


class Probe(NamedTuple):
    """A program that returns True when a wall is missing."""

    name: str
    program: str


PROBES = (
    Probe(
        "reads the home folder",
        "import os\ndef f():\n    return any(os.access(p, os.R_OK) for p in (HOME, '/root', '/home'))\n",
    ),
    Probe("writes outside its scratch folder", "def f():\n    open('/var/tmp/rrtf-doctor', 'w').close()\n    return True\n"),
    Probe("sees other processes", "import os\ndef f():\n    return sum(name.isdigit() for name in os.listdir('/proc')) > 3\n"),
    Probe(
        "opens a network socket",
        "import socket\ndef f():\n    socket.create_server(('127.0.0.1', 0)).close()\n    return True\n",
    ),
    Probe("signals its worker", "import os\ndef f():\n    os.kill(os.getppid(), 15)\n    return os.getppid() not in (0, 1)\n"),
    Probe("debugs its worker", "import os\ndef f():\n    open(f'/proc/{os.getppid()}/mem', 'rb').close()\n    return True\n"),
    Probe(
        "reads the worker's environment", "import os\ndef f():\n    return bool(open(f'/proc/{os.getppid()}/environ').read())\n"
    ),
    Probe(
        "raises its own limits",
        "import resource as r\ndef f():\n    r.setrlimit(r.RLIMIT_CPU, (9999, 9999))\n    return True\n",
    ),
    Probe("makes new namespaces", "import ctypes\ndef f():\n    return ctypes.CDLL(None).unshare(0x10000000) == 0\n"),
    Probe("runs as the user who judges", "import os\ndef f():\n    return os.getuid() == UID\n"),
)


def probe(tier: Isolation) -> dict[str, bool]:
    """{what a candidate might do: whether it could} in one tier. Raises InfrastructureError where the tier can't be built."""
    import os

    tests = Tests(kind=TestKind.asserts, asserts=("assert f() is True",))
    problem = Problem(task_id="doctor", text="", entry_point="f", tests=tests)
    head = f"HOME, UID = {os.path.expanduser('~')!r}, {os.getuid()}\n"
    settings = Judge(workers=1, isolation=tier, time_limit=2.0)
    verdicts = judge([Job(problem, head + each.program) for each in PROBES], settings)
    return {each.name: verdict.outcome is Outcome.all_tests_passed for each, verdict in zip(PROBES, verdicts, strict=True)}


def doctor(out: IO[str]) -> int:
    """Print each tier with its probes, and the one that `auto` takes. Returns 1 when that one is not safe."""
    chosen: Isolation | None = None
    print(f"Python {sys.version.split()[0]} on {sys.platform}", file=out)
    for tier in TIERS:
        try:
            holes = [name for name, open_ in probe(tier).items() if open_]
        except InfrastructureError as error:
            print(f"\n{tier.value}: refused here\n  {error}", file=out)
            continue
        chosen = chosen or tier
        print(f"\n{tier.value}: works\n  {SAFE[tier]}", file=out)
        for hole in holes:
            print(f"  open: a candidate {hole}", file=out)
        if not holes:
            print(f"  all {len(PROBES)} probes were stopped", file=out)
    print(f"\nisolation=auto takes: {chosen.value if chosen else 'nothing; no tier works here'}", file=out)
    return 0 if chosen is Isolation.namespaces else 1
