"""Tests that can't run across the border are the judge's own error, in words; never a score for a program."""

import pytest

from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.records import Outcome, Problem, TestKind, Tests

CALLS = {
    "the tests pass a Struct": "import struct\n\n\ndef test_it():\n    assert f(struct.Struct('i')) == 1\n",
    "the tests pass a socket": "import socket\n\n\ndef test_it():\n    with socket.socket() as s:\n        assert f(s) == 1\n",
    "the tests need files": (
        "import subprocess\n\n\ndef test_it(tmp_path):\n    assert f(tmp_path) == subprocess.call([tmp_path / 'made'])\n"
    ),
    "the tests need the program's log": "def test_it(caplog):\n    assert f(1) == 1\n",
    "the tests need pytest's fixture 'pytestconfig'": "def test_it(pytestconfig):\n    assert f(1) == 1\n",
    "the tests' class Mine calls super()": (
        "class Outer:\n    class Mine(Base):\n        def __init__(self):\n            super().__init__()\n"
        "\n\ndef test_it():\n    assert f(Outer.Mine()) == 1\n"
    ),
}
PROGRAM = "class Base:\n    pass\ndef f(x):\n    return 1\n"


@pytest.mark.parametrize("reason", CALLS)
def test_tests_that_cannot_run_are_the_judges_error(reason: str) -> None:
    tests = Tests(kind=TestKind.pytest, code=CALLS[reason])
    problem = Problem(task_id="one", text="one", entry_point="f", tests=tests)
    after = Problem(
        task_id="two", text="two", entry_point="f", tests=Tests(kind=TestKind.asserts, asserts=("assert f(0) == 1",))
    )
    jobs = [Job(problem, PROGRAM), Job(problem, f"{PROGRAM}# another\n"), Job(after, PROGRAM)]
    *verdicts, good = judge(jobs, Judge(workers=1, max_judge_errors=1.0))
    for verdict in verdicts:
        assert verdict.outcome is Outcome.judge_error
        assert reason in verdict.detail and ("can't be sent" in verdict.detail or "not supported" in verdict.detail)
    assert good.outcome is Outcome.all_tests_passed  # the worker goes on
