import json
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import judged, problems, run_row

from rrtf.report.logs import RunLogs
from rrtf.report.metrics import read_metrics
from rrtf.report.settings import Logger, WandbMode

SECRET = "sk-thisisaverysecretvalue"
BLOCK, HEADER = 32768, 7


def records(path: Path):
    """The records of an offline .wandb file: LevelDB's log format (blocks of 32 KiB), each a protobuf message.

    The wandb package has no reader in Python any more, so the format is read here as it is specified.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, message = path.read_bytes(), HEADER, b""
    assert data[:4] == b":W&B"
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        if kind == 0 or place + HEADER + length > len(data):
            break
        message = (message if kind in (3, 4) else b"") + data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(message)
            yield record


def offline(folder: Path) -> list[Path]:
    """The offline files, the oldest first; W&B's own process writes the end of the newest one after `finish` has returned."""
    found = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    for _ in range(200):
        if found and any(record.WhichOneof("record_type") == "exit" for record in records(found[-1])):
            return found
        time.sleep(0.05)
    raise AssertionError(f"no finished offline run in {folder}")


class Stored:
    """What one offline file holds."""

    def __init__(self, path: Path) -> None:
        self.config, self.history, self.summary = {}, [], {}
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
            changes = record.run.config.update if kind == "run" else record.config.update if kind == "config" else ()
            self.config |= {".".join(c.nested_key) or c.key: json.loads(c.value_json) for c in changes}
            if kind == "history":
                self.history.append({".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item})
            if kind == "summary":
                self.summary |= {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.summary.update}


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
    codes = [r.exit.exit_code for path in offline(tmp_path) for r in records(path) if r.WhichOneof("record_type") == "exit"]
    assert codes == [1, 0]
