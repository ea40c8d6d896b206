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

import fake_slurm
import pytest
import tiny_models
from wandb_files import Stored, offline

from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet
from rrtf.report.metrics import read_metrics
from rrtf.report.rows import read
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
    asked = [*trains(tmp_path), "trainer.devices=1", "trainer.strategy=single", "rounds=0", "hydra/sweeper=search"]
    asked += ["hydra.sweeper.n_trials=2", "loss.rank_weight=interval(0.1,10)", f"hydra.sweep.dir={tmp_path}/sweep"]
    command = [sys.executable, "-m", "rrtf", "-m", *asked]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=550)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    found = points(tmp_path)
    assert [(p.state, p.score) for p in found] == [(State.done, 0.0)] * 2
    best = (tmp_path / "sweep" / "optimization_results.yaml").read_text()
    assert "best_value: 0.0" in best and "loss.rank_weight" in best


def test_a_sweep_in_one_process_gives_one_wandb_run_a_point_with_its_settings(tmp_path: Path) -> None:
    done = run(tmp_path, "logger=wandb", "loss.rank_weight=1,2", "name=study")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    stored = {}
    for one in points(tmp_path):
        (path,) = offline(Path(one.run_dir))
        stored[next(text for text in one.overrides if text.startswith("loss."))] = Stored(path)
    assert set(stored) == {"loss.rank_weight=1", "loss.rank_weight=2"}
    assert len({found.run.run_id for found in stored.values()}) == 2
    for text, found in stored.items():
        assert found.run.run_group == "study" and text in found.run.display_name
        assert found.config["loss"]["rank_weight"] == float(text[-1]) and len(found.config["commit"]) in (0, 40)
        assert found.config["digests"] and isinstance(found.config["dirty"], bool)


def test_a_failed_point_is_shown_and_the_others_run_on(tmp_path: Path) -> None:
    done = run(tmp_path, "loss.rank_weight=-1,1")
    assert done.returncode == 1
    assert "loss.rank_weight: -1.0 is outside" in done.stdout and "1 done, 1 failed" in done.stdout
    assert [p.state for p in points(tmp_path)] == [State.failed, State.done]


def test_several_gpus_a_point_are_refused_with_the_command_that_works(tmp_path: Path) -> None:
    done = run(tmp_path, "trainer=ddp", "seed=0,1")
    assert done.returncode == 1
    assert "hydra/launcher=submitit_slurm" in done.stdout and "torchrun --nnodes 1 --nproc-per-node 2" in done.stdout


def trains(folder: Path) -> list[str]:
    """A run that trains a tiny model on two devices, which are processes here, twice over."""
    model = tiny_models.save(folder / "tiny", max_position_embeddings=4096)
    fixed = [f"student.checkpoint={model}", "student.profile.style=plain", "student.precision=float32", f"store={folder}/store"]
    rows = [
        {"task_id": problem.task_id, "model": "wrong", "code": f"{problem.signature}\n    return None\n"}
        for problem in load(ProblemSet(split="train", limit=6))
    ]
    (folder / "wrong.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fixed += ["teachers=[reference,recorded]", f"teachers.recorded.path={folder}/wrong.jsonl", "problems.limit=6"]
    fixed += ["sampling.n=1", "sampling.max_new_tokens=4", "logger=jsonl", "batching.max_length=4096"]
    fixed += ["batching.prompts_per_step=2", "batching.epochs=1", "trainer.generations=0", "trainer.precision=fp32", "rounds=2"]
    fixed += ["benchmarks=[builtin_heldout]", "benchmarks.builtin_heldout.problems.limit=2", "judge.workers=1"]
    return [*fixed, "benchmarks.builtin_heldout.protocol.max_new_tokens=4", "trainer.devices=2", "trainer.strategy=ddp"]


def steps_trained(path: Path) -> list[int]:
    return [step for step, _ in read_metrics(path / "metrics.jsonl")["train/loss"]]


def test_a_run_on_two_devices_is_one_run_of_two_processes(tmp_path: Path) -> None:
    alone = [sys.executable, "-m", "rrtf", *trains(tmp_path), f"hydra.run.dir={tmp_path}/run"]
    refused = subprocess.run(alone, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert refused.returncode == 2 and "torchrun --nnodes 1 --nproc-per-node 2" in refused.stderr
    assert not (tmp_path / "store" / "sample").exists(), "hours of sampling would be before the mistake is named"
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *alone[1:]]
    for _ in range(2):
        done = subprocess.run(together, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=550)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    rows = read(tmp_path / "run" / "results.jsonl")
    assert [row.scores for row in rows] == [rows[0].scores] * 2 and all(stage.cached for stage in rows[1].stages)
    steps = steps_trained(tmp_path / "run")
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 4


def test_a_sweep_over_two_devices_a_point_goes_through_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not installed("hydra_plugins.hydra_submitit_launcher"):
        pytest.skip("needs rrtf[sweep]")
    monkeypatch.setenv("PATH", f"{fake_slurm.install(tmp_path / 'bin')}:{os.environ['PATH']}")
    asked = [*trains(tmp_path), "hydra/launcher=submitit_slurm", "hydra.launcher.tasks_per_node=2", "loss.rank_weight=-1,1,2"]
    sweep = [sys.executable, "-m", "rrtf", "-m", *asked, f"hydra.sweep.dir={tmp_path}/sweep"]
    done = subprocess.run(sweep, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=550)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    states = {p.overrides[-1]: p.state for p in points(tmp_path)}
    assert states.pop("loss.rank_weight=-1") is State.failed and set(states.values()) == {State.done} and len(states) == 2
    folders = [Path(p.run_dir) for p in points(tmp_path) if p.state is State.done]
    assert all(len(read(folder / "results.jsonl")) == 1 for folder in folders)
    assert steps_trained(folders[0]) == steps_trained(folders[1])


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
