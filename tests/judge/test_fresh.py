"""What every candidate starts from: a fork that has learned its way beforehand, and nothing of what it learned it on."""

import os

import pytest

from rrtf.judge import wire
from rrtf.judge.engine import Job, judge
from rrtf.judge.pool import cpus
from rrtf.judge.settings import Isolation, Judge
from rrtf.judge.tasks import Task
from rrtf.records import Outcome, Problem, StdioPair, TestKind, Tests, Verdict


def _verdict(program: str, wanted: str, *, workers: int = 1, isolation: Isolation = Isolation.auto) -> Verdict:
    tests = Tests(kind=TestKind.asserts, asserts=(f"assert f() == {wanted}",))
    problem = Problem(task_id="a/1", text="", entry_point="f", tests=tests)
    (verdict,) = judge([Job(problem, program)], Judge(workers=workers, isolation=isolation))
    return verdict


@pytest.mark.parametrize("isolation", [Isolation.auto, Isolation.processes])
def test_nothing_is_loaded_that_acts_at_every_fork(isolation: Isolation) -> None:
    """`random` draws a new state in each fork and `threading` goes through its threads: a tenth of a short program's time."""
    loaded = "import sys\ndef f(): return [n for n in ('random', 'threading', 'tempfile') if n in sys.modules]\n"
    assert _verdict(loaded, "[]", isolation=isolation).outcome is Outcome.all_tests_passed


def test_what_the_way_was_rehearsed_with_is_gone() -> None:
    """A script is no module `solution`, so it could import that one."""
    tests = Tests(kind=TestKind.stdio, pairs=(StdioPair(input="", output="False"),))
    job = Job(Problem(task_id="a/1", text="", entry_point="", tests=tests), "import sys\nprint('solution' in sys.modules)\n")
    (verdict,) = judge([job], Judge(workers=1))
    assert verdict.outcome is Outcome.all_tests_passed


@pytest.mark.parametrize("isolation", [Isolation.auto, Isolation.processes])
def test_the_temporary_folder_is_the_scratch_though_nobody_loaded_tempfile(isolation: Isolation) -> None:
    program = (
        "import tempfile\ndef f():\n    with tempfile.NamedTemporaryFile('w+') as t:\n        t.write('x')\n        t.seek(0)\n"
    )
    assert _verdict(program + "        return t.read()\n", "'x'", isolation=isolation).outcome is Outcome.all_tests_passed


@pytest.mark.skipif(len(cpus()) < 2, reason="one CPU is all there is")
def test_workers_stay_on_a_cpu_only_where_each_cpu_has_as_many() -> None:
    program = "import os\ndef f(): return len(os.sched_getaffinity(0))\n"
    assert _verdict(program, "1", workers=len(cpus())).outcome is Outcome.all_tests_passed
    assert _verdict(program, str(len(os.sched_getaffinity(0)))).outcome is Outcome.all_tests_passed


def test_arguments_come_back_only_where_the_program_changed_them() -> None:
    """Else both sides would pack, send and write back every list that a test passes, and its function with it."""
    tests = Tests(
        kind=TestKind.asserts, asserts=("numbers = [3, 1]\nassert f(numbers) == 3\nassert numbers == [3, 1]\nf(numbers[:])",)
    )
    problem = Problem(task_id="a/1", text="", entry_point="f", tests=tests)
    spy = (
        "import sys\nof = sys.modules['rrtf.judge.candidate'].Channel\nsend = of.send\n"
        "def spied(self, message):\n    assert 'a' not in message, message\n    send(self, message)\nof.send = spied\n"
    )
    unchanged, changed = f"{spy}def f(n): return len(n) + 1\n", f"{spy}def f(n):\n    n.sort()\n    return len(n) + 1\n"
    first, second = judge([Job(problem, unchanged), Job(problem, changed)], Judge(workers=1))
    assert (first.outcome, second.passed) == (Outcome.all_tests_passed, 0)


def test_those_that_may_be_endless_begin_first() -> None:
    programs = ("x = 1", "for i in range(9): pass", "x = 2 ** 9", "while True: pass")
    problem = Problem(task_id="a/1", text="", entry_point="f", tests=Tests(kind=TestKind.asserts, asserts=("assert f",)))
    tasks = [Task("", problem, "", program, 1.0) for program in programs]
    assert [task.program for task in sorted(tasks, key=Task.brevity)] == list(reversed(programs))


@pytest.mark.parametrize("body", [b"", b"1 2", b" 1", b"1 ", b"[1", b"{", b"\xff", b"[" * 100_000])
def test_a_message_is_one_json_value_and_nothing_else(body: bytes) -> None:
    with pytest.raises(wire.Violation):
        wire.parse(body)


@pytest.mark.parametrize("value", [1.5, float("inf"), 'é\ud800\n"', None, True, [], {"a": [1, {"b": "c"}]}, 1 << 60])
def test_what_is_packed_is_read_as_it_was(value: object) -> None:
    assert wire.parse(wire.dumps(value)) == value
