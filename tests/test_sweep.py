"""The ledger of a sweep under several processes, failures and SIGKILL."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from rrtf.errors import UserError
from rrtf.judge.settings import Judge
from rrtf.sweep import command, ledger
from rrtf.sweep.callback import ShowPoints
from rrtf.sweep.launching import launch_mistakes
from rrtf.sweep.ledger import Ledger, Point, State
from rrtf.sweep.point import BEGAN, run_point

# one process of a sweep over the points 0..7: each point writes a line when it starts and one when it ends
PROCESS = """
import os, sys, time
from pathlib import Path
from rich.console import Console
from rrtf.sweep.ledger import Point
from rrtf.sweep.point import run_point
folder, seconds, forks = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:] == ["fork"]
def work(name):
    with (folder / "worked").open("a") as file:
        file.write(f"{name}\\n")
    if forks and os.fork() == 0:  # a worker that outlives its parent must not keep the point
        time.sleep(5)
        os._exit(0)
    time.sleep(seconds)
    return float(name)
for name in "01234567":
    where = folder / name
    where.mkdir(exist_ok=True)
    point = Point(identity=name, overrides=(f"a={name}",), run_dir=str(where))
    score = run_point(lambda: work(name), ledger=folder, point=point, searching=False, console=Console())
    print(score, flush=True)
"""


def start(folder: Path, seconds: float, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), str(seconds), *more], stdout=subprocess.PIPE, text=True
    )


def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.02)


def worked(folder: Path) -> list[str]:
    path = folder / "worked"
    return path.read_text().split() if path.exists() else []


def point(tmp_path: Path, name: str = "p", **more: object) -> Point:
    where = tmp_path / name
    where.mkdir(exist_ok=True)
    return Point(identity=name, overrides=(f"a={name}",), run_dir=str(where), **more)  # type: ignore[arg-type]


def run(folder: Path, one: Point, work: Callable[[], float | None], *, searching: bool = False) -> float | None:
    with (folder / "out").open("a") as file:
        return run_point(work, ledger=folder, point=one, searching=searching, console=Console(file=file))


def test_two_processes_share_the_points_and_do_none_twice(tmp_path: Path) -> None:
    processes = [start(tmp_path, 0.05) for _ in range(3)]
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(worked(tmp_path)) == list("01234567")
    assert all("None" in text or "0.0" in text for text in printed)
    assert {p.state for p in Ledger(tmp_path).points()} == {State.done}


def test_a_killed_process_loses_its_running_point_only(tmp_path: Path) -> None:
    first = start(tmp_path, 0.4, "fork")
    until(lambda: len(worked(tmp_path)) == 3)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert first.stdout
    first.stdout.close()
    states = [p.state for p in Ledger(tmp_path).points()]
    assert states == [State.done, State.done, State.stopped]  # though the child of the killed process still sleeps
    second = start(tmp_path, 0.0)
    second.communicate(timeout=60)
    assert worked(tmp_path) == list("012") + list("234567")


def test_a_killed_writer_leaves_half_a_line_and_the_next_one_goes_on(tmp_path: Path) -> None:
    run(tmp_path, point(tmp_path), lambda: 1.0)
    with (tmp_path / ledger.FILE).open("a") as file:
        file.write('{"key": "q", "row": {"identi')
    assert run(tmp_path, point(tmp_path), lambda: 2.0) == 1.0


def test_a_failed_point_is_shown_written_down_and_run_again(tmp_path: Path) -> None:
    def breaks() -> float:
        raise ValueError("no [red] such thing")

    assert run(tmp_path, point(tmp_path), breaks) is None
    assert "no [red] such thing" in (tmp_path / "out").read_text()
    (row,) = Ledger(tmp_path).points()
    assert (row.state, row.error, row.score) == (State.failed, "ValueError: no [red] such thing", None)
    assert "raise ValueError" in (tmp_path / "p" / "error.txt").read_text()
    assert run(tmp_path, point(tmp_path), lambda: 3.0) == 3.0
    assert [row.state for row in Ledger(tmp_path).points()] == [State.done]


def test_a_user_mistake_needs_no_traceback_and_a_search_gets_the_exception(tmp_path: Path) -> None:
    def refuses() -> float:
        raise UserError("no such model")

    with pytest.raises(UserError):
        run(tmp_path, point(tmp_path), refuses, searching=True)
    assert not (tmp_path / "p" / "error.txt").exists()


def test_a_done_point_whose_files_were_deleted_runs_again(tmp_path: Path) -> None:
    one = point(tmp_path)
    assert run(tmp_path, one, lambda: 1.0) == 1.0
    Path(one.run_dir).rmdir()
    assert run(tmp_path, one, lambda: 2.0) == 2.0


def test_a_search_waits_for_the_score_of_a_point_that_runs_elsewhere(tmp_path: Path) -> None:
    other = start(tmp_path, 1.0)
    until(lambda: worked(tmp_path) == ["0"])
    assert run(tmp_path, point(tmp_path, "0"), lambda: 9.0, searching=True) == 0.0
    other.kill()
    other.communicate()


def test_a_point_that_ends_between_the_look_and_the_claim_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = point(tmp_path)
    other = Ledger(tmp_path)
    taken = other.take(one)

    def ends_meanwhile(path: Path, *, same_host: bool) -> bool:
        assert taken.claim
        other.finish(taken, score=0.5)
        taken.claim.release()
        monkeypatch.undo()
        return False

    monkeypatch.setattr(ledger, "lives", ends_meanwhile)
    again = Ledger(tmp_path).take(one)
    assert again.claim is None and (again.point.state, again.point.score) == (State.done, 0.5)


def test_a_point_that_fails_is_tried_once_by_all_who_share_the_sweep_and_again_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def breaks() -> float:
        tried.append(1)
        raise ValueError("broken")

    monkeypatch.setenv(BEGAN, str(time.time()))
    for _ in range(2):
        assert run(tmp_path, point(tmp_path), breaks) is None
    assert len(tried) == 1 and "failed just now in process" in (tmp_path / "out").read_text()
    time.sleep(0.02)
    monkeypatch.setenv(BEGAN, str(time.time()))
    run(tmp_path, point(tmp_path), breaks)
    assert len(tried) == 2


def test_a_point_on_another_host_is_believed_alive_while_its_heart_beats(tmp_path: Path) -> None:
    book = Ledger(tmp_path)
    there = replace(point(tmp_path), host="elsewhere", pid=1, started=time.time())
    book.log.append(there.identity, there)
    claim = tmp_path / "locks" / f"{there.identity}.lock"
    claim.parent.mkdir(exist_ok=True)
    claim.touch()
    assert book.take(there).claim is None
    os.utime(claim, (0, time.time() - 600))
    taken = book.take(there)
    assert taken.claim is not None
    taken.claim.release()


def test_identity_sees_settings_inputs_and_code_and_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(settings: object, *inputs: str) -> str:
        return ledger.identity(settings, inputs=inputs)

    base = {"judge": Judge(), "run_dir": "a", "store": "b", "problems": {"data_dir": "c", "path": "d"}}
    moved = base | {"run_dir": "A", "store": "B", "problems": {"data_dir": "C", "path": "d"}}
    assert of(base, "1", "2") == of(moved, "2", "1")
    others = [of(base | {"judge": Judge(workers=3)}, "1", "2"), of(base, "1"), of(base | {"problems": {"path": "e"}}, "1", "2")]
    monkeypatch.setattr(ledger, "code_version", lambda: "another")
    others.append(of(base, "1", "2"))
    monkeypatch.undo()
    assert len({of(base, "1", "2"), *others}) == 5


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(list(State)), st.text(max_size=30)), max_size=12))
def test_any_ledger_makes_a_table_with_one_row_a_set_of_overrides(rows: list[tuple[str, State, str]]) -> None:
    points = [
        Point(identity=str(n), overrides=("seed=1", f"x=[{name}]"), run_dir="r", state=state, error=text, started=float(n))
        for n, (name, state, text) in enumerate(rows)
    ]
    kept = command.latest(points)
    assert len(kept) == len({name for name, _, _ in rows})
    assert {p.identity for p in kept} >= {points[-1].identity} if points else not kept
    assert command.table(kept, title="t").row_count == len(kept)


def status(folder: Path) -> "subprocess.CompletedProcess[str]":
    code = "from rrtf.sweep.command import main; main()"
    return subprocess.run([sys.executable, "-c", code, "status", str(folder)], capture_output=True, text=True, check=False)


def test_the_command_prints_the_points_and_its_exit_status_tells_of_failures(tmp_path: Path) -> None:
    missing = status(tmp_path)
    assert (missing.returncode, "no such file" in missing.stderr) == (2, True)
    run(tmp_path, point(tmp_path, "1"), lambda: 0.25)
    shown = status(tmp_path)
    assert shown.returncode == 0 and "0.2500" in shown.stdout and "a=1" in shown.stdout and "1 done" in shown.stdout
    run(tmp_path, point(tmp_path, "2"), lambda: 1 / 0)
    shown = status(tmp_path)
    assert shown.returncode == 1 and "ZeroDivisionError: division by zero" in shown.stdout and "1 failed" in shown.stdout


def test_a_multirun_ends_with_the_table_and_fails_with_its_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BEGAN, "inf")  # the callback sets it; here it is set back at the end

    class Node:
        def __init__(self, **values: object) -> None:
            self.__dict__.update(values)

    config = Node(hydra=Node(sweep=Node(dir=str(tmp_path))))
    first, second = ShowPoints(), ShowPoints()
    first.on_multirun_start(config)
    first.on_multirun_end(config)  # nothing ran: nothing to show
    run(tmp_path, point(tmp_path), lambda: 0.5)
    first.on_multirun_end(config)
    assert "1 done" in capsys.readouterr().out
    run(tmp_path, point(tmp_path, "q"), lambda: 1 / 0)
    with pytest.raises(SystemExit):
        first.on_multirun_end(config)
    second.on_multirun_start(config)
    second.on_multirun_end(config)  # an earlier command's failure is shown and not this one's
    assert "1 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("launcher", "devices", "nodes", "tasks", "wrong"),
    [
        ("basic", 1, 1, 1, ""),
        ("joblib", 2, 1, 1, "torchrun --nnodes 1 --nproc-per-node 2"),
        ("basic", 4, 2, 1, "hydra/launcher=submitit_slurm hydra.launcher.nodes=2 hydra.launcher.tasks_per_node=4"),
        ("submitit_slurm", 2, 1, 1, "hydra.launcher.tasks_per_node=2"),
        ("submitit_slurm", 2, 1, 2, ""),
    ],
)
def test_several_gpus_a_point_need_a_launcher_that_starts_them(
    launcher: str, devices: int, nodes: int, tasks: int, wrong: str
) -> None:
    found = launch_mistakes(launcher=launcher, devices=devices, nodes=nodes, tasks_per_node=tasks)
    assert [wrong in text for text in found] == ([True] if wrong else [])


def test_the_ledger_writes_two_short_rows_a_point_however_many_steps_it_has(tmp_path: Path) -> None:
    run(tmp_path, point(tmp_path), lambda: 1.0)
    rows = [json.loads(line) for line in (tmp_path / ledger.FILE).read_text().splitlines()]
    assert [row["row"]["state"] for row in rows] == ["running", "done"]
    assert sum(len(json.dumps(row)) for row in rows) < 2000
