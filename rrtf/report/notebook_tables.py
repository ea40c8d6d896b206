"""The tables of the notebooks: the paper's numbers, ours with intervals, and where each comes from."""

from collections.abc import Sequence
from statistics import fmean

from rich.table import Table

from rrtf.records import Score
from rrtf.report.evidence import NOT_RUN, arms, best, cell, mean_and_range, models, origin, student
from rrtf.report.paper import LEETCODE_PROBLEMS, TABLE_2, TABLE_3, TABLE_4
from rrtf.report.rows import RunRow

_LEVELS = ("easy", "medium", "hard")


def _table(title: str, *columns: str) -> Table:
    made = Table(title=title, title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index == 0 or column == "where from" else "right")
    return made


def _dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def table_2(found: Sequence[RunRow]) -> Table:
    """HumanEval pass@1, @10 and @100 by sampling; ours is the better of the temperatures, as in the paper."""
    made = _table("Table 2: HumanEval, % [95 % interval]", "model", "size", "pass@1", "pass@10", "pass@100", "where from")
    for paper in TABLE_2:
        printed = (_dash(paper.pass_at_1), _dash(paper.pass_at_10), _dash(paper.pass_at_100))
        source = "paper, run by its authors" if paper.run_by_authors else "paper, copied"
        made.add_row(paper.model, paper.parameters, *printed, source)
    made.add_section()
    for row in found[:1]:
        for model in models(row, "humaneval"):
            scores = tuple(cell(best(found, "humaneval", model, k)) for k in (1, 10, 100))
            one = row.score("humaneval", model)
            made.add_row(f"{student(row)}, {model}", _problems(one), *scores, f"{origin(row)}, {_protocol(one)}")
    if not found:
        made.add_row("this project", "", *[NOT_RUN] * 3, "rrtf -m experiment=table2_sampling")
    return made


def _problems(score: Score | None) -> str:
    return f"{score.problems} problems" if score else ""


def _protocol(score: Score | None) -> str:
    return score.protocol.split()[0] if score else ""


def table_3(found: Sequence[RunRow]) -> Table:
    """Greedy decoding on three benchmarks; LeetCode as problems solved, easy/medium/hard."""
    made = _table("Table 3: greedy, % [95 % interval]", "model", "HumanEval", "CoderEval", "LeetCode E/M/H", "where from")
    total = "/".join(map(str, LEETCODE_PROBLEMS))
    for paper in TABLE_3:
        solved = "/".join(map(str, paper.leetcode))
        made.add_row(
            f"{paper.model} {paper.parameters}",
            f"{paper.humaneval:.2f}",
            f"{paper.codereval:.2f}",
            f"{solved} of {total}",
            "paper",
        )
    made.add_section()
    for row in found:
        for model in models(row, "humaneval"):
            cells = (cell(row.score("humaneval", model)), cell(row.score("codereval", model)), _leetcode(row, model))
            made.add_row(f"{student(row)}, {model}, seed {row.seed}", *cells, origin(row))
    if not found:
        made.add_row("this project", *[NOT_RUN] * 3, "rrtf -m experiment=table3_greedy")
    return made


def _leetcode(row: RunRow, model: str) -> str:
    levels = {score.benchmark.lower(): score for score in row.scores if score.model == model and score.k == 1}
    parts = [levels.get(f"leetcode/{level}") for level in _LEVELS]
    if not any(parts):
        return NOT_RUN
    solved, of = ("/".join(str(getattr(part, name, "-")) for part in parts) for name in ("solved", "problems"))
    return f"{solved} of {of}"


def table_4(found: Sequence[RunRow]) -> Table:
    """Quantized models: memory, time per token, greedy HumanEval; `measured` holds MODEL/memory_mb and MODEL/ms_per_token."""
    made = _table("Table 4: quantization", "model", "memory, GB", "ms per token", "HumanEval, % [95 %]", "where from")
    for paper in TABLE_4:
        printed = (f"{paper.memory_gb:.2f}", f"{paper.ms_per_token:.0f}", f"{paper.humaneval:.2f}")
        made.add_row(f"{paper.model} {paper.precision}", *printed, "paper, one GPU")
    made.add_section()
    for row in found:
        for model in models(row, "humaneval"):
            memory, time = (row.measured.get(f"{model}/{name}") for name in ("memory_mb", "ms_per_token"))
            numbers = (f"{memory / 1024:.2f}" if memory else NOT_RUN, f"{time:.1f}" if time else NOT_RUN)
            made.add_row(f"{student(row)}, {model}", *numbers, cell(row.score("humaneval", model)), origin(row))
    if not found:
        made.add_row("this project", *[NOT_RUN] * 3, "rrtf experiment=table4_quantization")
    return made


def ablation_table(found: Sequence[RunRow], *, title: str, benchmark: str, command: str = "") -> Table:
    """One line an arm: the trained student's pass@1 and its change against before, seeds as mean and range.

    The lead is that of teachers' responses over the student's in log-probability a token, on groups held out of training.
    """
    names = ("arm", "seeds", "before", "after", "change, points", "p", "teachers' held-out lead", "where from")
    made = _table(f"{title}: {benchmark} pass@1, %", *names)
    for name, group in arms(found).items():
        after = [score.value for row in group if (score := row.score(benchmark, "trained"))]
        before = [score.value for row in group if (score := row.score(benchmark, "student"))]
        paired = [c for row in group for c in row.comparisons if (c.benchmark, c.second) == (benchmark, "trained")]
        cells = (mean_and_range(values) if values else NOT_RUN for values in (before, after, [c.effect for c in paired]))
        seeds = str(len({row.seed for row in group}))
        made.add_row(name, seeds, *cells, ", ".join(f"{c.p:.2g}" for c in paired) or "-", _lead(group), origin(group[0]))
    if not found:
        made.add_row("this project", "-", *[NOT_RUN] * 3, "-", "-", command)
    return made


def decoding_table(found: Sequence[RunRow]) -> Table:
    """The student's score by each way of decoding; a way is a benchmark of the run."""
    made = _table("decoding: HumanEval, % [95 % interval]", "decoding", "problems", "pass@1", "pass@10", "where from")
    for row in found:
        for first in (score for score in row.scores if score.k == 1 and score.model == "student"):
            ten = cell(row.score(first.benchmark, "student", 10)) if first.samples > first.problems else "-"
            made.add_row(first.protocol, str(first.problems), cell(first), ten, origin(row))
    if not found:
        made.add_row("this project", "-", NOT_RUN, NOT_RUN, "rrtf experiment=decoding")
    return made


def _lead(group: Sequence[RunRow]) -> str:
    """Before and after training, the mean over the seeds; an arm without teachers has none."""
    ends = ([row.measured.get(f"validation/gap_teacher_student/{when}") for row in group] for when in ("before", "after"))
    known = [[value for value in values if value] for values in ends]  # 0.0 is how the first rows said that there is none
    return " to ".join(f"{fmean(values):.3f}" for values in known) if all(known) else "-"
