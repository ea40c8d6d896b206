"""Where the interpreter lies makes no difference to what a candidate may import and where it may write."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import pytest

from rrtf.errors import InfrastructureError
from rrtf.judge import pool
from rrtf.judge.confine import Limits
from rrtf.judge.counting import Overrun, bounded
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Isolation, Judge
from rrtf.judge.zygote import next_order, send_order
from rrtf.records import Outcome, Problem, TestKind, Tests

ROOT = Path(__file__).parents[2]
SCRIPT = """
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.records import Problem, TestKind, Tests

tests = Tests(kind=TestKind.asserts, asserts=("assert f(1) == 2",))
problem = Problem(task_id="a/1", text="", entry_point="f", tests=tests)
first = '''
def f(x):
    import fileinput, installed_here
    open("/tmp/trace", "x").close()
    return installed_here.ADD + x
'''
second = '''
def f(x):
    import os
    return x + (not os.path.exists("/tmp/trace"))
'''
third = '''
def f(x):
    import installed_here
    open(installed_here.__file__, "a").close()
    return x + 1
'''
for verdict in judge([Job(problem, program) for program in (first, second, third)], Judge(workers=1)):
    print(verdict.outcome.value)
"""


def test_an_environment_under_tmp_is_seen_by_candidates_and_stays_as_it_was(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (packages / "installed_here.py").write_text("ADD = 1\n")
    path = os.pathsep.join((str(ROOT), sysconfig.get_paths()["purelib"]))
    done = subprocess.run(
        [python, "-c", SCRIPT], env={"PATH": os.environ["PATH"], "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["all_tests_passed", "all_tests_passed", "runtime_error"], done.stderr
    assert (packages / "installed_here.py").read_text() == "ADD = 1\n"


LEAVES = """
import os
for depth in range(20):
    os.makedirs("d")
    os.chdir("d")
    open("f", "w").close()
os.symlink("/", "link")
def f(x):
    while True:
        pass
"""


@pytest.mark.parametrize("tier", [Isolation.processes, Isolation.landlock])
def test_lower_tiers_leave_no_folder_behind(tier: Isolation) -> None:
    problem = Problem(
        task_id="a/1", text="", entry_point="f", tests=Tests(kind=TestKind.asserts, asserts=("assert f(1) == 2",))
    )
    before = set(Path("/tmp").glob("rrtf-judge-*"))
    try:
        verdicts = judge(
            [Job(problem, LEAVES), Job(problem, f"{LEAVES}# once more")], Judge(workers=1, time_limit=0.1, isolation=tier)
        )
        next(verdicts)
        during = set(Path("/tmp").glob("rrtf-judge-*")) - before
        verdicts.close()  # type: ignore[attr-defined] # while the other one runs
    except InfrastructureError as error:
        pytest.skip(str(error))
    assert during
    assert not [folder for folder in during if folder.exists()]


TEMPORARY = """
import subprocess, sys, tempfile
def f(x):
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"1")
    ask = "import tempfile; print(end=tempfile.gettempdir())"
    assert subprocess.check_output([sys.executable, "-Ic", ask], text=True) == tempfile.gettempdir()
    return x + 1
"""


@pytest.mark.parametrize("tier", [Isolation.processes, Isolation.landlock])
def test_temporary_files_lie_in_the_scratch_of_lower_tiers(tier: Isolation) -> None:
    tests = Tests(kind=TestKind.asserts, asserts=("assert f(1) == 2",))
    problem = Problem(task_id="a/1", text="", entry_point="f", tests=tests)
    try:
        (verdict,) = judge([Job(problem, TEMPORARY)], Judge(workers=1, isolation=tier))
    except InfrastructureError as error:
        pytest.skip(str(error))
    assert verdict.outcome.value == "all_tests_passed", verdict.detail


ENDLESS = """
import os, signal, sys, threading
from pathlib import Path
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Isolation, Judge
from rrtf.records import Problem, TestKind, Tests

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and so their tests, ignore it
program = '''
import os, time
def f(x):
    if os.fork() == 0:
        os.setsid()
    while True:
        time.sleep(0.1)
'''
problem = Problem(task_id="a/1", text="", entry_point="f", tests=Tests(kind=TestKind.asserts, asserts=("assert f(1) == 2",)))
judging = judge([Job(problem, program)], Judge(workers=1, isolation=Isolation(sys.argv[1]), time_limit=60.0))
children = Path(f"/proc/self/task/{os.getpid()}/children")
threading.Timer(1.5, lambda: print(children.read_text(), flush=True)).start()
try:
    next(judging)
except KeyboardInterrupt:
    judging.close()
"""


def _working_in(folders: set[Path]) -> list[str]:
    """Processes whose working folder is, or was, one of these."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            place = str(path.readlink()).removesuffix(" (deleted)")
        except OSError:
            continue
        found += [path.parent.name] if any(place.startswith(str(folder)) for folder in folders) else []
    return found


def _children(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["processes", "landlock"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=lambda end: end.name)
def test_an_interrupted_judge_leaves_no_candidate_running(tier: str, end: signal.Signals) -> None:
    engine = subprocess.Popen([sys.executable, "-c", ENDLESS, tier], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    worker = engine.stdout.readline().strip()
    if not worker:
        pytest.skip(engine.communicate()[1])
    folders = set(Path("/tmp").glob(f"rrtf-judge-{worker}-*"))
    deadline = time.monotonic() + 20  # a busy machine takes a while to start them
    while len(_working_in(folders)) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
        folders = set(Path("/tmp").glob(f"rrtf-judge-{worker}-*"))
    assert len(_working_in(folders)) >= 4  # both halves of the worker, the candidate and its child
    (tester,) = (half for half in _children(worker) if not _children(half))
    os.kill(int(tester), signal.SIGSTOP)  # it dies with news unread, which resets the socket to the other half
    time.sleep(0.3)
    engine.send_signal(end)
    engine.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while (_working_in(folders) or any(folder.exists() for folder in folders)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _working_in(folders) == []
    assert not any(folder.exists() for folder in folders)


def test_tests_may_not_wait_for_ever() -> None:
    started = time.monotonic()
    with pytest.raises(Overrun), bounded(0.02):
        time.sleep(60)
    assert time.monotonic() - started < 30


def test_a_damaged_cached_verdict_is_judged_again(tmp_path: Path) -> None:
    tests = Tests(kind=TestKind.asserts, asserts=("assert f(1) == 2",))
    job = Job(Problem(task_id="a/1", text="", entry_point="f", tests=tests), "def f(x):\n    return x + 1\n")
    cache = tmp_path / "verdicts.jsonl"
    (first,) = judge([job], Judge(workers=1), cache=cache)
    cache.write_text(cache.read_text().replace('"all_tests_passed"', '"all_good"'))
    (second,) = judge([job], Judge(workers=1), cache=cache)
    assert first.outcome is second.outcome is Outcome.all_tests_passed


def test_a_named_tier_takes_no_verdict_of_another_from_the_cache(tmp_path: Path) -> None:
    tests = Tests(kind=TestKind.asserts, asserts=("assert f(1) == 2",))
    job = Job(Problem(task_id="a/1", text="", entry_point="f", tests=tests), "def f(x):\n    return x + 1\n")
    cache = tmp_path / "verdicts.jsonl"
    (lowest,) = judge([job], Judge(workers=1, isolation=Isolation.processes), cache=cache)
    assert lowest.isolation.startswith("processes")
    (any_tier,) = judge([job], Judge(workers=1), cache=cache)
    assert any_tier == lowest
    try:
        (named,) = judge([job], Judge(workers=1, isolation=Isolation.namespaces), cache=cache)
    except InfrastructureError as error:
        pytest.skip(str(error))
    assert named.isolation.startswith("namespaces")


def test_a_worker_that_can_not_start_after_others_did_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tests = Tests(kind=TestKind.asserts, asserts=("assert f(1) == 2",))
    jobs = [Job(Problem(task_id=f"a/{n}", text="", entry_point="f", tests=tests), f"f = lambda x: x + {n}") for n in range(500)]

    def start_one(settings: Judge, cpu: int | None) -> pool.Worker:
        worker = start(settings, cpu)
        monkeypatch.setattr(pool, "BOOT", """print('{"refused": "no room for another"}')""")  # what a worker says then
        return worker

    start = pool.start
    monkeypatch.setattr(pool, "start", start_one)
    with pytest.raises(InfrastructureError, match="no room for another"):
        list(judge(iter(jobs), Judge(workers=2)))


def test_a_stop_that_came_late_stands_before_the_next_order() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, Path(os.devnull).open() as null:
        ours.sendall(b'{"stop": 1}\n')  # the program had ended by itself
        send_order(ours, Limits(1.0, 1, 2, 3), [null.fileno()])
        order = next_order(theirs)
        assert order is not None
        limits, descriptors = order
        assert limits == Limits(1.0, 1, 2, 3)
        assert [os.fstat(descriptor).st_rdev for descriptor in descriptors] == [os.fstat(null.fileno()).st_rdev]
        for descriptor in descriptors:
            os.close(descriptor)
        ours.close()
        assert next_order(theirs) is None
