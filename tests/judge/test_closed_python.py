"""A Python that only root can read: honest programs import from it in every tier, and candidates gain nothing by it."""

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root's candidates become another user")

ROOT = Path(__file__).parents[2]
SCRIPT = """
import ctypes, json, sys
from rrtf.errors import InfrastructureError
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Isolation, Judge
from rrtf.records import Problem, TestKind, Tests

tier, secret, *lost = sys.argv[1:]
for power in lost:
    assert ctypes.CDLL(None).prctl(24, int(power), 0, 0, 0) == 0  # out of the bounding set: no program started can have it
tests = Tests(kind=TestKind.asserts, asserts=("assert f(1) == 2",))
problem = Problem(task_id="a/1", text="", entry_point="f", tests=tests)
programs = (
    "def f(x):\\n    import wave, installed_here\\n    return installed_here.ADD + x\\n",
    "import subprocess, sys\\ndef f(x):\\n    return 1 + len(subprocess.check_output([sys.executable, '-Ic',"
    " 'import wave, installed_here; print(end=str(installed_here.ADD))']))\\n",
    f"def f(x):\\n    return x + bool(open({secret!r}).read())\\n",
    "def f(x):\\n    import installed_here\\n    open(installed_here.__file__, 'a').close()\\n    return x + 1\\n",
    "def f(x):\\n    import os, installed_here\\n    os.chmod(installed_here.__file__, 0o600)\\n    return x + 1\\n",
    "def f(x):\\n    import os\\n    return x + (0 in (os.getuid(), os.geteuid(), os.getgid()))\\n",
    "import ctypes, os\\ndef f(x):\\n    wanted = (ctypes.c_uint32 * 6)(*[1 << 7] * 3)  # CAP_SETUID\\n"
    "    ctypes.CDLL(None).capset(ctypes.byref((ctypes.c_uint32 * 2)(0x20080522, 0)), wanted)\\n"
    "    os.setuid(0)\\n    return x + 1\\n",
)
try:
    verdicts = list(judge([Job(problem, program) for program in programs], Judge(workers=1, isolation=Isolation(tier))))
except InfrastructureError as error:
    sys.exit(str(error))
print(json.dumps([[verdict.outcome.value == "all_tests_passed" for verdict in verdicts], verdicts[0].isolation]))
"""
READ, OVERRIDE = "2", "1"  # the powers of root that read any file, by their numbers: CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A virtual environment in a folder that is closed to everyone else."""
    venv.create(tmp_path / "env", symlinks=True)
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (packages / "installed_here.py").write_text("ADD = 1\n")
    (tmp_path / "env").chmod(0o700)
    (tmp_path / "secret").write_text("a file of this user")
    (tmp_path / "secret").chmod(0o600)
    return tmp_path


def judged(closed: Path, tier: str, *lost: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [closed / "env/bin/python", "-c", SCRIPT, tier, str(closed / "secret"), *lost],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join((str(ROOT), sysconfig.get_paths()["purelib"]))},
        capture_output=True,
        text=True,
    )
    if not lost and f"{tier}: " in done.stderr:
        pytest.skip(done.stderr)
    return done


@pytest.mark.parametrize(
    ("tier", "secret_is_open"), [("namespaces", "false"), ("landlock", "false"), ("processes", "true")], ids=lambda part: part
)
def test_honest_programs_import_from_it(closed: Path, tier: str, secret_is_open: str) -> None:
    done = judged(closed, tier)
    assert done.stdout == f'[[true, true, {secret_is_open}, false, false, false, false], "{tier}, reading as root"]\n', (
        done.stderr
    )


def test_landlock_stands_in_for_a_power_that_containers_lack(closed: Path) -> None:
    done = judged(closed, "landlock", READ)
    if "this kernel has no Landlock" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout == '[[true, true, false, false, false, false, false], "landlock, reading as root"]\n', done.stderr


@pytest.mark.parametrize(("tier", "lost"), [("processes", (READ,)), ("landlock", (READ, OVERRIDE))])
def test_a_tier_that_can_not_read_it_is_refused_in_words(closed: Path, tier: str, lost: tuple[str, ...]) -> None:
    done = judged(closed, tier, *lost)
    assert "can't read /" in done.stderr and "chmod" in done.stderr, done.stdout + done.stderr


def test_a_package_that_was_installed_for_root_alone_counts(closed: Path) -> None:
    """As by pip with umask 077 in an environment that is open itself."""
    (closed / "env").chmod(0o755)
    (packages,) = (closed / "env").glob("lib/python*/site-packages")
    (packages / "installed_here.py").chmod(0o600)
    assert '"namespaces, reading as root"' in judged(closed, "namespaces").stdout
    (packages / "installed_here.py").chmod(0o644)
    assert '"namespaces"' in judged(closed, "namespaces").stdout
