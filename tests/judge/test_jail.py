"""Where the interpreter lies makes no difference to what a candidate may import and where it may write."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

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
