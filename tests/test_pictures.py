"""Who solves what and scores by difficulty, for one run and for several, through the command that draws them."""

from dataclasses import replace
from pathlib import Path

import pytest
from report_samples import run_row
from test_report_figures import colliding, texts

from rrtf.evaluate import main
from rrtf.report.overlap_figure import regions
from rrtf.report.pictures import benchmark_pictures, model_names, who_solves_what
from rrtf.report.rows import RunRow, append


def several() -> list[RunRow]:
    """Three runs of a study that share their student and differ in their loss."""
    rows = []
    for loss, share in (("sft", 9), ("rrtf", 14), ("rrtf", 4)):
        solved = run_row().solved
        own = {"builtin_heldout/trained": tuple(f"set/{i}" for i in range(share))}
        rows.append(run_row(overrides=(f"loss={loss}", "store=x"), solved=solved | own, seed=len(rows) // 2))
    return rows


def test_a_run_draws_its_benchmarks(tmp_path: Path) -> None:
    assert set(benchmark_pictures([run_row()], tmp_path)) == {"overlap_builtin_heldout", "levels_builtin_heldout"}
    assert all((tmp_path / f"{name}_builtin_heldout.png").stat().st_size > 5000 for name in ("overlap", "levels"))
    row = run_row()
    alone = replace(row, scores=tuple(s for s in row.scores if s.model == "student" and "/" not in s.benchmark))
    assert benchmark_pictures([alone], tmp_path / "alone") == {}
    assert benchmark_pictures([RunRow(experiment="nothing")], tmp_path / "nothing") == {}


def test_models_of_several_runs_are_called_by_what_their_run_changed() -> None:
    names = [model_names(row, among=several()) for row in several()]
    assert [one["trained"] for one in names] == [
        "trained, loss=sft, seed 0",
        "trained, loss=rrtf, seed 0",
        "trained, loss=rrtf, seed 1",
    ]
    assert {one["student"] for one in names} == {"student"}
    assert model_names(several()[0], among=several()[:1]) == {"student": "student", "trained": "trained"}


@pytest.mark.parametrize("models", [2, 3, 4])
@pytest.mark.parametrize("name", ["model", "trained, table3_greedy benchmarks.leetcode.problems.limit=40"])
def test_every_count_of_who_solves_what_is_in_the_picture(models: int, name: str) -> None:
    solved = {f"{name} {i}": {str(task) for task in range(7 * i, 20 + 11 * i)} for i in range(models)}
    figure = who_solves_what(solved, problems=100, benchmark="humaneval")
    words = texts(figure).split()
    assert all(str(count) in words for count in regions(solved).values() if count)
    assert str(100 - len(set().union(*solved.values()))) in words
    assert colliding(figure) == []
    assert all(axes.get_window_extent().width > 150 for axes in figure.axes)
    inside = figure.get_tightbbox()
    assert inside.x0 > -0.05 and inside.x1 < figure.get_figwidth() + 0.05, "a text is cut off"


def test_the_command_shows_runs_side_by_side_and_draws_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row in several()[:2]:
        append(tmp_path / "results.jsonl", row)
    (tmp_path / "other").mkdir()
    append(tmp_path / "other" / "results.jsonl", several()[2])
    files = [f"{tmp_path}/results.jsonl", f"{tmp_path}/other/results.jsonl"]
    assert main(["runs", *files, "--pictures", f"{tmp_path}/drawn"]) == 0
    said = capsys.readouterr().out
    assert said.count("quickstart loss=") == 3
    assert "builtin_heldout pass@1, % [95 % interval]" in said
    assert (tmp_path / "drawn" / "overlap_builtin_heldout.png").is_file()


def test_files_without_scores_are_said_to_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append(tmp_path / "results.jsonl", RunRow(experiment="nothing"))
    assert main(["runs", f"{tmp_path}/results.jsonl"]) == 2
    assert "no scores in" in capsys.readouterr().err
    assert main(["runs", f"{tmp_path}/absent.jsonl"]) == 2
    assert "absent.jsonl: no such file" in capsys.readouterr().err
