"""Real multiruns of the command: through each launcher and sweeper that is installed, shared, killed and started again.

The stages that need a model are left out (`stages=[problems]`), so that what is seen is the sweep.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rrtf.sweep.ledger import FILE, Ledger, Point, State

pytestmark = pytest.mark.slow

LAUNCHERS = {
    "basic": ("hydra", "hydra-core", ()),
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "rrtf[sweep]", ("hydra.launcher.n_jobs=2",)),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "rrtf[sweep]", ("hydra.launcher.timeout_min=5",)),
    "ray": ("hydra_plugins.hydra_ray_launcher", "rrtf[ray]", ("+hydra.launcher.ray.init.num_cpus=2",)),
}


def installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def student(folder: Path) -> Path:
    """A checkpoint that has a digest and is never loaded."""
    made = folder / "student"
    made.mkdir(exist_ok=True)
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def command(folder: Path, *more: str, stages: str = "[problems]") -> list[str]:
    fixed = [f"student.checkpoint={student(folder)}", f"store={folder}/store", f"hydra.sweep.dir={folder}/sweep"]
    cheap = ["teachers=[reference]", "benchmarks=[]", "logger=jsonl", f"stages={stages}"]
    return [sys.executable, "-m", "rrtf", "-m", *fixed, *cheap, *more]


def run(folder: Path, *more: str, stages: str = "[problems]") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(folder, *more, stages=stages), capture_output=True, text=True, cwd=folder, check=False)


def points(folder: Path) -> list[Point]:
    return Ledger(folder / "sweep").points() if (folder / "sweep" / FILE).exists() else []


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_sweep_runs_through_each_launcher_and_its_second_run_does_nothing(launcher: str, tmp_path: Path) -> None:
    module, extra, more = LAUNCHERS[launcher]
    if not installed(module):
        pytest.skip(f"needs {extra}")
    overrides = (f"hydra/launcher={launcher}", *more, "loss.rank_weight=1,2")
    done = run(tmp_path, *overrides)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    found = points(tmp_path)
    assert [p.state for p in found] == [State.done] * 2
    assert {p.overrides[-1] for p in found} == {"loss.rank_weight=1", "loss.rank_weight=2"}
    begun = [p.started for p in found]
    assert run(tmp_path, *overrides).returncode == 0
    assert [p.started for p in points(tmp_path)] == begun


def test_optuna_searches_over_points_and_keeps_what_it_tried(tmp_path: Path) -> None:
    if not installed("hydra_plugins.hydra_optuna_sweeper"):
        pytest.skip("needs rrtf[sweep]")
    # without a benchmark there is no score: the search says so, and the ledger has the points all the same
    done = run(tmp_path, "hydra/sweeper=search", "hydra.sweeper.n_trials=2", "loss.rank_weight=interval(0.1,10)")
    assert [p.state for p in points(tmp_path)] == [State.done] * 2, done.stderr[-2000:]


def test_a_failed_point_is_shown_and_the_others_run_on(tmp_path: Path) -> None:
    done = run(tmp_path, "loss.rank_weight=-1,1")
    assert done.returncode == 1
    assert "loss.rank_weight: -1.0 is outside" in done.stdout and "1 done, 1 failed" in done.stdout
    assert [p.state for p in points(tmp_path)] == [State.failed, State.done]


def test_several_gpus_a_point_are_refused_with_the_command_that_works(tmp_path: Path) -> None:
    done = run(tmp_path, "trainer=ddp", "seed=0,1")
    assert done.returncode == 1
    assert "hydra/launcher=submitit_slurm" in done.stdout and "torchrun --nnodes 1 --nproc-per-node 2" in done.stdout


def test_a_sweep_killed_with_sigkill_and_started_again_runs_only_the_missing_point(tmp_path: Path) -> None:
    asked = ("problems.limit=3,5",)
    first = subprocess.Popen(command(tmp_path, *asked), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not any(p.state is State.done for p in points(tmp_path)):
        assert time.monotonic() < end and first.poll() is None
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = {p.identity: p.started for p in points(tmp_path) if p.state is State.done}
    assert len(before) == 1
    assert run(tmp_path, *asked).returncode == 0
    after = points(tmp_path)
    assert [p.state for p in after] == [State.done] * 2
    assert {p.identity: p.started for p in after if p.identity in before} == before


def test_two_sweeps_at_once_share_the_points(tmp_path: Path) -> None:
    student(tmp_path)
    asked = command(tmp_path, "problems.limit=1,2,3,4")
    both = [subprocess.Popen(asked, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    rows = [json.loads(line)["row"] for line in (tmp_path / "sweep" / FILE).read_text().splitlines()]
    assert sorted(row["state"] for row in rows) == ["done"] * 4 + ["running"] * 4
