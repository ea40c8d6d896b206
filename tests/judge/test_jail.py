"""Where the interpreter lies makes no difference to what a candidate may import and where it may write."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from rrtf.errors import InfrastructureError
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Isolation, Judge
from rrtf.records import Problem, TestKind, Tests

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
