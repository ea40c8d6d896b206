"""What the notebooks show of committed rows: arms, seeds, intervals, and "not run" where nothing was measured."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from rrtf.records import Score
from rrtf.report import evidence, rows
from rrtf.report.ablation_figure import ablation_figure, curves, own_overlap, solved_sets
from rrtf.report.notebook_tables import ablation_table, decoding_table, table_2, table_3, table_4
from rrtf.report.paper_figures import greedy_figure, quantized, sampling_figure
from rrtf.report.rows import RunRow


def score(model: str, value: float, *, benchmark: str = "humaneval", k: int = 1, problems: int = 40) -> Score:
    low, high = max(0.0, value - 0.1), min(1.0, value + 0.1)
    counts = {"problems": problems, "samples": problems, "solved": round(value * problems)}
    return Score(
        benchmark=benchmark, model=model, protocol="greedy", k=k, value=value, low=low, high=high, interval="w", **counts
    )


def row(*overrides: str, seed: int = 0, epochs: int = 2, limit: int = 0, **more: object) -> RunRow:
    settings = {"student": {"checkpoint": "a/Tiny-1M"}, "problems": {"limit": limit}, "batching": {"epochs": epochs}}
    scores = more.pop("scores", (score("student", 0.1), score("trained", 0.3)))
    return RunRow(experiment="e", overrides=overrides, seed=seed, scale="cpu", settings=settings, scores=scores, **more)  # type: ignore[arg-type]


def text(table: Table) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_an_experiment_that_was_never_run_has_no_rows_and_the_tables_say_so(tmp_path: Path) -> None:
    assert evidence.rows("nothing", folder=tmp_path) == []
    (tmp_path / "some").mkdir()
    rows.append(tmp_path / "some" / "results.jsonl", row("loss=rrtf"))
    assert evidence.rows("some", folder=tmp_path) == [row("loss=rrtf")]
    tables = (table_2([]), table_3([]), table_4([]), decoding_table([]))
    for table in (*tables, ablation_table([], title="t", benchmark="b", command="rrtf -m")):
        assert "not run" in text(table) and "rrtf" in text(table)
    assert evidence.whence([], command="rrtf -m") == "not run: rrtf -m"
    (axes,) = own_overlap([], benchmark="b", command="rrtf -m").axes
    assert [shown.get_text() for shown in axes.texts] == ["b, not run: rrtf -m"]


def test_ways_of_decoding_stand_side_by_side_with_intervals() -> None:
    sampled = [score("student", 0.2, benchmark="t", k=k) for k in (1, 10)]
    found = row(scores=(score("student", 0.1), *(replace(one, protocol="n=10 T=0.8", samples=400) for one in sampled)))
    shown = text(decoding_table([found]))
    assert "greedy" in shown and "10.0 [0.0, 20.0]" in shown and "n=10 T=0.8" in shown and "measured at scale=cpu" in shown
    assert shown.count("20.0 [10.0, 30.0]") == 2


def test_who_solves_what_says_where_it_was_measured_and_of_how_many_problems() -> None:
    arms = [
        row(f"loss={loss}", solved={"humaneval/student": ("a",), "humaneval/trained": ("a", "b")}) for loss in ("sft", "rrtf")
    ]
    figure = own_overlap(arms, benchmark="humaneval", command="rrtf -m")
    assert figure.get_suptitle() == "humaneval, measured at scale=cpu"
    assert {shown.get_text() for shown in figure.axes[0].texts} == {
        "1",
        "38",
    }  # all, both trained, nobody


def test_arms_are_what_differs_and_seeds_of_an_arm_stand_together() -> None:
    fixed = ("experiment=x", "store=s", "optim.learning_rate=1")
    found = [row(*fixed, f"loss={loss}", f"seed={seed}", seed=seed) for loss in ("rrtf", "sft") for seed in (0, 1)]
    assert {name: len(group) for name, group in evidence.arms(found).items()} == {"loss=rrtf": 2, "loss=sft": 2}
    shown = text(ablation_table(found, title="t", benchmark="humaneval"))
    assert "30.0 (30.0 to 30.0)" in shown and "measured at scale=cpu" in shown
    assert evidence.arms([row("store=s")]) == {"as it is": [row("store=s")]}


@pytest.mark.parametrize(
    ("values", "shown"), [([0.125], "12.5"), ([0.1, 0.3], "20.0 (10.0 to 30.0)"), ([-0.1, 0.1], "0.0 (-10.0 to 10.0)")]
)
def test_several_seeds_are_a_mean_and_a_range(values: list[float], shown: str) -> None:
    assert evidence.mean_and_range(values) == shown


def test_table_2_takes_the_better_temperature_for_each_k() -> None:
    cold = row("t=0.2", scores=(score("trained", 0.30), score("trained", 0.4, k=10)))
    hot = row("t=1.2", scores=(score("trained", 0.10), score("trained", 0.6, k=10)))
    shown = text(table_2([cold, hot]))
    assert "30.0 [20.0, 40.0]" in shown and "60.0 [50.0, 70.0]" in shown
    assert "91.76" in shown and "paper, copied" in shown and "not run" in shown  # pass@100 was not measured


def test_table_3_counts_leetcode_by_difficulty() -> None:
    levels = [
        score("trained", value, benchmark=f"leetcode/{name}", problems=20) for name, value in (("Easy", 0.5), ("Medium", 0.1))
    ]
    shown = text(table_3([row(scores=(score("trained", 0.3), *levels))]))
    assert "10/2/- of 20/20/-" in shown and "32/30/10 of 79/150/71" in shown


def test_table_4_needs_both_costs_for_the_picture() -> None:
    measured = {"trained/memory_mb": 2048.0, "trained/ms_per_token": 12.5}
    found = [row(measured=measured)]
    shown = text(table_4(found))
    assert "2.00" in shown and "12.5" in shown and "16.29" in shown
    (only,) = quantized(found)
    assert (only.name, only.memory_gb, only.ms_per_token) == ("trained", 2.0, 12.5)


def test_pictures_show_the_paper_without_ours_and_ours_beside_it() -> None:
    for figure in (sampling_figure([]), greedy_figure([])):
        assert any("not run" in item.get_text() for axes in figure.axes for item in axes.texts)
    names = [label.get_text() for label in greedy_figure([row()]).axes[0].get_yticklabels()]
    assert names[-2:] == ["ours, student", "ours, trained"] and "WizardCoder" in names


def test_an_ablation_has_a_line_an_arm_and_an_empty_study_says_so() -> None:
    found = [row(f"loss={name}") for name in ("rrtf", "sft", "rrhf")]
    figure = ablation_figure([("losses", found), ("feedback", [])], benchmark="humaneval")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["loss=rrtf", "loss=sft", "loss=rrhf"]
    assert [item.get_text() for item in figure.axes[1].texts] == ["not run"]


def test_figure_4_has_a_line_a_data_size_that_begins_before_training() -> None:
    found = [row(epochs=epochs, limit=limit) for limit in (66, 0) for epochs in (2, 1)]
    lines = curves(found, benchmark="humaneval")
    assert list(lines) == ["66 problems", "all problems"]
    assert [point.epoch for point in lines["66 problems"]] == [0, 1, 2]


def test_figure_5_compares_before_with_each_arm() -> None:
    solved = {"humaneval/student": ("a",), "humaneval/trained": ("a", "b")}
    sets = solved_sets([row("loss=sft", solved=solved), row("loss=rrtf", solved=solved)], benchmark="humaneval")
    assert sets == {"before training": {"a"}, "loss=sft": {"a", "b"}, "loss=rrtf": {"a", "b"}}
