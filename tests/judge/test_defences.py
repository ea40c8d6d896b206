"""Each defence of the judge switched off in turn: what it stops must get another verdict, an honest program not."""

import ctypes
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from corpus import HERE, Case, _read, cases, problems
from defences import DEFENCES, Defence

from rrtf.judge import landlock
from rrtf.records import to_row

pytestmark = pytest.mark.slow

PACKAGE = HERE.parents[1] / "rrtf"
NEEDED = ("__init__.py", "errors.py", "records.py", "store.py", "judge")
HONEST = "l-helpers"  # passes on every copy: what goes red is the defence, not the judge
CASES = {case.id: case for case in [*cases(), *_read(HERE / "harmless.txt")]}
PROBLEMS = {name: to_row(problem) for name, problem in problems().items()}
for name, code in {
    "long_text": "    assert len(candidate()) == 3 << 20\n",
    "large_items": "    assert sum(1 for _ in candidate()) == 40\n",
    "twice": "    assert candidate(1) == 1\n    assert candidate(1) == 1\n",
    "no_tests": "    pass\n",
}.items():
    entry = {"long_text": "text", "large_items": "items", "twice": "one"}.get(name, "add")
    PROBLEMS[name] = {"task_id": name, "text": name, "entry_point": entry}
    PROBLEMS[name]["tests"] = {"kind": "check", "code": f"def check(candidate):\n{code}"}
JUDGE = """
import json, sys
import rrtf
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Isolation, Judge
from rrtf.records import Problem, from_row

order = json.load(sys.stdin)
assert rrtf.__file__.startswith(order["copy"] + "/"), rrtf.__file__
problems = {name: from_row(Problem, row) for name, row in order["problems"].items()}
limits = dict(workers=1, memory_mb=96, output_mb=1, processes=8, max_judge_errors=1.0)
for seconds in sorted({case["time_limit"] for case in order["cases"]}):
    chosen = [case for case in order["cases"] if case["time_limit"] == seconds]
    settings = Judge(time_limit=seconds, isolation=Isolation(order["tier"]), **limits)
    verdicts = judge([Job(problems[case["task_id"]], case["program"]) for case in chosen], settings)
    for case, verdict in zip(chosen, verdicts, strict=True):
        print(json.dumps([case["id"], verdict.outcome.value, verdict.detail]))
"""


class Seen(NamedTuple):
    """What the judge said of a program."""

    outcome: str
    detail: str


class Bait(NamedTuple):
    """What this machine has for programs that get out."""

    folder: Path
    head: str  # a line before each harmless program: where to find it

    def harmed(self) -> bool:
        """Whether a program did something out here; lays it out anew."""
        marks = list((self.folder / "open").iterdir())
        kept = self.folder / "precious" / "kept"
        harmed = bool(marks) or not kept.exists()
        for mark in marks:
            mark.unlink()
        kept.parent.mkdir(exist_ok=True)
        kept.touch()
        return harmed


@pytest.fixture(scope="module")
def bait() -> Iterator[Bait]:
    key = os.getpid() + 0x52000000
    libc = ctypes.CDLL(None)
    segment = libc.shmget(key, 4096, 0o1666)
    name = f"rrtf-defences-{os.getpid()}"
    with (
        # readable for another user, which pytest's own folders are not, and not in a folder that is scratch inside
        tempfile.TemporaryDirectory(dir="/var/tmp") as place,
        socket.create_server(("127.0.0.1", 0), backlog=64) as server,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        folder = Path(place)
        folder.chmod(0o755)
        (folder / "secret").write_text("a file of this user")
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        abstract.bind(f"\0{name}")
        abstract.listen(64)
        known = (place, server.getsockname()[1], name, key, socket.gethostname(), os.getpid())
        bait = Bait(folder, f"FOLDER, PORT, SOCKET, KEY, HOST, JUDGE = {known!r}\n")
        bait.harmed()
        yield bait
        for link in Path("/tmp").glob("rrtf-judge-*/link"):  # a judge that follows links fails at wiping this
            if link.readlink().is_relative_to(folder):
                shutil.rmtree(link.parent)
    libc.shmctl(segment, 0, None)


def copied(folder: Path) -> Path:
    """The judge and what it imports, in a folder that Python finds it in."""
    for name in NEEDED:
        source, target = PACKAGE / name, folder / "rrtf" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("corpus*.jsonl"))
        else:
            shutil.copy2(source, target)
    return folder


def seen(copy: Path, names: list[str], tier: str, bait: Bait) -> dict[str, Seen]:
    """Judge the programs of these names, and an honest one, by the judge in `copy`; nothing where the tier is refused."""
    chosen = [CASES[HONEST], *(CASES[name] for name in names)]
    order: dict[str, Any] = {"copy": str(copy), "problems": PROBLEMS, "tier": tier}
    order["cases"] = [_sent(case, bait.head) for case in chosen]
    done = subprocess.run(
        [sys.executable, "-c", JUDGE],
        input=json.dumps(order),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(copy), "HF_TOKEN": "corpus-secret"},
        cwd=copy,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=300,
    )
    if "no judge worker could start" in done.stderr:
        return {}
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {identity: Seen(outcome, detail) for identity, outcome, detail in rows}


def _sent(case: Case, head: str) -> dict[str, Any]:
    harmless = not case.id.partition("-")[0].isdigit() and len(case.family) > 1
    program = (head if harmless else "") + case.program
    return {"id": case.id, "task_id": case.task_id, "program": program, "time_limit": case.time_limit}


def right(case: Case, found: Seen) -> bool:
    return found.outcome in case.expect and found.detail.isprintable()


def unfit(defence: Defence) -> str:
    """Why this machine can't show a defence; "" where it can."""
    if defence.root and os.getuid() != 0:
        return "candidates only become another user where the judge is root"
    if defence.landlock > landlock.abi():
        return f"Landlock {landlock.abi()} is too old for this"
    if defence.machine not in ("", os.uname().machine):
        return f"only on {defence.machine}"
    missing = [CASES[name].needs for name in defence.notice if CASES[name].needs]
    return f"needs {missing}" if any(importlib.util.find_spec(name) is None for name in missing) else ""


@pytest.fixture(scope="module")
def untouched(bait: Bait, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Seen]]:
    """What the judge as it is says of every program of the table, by tier: without this, red proves nothing."""
    copy = copied(tmp_path_factory.mktemp("untouched"))
    found = {}
    for tier in sorted({defence.tier for defence in DEFENCES}):
        rows = [defence for defence in DEFENCES if defence.tier == tier and not unfit(defence)]
        names = list(dict.fromkeys(name for row in rows for name in (*row.first, *row.notice)))
        found[tier] = seen(copy, names, tier, bait)
    assert not bait.harmed()
    return found


@pytest.mark.parametrize("tier", sorted({defence.tier for defence in DEFENCES}))
def test_the_untouched_judge_is_right(tier: str, untouched: dict[str, dict[str, Seen]]) -> None:
    if not untouched[tier]:
        pytest.skip(f"no {tier} on this machine")
    assert {name: found for name, found in untouched[tier].items() if not right(CASES[name], found)} == {}


@pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence.words)
def test_the_corpus_misses_a_defence(
    defence: Defence, bait: Bait, untouched: dict[str, dict[str, Seen]], tmp_path: Path
) -> None:
    if reason := unfit(defence) or ("" if untouched[defence.tier] else f"no {defence.tier} on this machine"):
        pytest.skip(reason)
    copy = copied(tmp_path)
    for name, old, new in defence.edits:
        file = copy / "rrtf" / "judge" / name
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        file.write_text(text.replace(old, new), encoding="utf-8")
    found = seen(copy, [*defence.first, *defence.notice], defence.tier, bait)
    harmed = bait.harmed()
    assert right(CASES[HONEST], found[HONEST]), found
    assert {name for name in defence.notice if right(CASES[name], found[name])} == set() or harmed, found
    if not defence.breaks and not harmed:  # an attack that works, not a judge that fell over
        assert "judge_error" not in {found[name].outcome for name in defence.notice}, found
