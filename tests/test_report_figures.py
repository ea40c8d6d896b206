import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_samples import run_row

from rrtf.errors import UserError
from rrtf.records import Score
from rrtf.report.curve_figures import Checkpoint, epochs_figure, learning_figure, running_mean
from rrtf.report.drawing import save
from rrtf.report.overlap_figure import overlap_bars, overlap_figure, paper_overlap_panel, paper_regions, regions
from rrtf.report.paper import FIGURE_4, FIGURE_5, FIGURE_5_MODELS, LEETCODE_PROBLEMS, TABLE_2, TABLE_3, TABLE_4, overlap_solved
from rrtf.report.quantization_figure import Quantized, paper_points, quantization_figure
from rrtf.report.rows import RunRow
from rrtf.report.score_figures import difficulty_figure, run_figure


def texts(figure) -> str:
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def colliding(figure) -> list[tuple[str, str]]:
    """Pairs of visible texts whose boxes overlap by more than a hair."""
    from matplotlib.text import Text

    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    unseen = {id(label) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in _outside(axis)}
    seen = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text() and id(text) not in unseen]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in seen]
    boxes = [(text, box) for text, box in boxes if box.width and box.height]
    found = []
    for i, (text, box) in enumerate(boxes):
        for other, second in boxes[i + 1 :]:
            wide = min(box.x1, second.x1) - max(box.x0, second.x0)
            high = min(box.y1, second.y1) - max(box.y0, second.y0)
            if wide > 3 and high > 3:
                found.append((text, other))
    return found


def _outside(axis):
    """Labels of ticks beyond the axis' ends: matplotlib keeps them, and does not draw them."""
    low, high = sorted(axis.get_view_interval())
    for tick in axis.get_major_ticks():
        if not low <= tick.get_loc() <= high:
            yield from (tick.label1, tick.label2)


def test_the_papers_numbers_agree_with_each_other():
    """Counts, percents and overlaps are three printings of the same results."""
    for row in TABLE_3:
        assert abs(100 * row.humaneval_solved / 164 - row.humaneval) < 0.05
        assert abs(100 * row.codereval_solved / 230 - row.codereval) < 0.05
        assert all(solved <= of for solved, of in zip(row.leetcode, LEETCODE_PROBLEMS, strict=True))
    for row in TABLE_4:
        assert abs(100 * row.solved / 164 - row.humaneval) < 0.01
    for curve in FIGURE_4:
        assert abs(100 * curve.solved / 164 - curve.peak) < 0.01
    greedy = {row.model: row.humaneval_solved for row in TABLE_3}
    assert [overlap_solved(FIGURE_5[0], place) for place in range(3)] == [greedy[model] for model in FIGURE_5_MODELS]
    assert all(sum(panel.regions) + panel.unsolved == 164 for panel in FIGURE_5)
    assert len(TABLE_2) == 15


def test_the_papers_contradiction_over_starcoder_is_still_there():
    star = next(row for row in TABLE_2 if row.model == "StarCoder")
    assert 100 * overlap_solved(FIGURE_5[1], 2) / 164 < star.pass_at_100


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 20).map(str)), min_size=1, max_size=4))
def test_regions_partition_the_solved_problems(sets):
    solved = {f"m{i}": tasks for i, tasks in enumerate(sets)}
    counts = regions(solved)
    assert sum(counts.values()) == len(set().union(*sets))
    for index, tasks in enumerate(sets):
        assert sum(n for pattern, n in counts.items() if pattern[index]) == len(tasks)


def test_the_papers_figure_five_is_redrawn_with_all_its_numbers():
    figure = overlap_figure({panel.protocol: paper_overlap_panel(panel) for panel in FIGURE_5})
    shown = texts(figure)
    for panel in FIGURE_5:
        for count in panel.regions:
            assert f"\n{count}\n" in f"\n{shown}\n"
        assert f"nobody: {panel.unsolved}" in shown
    assert "102 solved" in shown
    assert colliding(figure) == []


def test_circles_want_three_models():
    with pytest.raises(UserError, match="three models, not 2; draw overlap_bars"):
        overlap_figure({"t": (["a", "b"], {}, 0)})


def test_overlap_bars_show_the_counts_of_any_number_of_models():
    rng = random.Random(0)
    solved = {f"model-{i}": {str(t) for t in range(164) if rng.random() < 0.2 * (i + 1)} for i in range(4)}
    figure = overlap_bars(solved, problems=164)
    shown = texts(figure)
    largest = max(regions(solved).values())
    assert f"\n{largest}\n" in f"\n{shown}\n"
    assert all(f"{model} ({len(tasks)})" in shown for model, tasks in solved.items())


@pytest.mark.parametrize("models", [9, 40])
def test_the_columns_of_any_number_of_models_are_all_problems(models):
    rng = random.Random(0)
    solved = {f"run {i}": {str(t) for t in range(164) if rng.random() < 0.3} for i in range(models)}
    figure = overlap_bars(solved, problems=164)
    bars, dots = figure.axes
    assert sum(bar.get_height() for bar in bars.patches) == 164
    assert [label.get_text() for label in dots.get_xticklabels()] == [f"{len(regions(solved)) - 16}\nother\nsets", "nobody"]
    assert colliding(figure) == []


def test_a_level_called_like_a_formula_is_a_name():
    score = Score(
        benchmark="mine/$\\x$ to $5", model="m_$x_1$", protocol="greedy", k=1, value=1.0, low=0.5, high=1.0,
        interval="wilson", problems=4, samples=4, solved=4,
    )  # fmt: skip
    assert "$\\x$ to $5" in texts(difficulty_figure([score], benchmark="mine"))


@pytest.mark.parametrize("names", [["a"] * 7, ["builtin_examples_reordered"] * 5, ["a benchmark of some length"] * 2])
def test_a_run_on_one_page_cuts_and_covers_nothing_however_long_its_names(names):
    (score,) = (s for s in run_row().scores if s.model == "student" and "/" not in s.benchmark)
    scores = tuple(replace(score, benchmark=f"{name}_{number}") for number, name in enumerate(names))
    overrides = ("benchmarks.builtin_heldout.problems.limit=12",) * 6
    stages = [replace(run_row().stages[0], title=f"judge student on builtin heldout examples_reordered {n}") for n in range(10)]
    figure = run_figure(replace(run_row(), scores=scores, overrides=overrides, stages=tuple(stages)))
    leaning = {label.get_text() for label in figure.axes[0].get_xticklabels() if label.get_rotation()}  # their boxes do overlap
    assert [pair for pair in colliding(figure) if not leaning & set(pair)] == []
    assert bool(leaning) == (len(names) > 2)
    box = figure.get_tightbbox()
    assert box.x0 > -0.05 and box.x1 < figure.get_figwidth() + 0.05


def test_the_legend_of_full_bars_hides_none_of_them():
    scores = [
        Score(
            benchmark=f"mine/level {level}", model=f"a model of some length {model}", protocol="greedy", k=1, value=1.0,
            low=0.9, high=1.0, interval="wilson", problems=40, samples=40, solved=40,
        )
        for level in range(7)
        for model in range(4)
    ]  # fmt: skip
    figure = difficulty_figure(scores, benchmark="mine")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    box = axes.get_legend().get_window_extent()
    assert not any(box.overlaps(text.get_window_extent()) for text in axes.texts)
    assert max(axes.get_yticks()) == 100


def test_paper_regions_name_who_solves_what():
    counts = paper_regions(FIGURE_5[0])
    assert counts[(True, False, False)] == 18
    assert counts[(True, True, True)] == 49


def test_the_run_figure_says_the_scores_and_its_texts_do_not_collide():
    row = run_row(164)
    figure = run_figure(row)
    shown = texts(figure)
    for score in row.scores:
        if "/" not in score.benchmark:
            assert f"{100 * score.value:.1f}" in shown
    assert "builtin_heldout" in shown
    assert "no teacher" in shown
    assert colliding(figure) == []


def test_many_benchmarks_and_models_stay_apart():
    row = run_row(164)
    scores = tuple(
        replace(score, benchmark=name, model=model)
        for score in row.scores[:1]
        for name in ("humaneval", "humaneval_plus", "mbpp", "mbpp_plus", "leetcode")
        for model in ("student", "trained", "int8")
    )
    assert colliding(run_figure(replace(row, scores=scores))) == []


def test_a_run_of_nothing_is_still_a_picture(tmp_path):
    figure = run_figure(RunRow(experiment="nothing"))
    assert "no benchmark was run" in texts(figure)
    assert save(figure, tmp_path / "new" / "x.png").stat().st_size > 1000


def test_difficulty_bars_name_their_levels_once():
    figure = difficulty_figure(run_row(90).scores, benchmark="builtin_heldout")
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["easy", "medium", "hard"]
    assert colliding(figure) == []


def test_epoch_curves_stand_beside_the_papers_peaks():
    score = run_row().scores[0]
    curves = {name: [Checkpoint(e, score) for e in range(4)] for name in ("200", "400")}
    figure = epochs_figure(curves)
    shown = texts(figure)
    assert all(f"peak {curve.peak:.1f}" in shown for curve in FIGURE_4)
    assert len(figure.axes) == 2
    assert len(epochs_figure(curves, with_paper=False).axes) == 1
    assert colliding(figure) == []


def test_learning_curves_share_a_panel_by_metric():
    metrics = {
        "train/loss": [(i, 1 / (i + 1)) for i in range(50)],
        "validation/loss": [(0, 1.0), (25, 0.5)],
        "train/tokens_per_second": [(i, 500.0) for i in range(50)],
    }
    figure = learning_figure(metrics)
    drawn = [axes.get_title(loc="left") for axes in figure.axes if axes.lines]
    assert drawn == ["loss", "tokens per second"]
    assert learning_figure({}).axes


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.integers(1, 12))
def test_the_running_mean_keeps_straight_lines_and_bounds(values, window):
    smooth = running_mean(values, window)
    assert len(smooth) == len(values)
    assert all(min(values) - 1e-6 <= value <= max(values) + 1e-6 for value in smooth)
    line = [2.0 * i for i in range(20)]
    assert running_mean(line, window) == pytest.approx(line)


def test_table_four_as_bubbles_says_memory_score_and_doubt():
    ours = [Quantized("bf16", 0.54, 40, 0.061, 0.03, 0.11), Quantized("int8", 0.17, 30, 0.055, 0.03, 0.10)]
    figure = quantization_figure(ours, hardware="2 cores")
    shown = texts(figure)
    for row in TABLE_4:
        assert f"{row.memory_gb:.2f} GB" in shown
    assert "0.54 GB, 6.1 %" in shown
    assert colliding(figure) == []
    assert all(p.low < p.value < p.high for p in paper_points())
    assert len(quantization_figure([]).axes) == 1
