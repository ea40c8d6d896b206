import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import wandb_server
from report_samples import judged, problems, run_row
from wandb_files import Stored, offline, records

from rrtf.report.logs import RunLogs
from rrtf.report.metrics import read_metrics
from rrtf.report.provenance import commit
from rrtf.report.settings import Logger, WandbMode

SECRET = "sk-thisisaverysecretvalue"


def logs(folder: Path, *, identity="run0", overrides=("optim.learning_rate=2e-5",), config=None, **settings) -> RunLogs:
    config = config or {"optim": {"learning_rate": 2e-5}}
    return RunLogs(
        Logger(**settings), experiment="quickstart", overrides=overrides, config=config, identity=identity, folder=folder
    )


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_SERVICE", raising=False)


def test_three_runs_in_one_process_are_three_runs_each_with_its_own_config_and_numbers(tmp_path):
    row = run_row(commit="c" * 40, dirty=True, digests={"train": "0123456789abcdef"})
    for i in range(3):
        log = logs(tmp_path / str(i), identity=f"run{i}", overrides=(f"seed={i}",), config={"seed": i})
        for step in range(1, 4):
            log(step, {"train/loss": i + 1 / step})
        log.answers(3, {"def f(): \ud800": "    pass"})
        log.finish(row, judged={"training": judged(problems(), "student", 0.3)})
    for i in range(3):
        (path,) = offline(tmp_path / str(i))
        stored = Stored(path)
        assert (stored.run.run_id, stored.run.run_group, stored.run.display_name) == (f"run{i}", "quickstart", f"seed={i}")
        assert stored.run.job_type == "train"
        assert (stored.config["seed"], stored.config["overrides"]) == (i, [f"seed={i}"])
        assert (stored.config["commit"], stored.config["dirty"]) == ("c" * 40, True)
        assert stored.config["digests"] == {"train": "0123456789abcdef"}
        losses = [(h["train/step"], h["train/loss"]) for h in stored.history if "train/loss" in h]
        assert losses == [(step, i + 1 / step) for step in range(1, 4)]
        assert stored.summary["builtin_heldout/trained/pass@1"] == row.scores[4].value
        table = next(h["candidates/training.path"] for h in stored.history if "candidates/training.path" in h)
        content = json.loads((path.parent / "files" / table).read_text())
        assert {"outcome", "program"} <= set(content["columns"])
        assert len(content["data"]) == 30
        answers = next(h["validation/answers.path"] for h in stored.history if "validation/answers.path" in h)
        assert json.loads((path.parent / "files" / answers).read_text())["data"] == [[3, "def f(): ?", "    pass"]]


def test_the_same_numbers_are_in_metrics_jsonl_with_no_wandb_at_all(tmp_path):
    row = run_row()
    log = logs(tmp_path, mode=WandbMode.disabled)
    log(1, {"train/loss": 0.5})
    log.finish(row)
    assert not (tmp_path / "wandb").exists()
    series = read_metrics(tmp_path / "metrics.jsonl")
    assert series["train/loss"] == [(1, 0.5)]
    assert series["builtin_heldout/trained/pass@1"] == [(1, row.scores[4].value)]


def test_disabled_never_imports_wandb():
    code = "import sys, rrtf.report.logs, rrtf.report.tables; assert not {'wandb', 'matplotlib', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_secret_lands_in_any_file(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    config = {
        "api": {"api_key": "plainsecret", "note": f"key {SECRET}", "url": "https://me:plainsecret@host/v1", "max_tokens": 7}
    }
    log = logs(tmp_path, overrides=("teachers.api.token=plainsecret", f"note={SECRET}"), config=config)
    log.finish(run_row())
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert b"plainsecret" not in content, path
    (path,) = offline(tmp_path)
    assert Stored(path).config["api"]["max_tokens"] == 7


def test_hostile_programs_do_not_break_the_table(tmp_path):
    rows = [
        replace(row, candidate=replace(row.candidate, program="\ud800\x00<script>" + "x" * 10_000))
        for row in judged(problems(3), "student", 0.3)
    ]
    log = logs(tmp_path)
    log.finish(run_row(), judged={"training": rows})
    (table,) = tmp_path.rglob("*.table.json")
    content = json.loads(table.read_text())
    assert len(content["data"]) == 3
    assert all(len(cell) <= 4000 for row in content["data"] for cell in row if isinstance(cell, str))


def test_long_paths_do_not_push_out_of_the_name_what_tells_runs_apart():
    from rrtf.report.wandb_log import run_name

    shared = [f"student.checkpoint=/a/{'long/' * 30}path", f"store=/an/{'other/' * 30}one", "teachers=[reference,recorded]"]
    assert run_name("e", [*shared, "loss.rank_weight=3"]).endswith("[reference,recorded] loss.rank_weight=3")
    assert run_name("e", ["loss.rank_weight=3", *shared]).startswith("loss.rank_weight=3 student.checkpoint=…")


def test_a_long_or_odd_name_is_taken(tmp_path):
    log = logs(tmp_path, overrides=tuple(f"teachers.{'x' * 50}{i}=[a, b]/é" for i in range(20)))
    log.finish(run_row())
    (path,) = offline(tmp_path)
    assert len(Stored(path).run.display_name) <= 128


@pytest.mark.slow
def test_a_killed_run_keeps_its_steps_and_goes_on_under_the_same_id(tmp_path):
    tests = Path(__file__).parent
    code = (
        f"import sys, time; sys.path[:0] = [{str(tests)!r}]\n"
        "from pathlib import Path; from test_wandb import logs\n"
        f"log = logs(Path({str(tmp_path)!r}), identity='same')\n"
        "for step in range(1, 4): log(step, {'train/loss': float(step)})\n"
        "time.sleep(2); print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, signal.SIGKILL)
    log = logs(tmp_path, identity="same")
    for step in (3, 4):
        log(step, {"train/loss": float(step)})
    log.finish(run_row())
    killed, resumed = offline(tmp_path)
    assert killed.name == resumed.name == "run-same.wandb"
    assert [h["train/step"] for h in Stored(resumed).history if "train/loss" in h] == [1, 2, 3, 3, 4]
    assert read_metrics(tmp_path / "metrics.jsonl")["train/loss"] == [(s, float(s)) for s in (1, 2, 3, 4)]


@pytest.fixture
def server():
    with wandb_server.serving() as (address, runs):
        runs.environment = os.environ | {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0123456789" * 4}
        yield runs


# W&B keeps account and server of its first run for the life of a process
ONLINE = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from report_samples import run_row
from test_wandb import logs
from rrtf.report.settings import WandbMode
with logs(Path(sys.argv[2]), identity="same", mode=WandbMode.online) as log:
    for step in map(int, sys.argv[4:]):
        log(step, {"train/loss": float(step)})
    if sys.argv[3] == "ends":
        log.finish(run_row(digests={"train": "0123456789abcdef"}))
"""


def losses(run) -> list[tuple[int, float]]:
    return [(row["train/step"], row["train/loss"]) for row in run["history"] if "train/loss" in row]


@pytest.mark.slow
def test_online_a_run_goes_on_as_the_same_run_with_the_same_numbers_as_metrics_jsonl(tmp_path, server):
    for place, end, *steps in (("first", "breaks", "1", "2"), ("second", "ends", "3")):
        asked = [sys.executable, "-c", ONLINE, str(Path(__file__).parent), str(tmp_path / place), end, *steps]
        done = subprocess.run(asked, env=server.environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
    (run,) = server.values()
    assert (run["groupName"], run["displayName"], run["jobType"]) == ("quickstart", "optim.learning_rate=2e-5", "train")
    config = {name: part["value"] for name, part in json.loads(run["config"]).items() if "value" in part}
    assert config["optim"] == {"learning_rate": 2e-5} and {"commit", "dirty"} <= set(config)
    assert config["digests"] == {"train": "0123456789abcdef"}
    assert losses(run) == [(1, 1.0), (2, 2.0), (3, 3.0)] and run["exits"] == [1, 0]
    assert run["summary"]["builtin_heldout/trained/pass@1"] == run_row().scores[4].value
    assert not any(b"0123456789" * 4 in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.slow
def test_an_offline_folder_syncs(tmp_path, server):
    with logs(tmp_path, identity="later") as log:
        log(1, {"train/loss": 0.5})
        log.finish(run_row())
    (path,) = offline(tmp_path)
    asked = [sys.executable, "-m", "wandb", "sync", str(path.parent)]
    there = {"env": server.environment, "cwd": tmp_path}  # wandb's command writes logs into the folder it is called in
    done = subprocess.run(asked, **there, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(server["later"]) == [(1, 0.5)] and server["later"]["groupName"] == "quickstart"


def test_online_without_an_account_says_what_to_do(tmp_path, monkeypatch):
    from rrtf.errors import UserError

    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="WANDB_API_KEY.*logger.mode=offline"):
        logs(tmp_path, mode=WandbMode.online)


def test_a_run_that_breaks_is_closed_as_failed_and_its_id_is_free_again(tmp_path):
    with pytest.raises(RuntimeError, match="broken"), logs(tmp_path) as log:
        log(1, {"train/loss": 1.0})
        raise RuntimeError("broken")
    with logs(tmp_path) as log:
        log.finish(run_row())
    assert Stored(offline(tmp_path)[0]).config["commit"] == commit().commit  # known from the start, also where it broke
    codes = [r.exit.exit_code for path in offline(tmp_path) for r in records(path) if r.WhichOneof("record_type") == "exit"]
    assert codes == [1, 0]
