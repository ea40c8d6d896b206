import json
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from report_samples import judged, problems, run_row
from rich.console import Console

from rrtf.errors import DataError
from rrtf.records import Outcome, Role, from_row, to_row
from rrtf.report.metrics import Metrics, read_metrics
from rrtf.report.provenance import commit, hardware, versions
from rrtf.report.redact import redact
from rrtf.report.rows import RunRow, append, flat, read, source_rows
from rrtf.report.tables import final_table, runs_table


def printed(renderable, width=120) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def test_a_row_survives_the_file(tmp_path):
    row = run_row(digests={"train": "abc"}, measured={"peak_mb": 5.5}, hardware=hardware(), versions=versions())
    append(tmp_path / "results.jsonl", row)
    append(tmp_path / "results.jsonl", row)
    assert read(tmp_path / "results.jsonl") == [row, row]
    assert from_row(RunRow, json.loads(json.dumps(to_row(row)))) == row


def test_a_damaged_results_file_is_told_by_line(tmp_path):
    path = tmp_path / "results.jsonl"
    append(path, run_row())
    path.write_text(path.read_text() + '{"experiment": 3}\n')
    with pytest.raises(DataError, match=r"results.jsonl:2: experiment must be str"):
        read(path)


def test_many_processes_append_whole_rows(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from report_samples import run_row; from rrtf.report.rows import append\n"
        "for _ in range(20): append(Path(sys.argv[2]), run_row())"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "r.jsonl")]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(read(tmp_path / "r.jsonl")) == 60


def test_the_final_table_shows_what_a_person_wants_to_know():
    row = run_row()
    text = printed(final_table(row))
    for score in row.scores:
        assert f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]" in text
    assert row.comparisons[0].sentence[:40] in text
    assert "can show a difference of" in text
    assert "reference" in text
    assert "dropped: no teacher" in text
    assert "sample student" in text
    assert "cached" in text
    assert "judge version" not in text
    assert "judge version 11, prompts version 1.2" in printed(final_table(run_row(versions={"judge": "11", "prompts": "1.2"})))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_tables_fit_their_width(width):
    assert max(map(len, printed(final_table(run_row()), width).splitlines())) <= width


def test_square_brackets_in_names_are_text_not_markup():
    row = run_row(experiment="[bold]x[/nope]", groups=(), stages=(replace(run_row().stages[0], title="[red]sample [/x]"),))
    assert "[red]sample [/x]" in printed(final_table(row))
    assert "[bold]x[/nope]" in printed(runs_table([row], benchmark="builtin_heldout"))


def test_a_row_of_nothing_prints_and_draws(tmp_path):
    empty = RunRow(experiment="nothing")
    assert printed(final_table(empty)).strip() == ""
    assert flat(empty) == {"seconds": 0.0}


def test_runs_side_by_side_say_where_one_was_not_run():
    row = run_row()
    text = printed(runs_table([row, replace(row, seed=1, scores=row.scores[:1], comparisons=())], benchmark="builtin_heldout"))
    assert "not run" in text
    assert f"{100 * row.comparisons[0].effect:+.1f}" in text


def test_sources_count_every_candidate_once():
    tasks = problems(30)
    rows = judged(tasks, "student", 0.2, n=4) + judged(tasks, "teacher", 0.9, role=Role.teacher)
    student, teacher = source_rows(rows)
    assert (student.role, teacher.role) == ("student", "teacher")
    assert (student.candidates, sum(student.outcomes.values()), student.problems) == (120, 120, 30)
    passing = {r.candidate.task_id for r in rows[:120] if r.verdict.outcome is Outcome.all_tests_passed}
    assert student.problems_solved == len(passing)


def test_metrics_survive_a_half_written_line_and_a_repeated_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = Metrics(path)
    for step in (1, 2, 3):
        log(step, {"loss": float(step)})
    path.write_bytes(path.read_bytes()[:-7])
    again = Metrics(path)
    again(2, {"loss": 20.0})
    again(3, {"loss": 30.0, "accuracy": 0.5})
    assert read_metrics(path) == {"loss": [(1, 1.0), (2, 20.0), (3, 30.0)], "accuracy": [(3, 0.5)]}


def test_secrets_are_hidden_and_ordinary_settings_are_not(monkeypatch):
    monkeypatch.setenv("MY_SERVICE_TOKEN", "abcdefgh12345")
    given = {
        "api_key": "k",
        "wandb_api_key": "k",
        "password": "p",
        "note": "uses abcdefgh12345 here",
        "url": "http://user:pw@host/path",
        "override": "teachers.x.api_key=k123,seed=3",
        "max_new_tokens": 256,
        "tokens": 3,
        "key_variable": "OPENAI_API_KEY",
        "keys": ["a"],
        "secret": "",
    }
    hidden = redact(given)
    text = json.dumps(hidden)
    for secret in ('"k"', '"p"', "abcdefgh12345", "user:pw", "k123"):
        assert secret not in text
    assert hidden["max_new_tokens"] == 256
    assert (hidden["tokens"], hidden["key_variable"], hidden["keys"]) == (3, "OPENAI_API_KEY", ["a"])
    assert hidden["override"] == "teachers.x.api_key=(hidden),seed=3"


def test_rows_hide_secrets_too(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret-indeed")
    append(tmp_path / "r.jsonl", run_row(overrides=("a=sk-verysecret-indeed",), settings={"api_key": "other"}))
    text = (tmp_path / "r.jsonl").read_text()
    assert "sk-verysecret" not in text
    assert "other" not in text


def test_provenance_names_commit_and_dirt(tmp_path):
    def git(*arguments):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    assert commit(tmp_path) == ("", False)
    (tmp_path / "file").write_text("a")
    git("add", "file")
    git("commit", "-q", "-m", "m")
    assert commit(tmp_path) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "file").write_text("b")
    assert commit(tmp_path).dirty
    (tmp_path / "untracked").mkdir()
    (tmp_path / "untracked" / "package").write_text("")
    assert commit(tmp_path / "untracked") == ("", False)


def test_hardware_and_versions_can_be_written(tmp_path):
    assert json.loads(json.dumps(hardware()))["cores"] >= 1
    assert versions()["python"].count(".") == 2
    assert versions()["torch"].startswith("2.")


def test_the_run_picture_is_the_same_bytes_each_time_and_not_blank(tmp_path):
    from rrtf.report.drawing import save
    from rrtf.report.score_figures import run_figure

    first, second = (save(run_figure(run_row()), tmp_path / f"{i}.png").read_bytes() for i in range(2))
    assert first == second
    with Image.open(tmp_path / "0.png") as picture:
        assert len(picture.convert("L").getcolors() or ()) > 20
