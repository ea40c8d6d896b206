"""The tables a person reads at the end of a run and across runs."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rrtf.evaluation.comparison import shown_p
from rrtf.evaluation.power import power_sentence
from rrtf.problems.dropped import DataReport
from rrtf.records import Outcome, Score
from rrtf.report.rows import GroupRow, RunRow, SourceRow, StageRow


def final_table(row: RunRow) -> RenderableType:
    """All of a run: scores before and after, the data work, sources, groups, seconds, and what the numbers can't show."""
    parts: list[RenderableType] = []
    if row.scores:
        said = [f"{c.benchmark}: {c.sentence}" for c in row.comparisons if "/" not in c.benchmark] + power_lines(row.scores)
        said += [f"{b.benchmark}, {b.model}: {b.sentence}" for b in row.batches]
        if "judge" in row.versions:
            said.append(f"judge version {row.versions['judge']}, prompts version {row.versions.get('prompts')}")
        parts += [score_table(row.scores), *(Text(f"  {line}", style="cyan") for line in said), Text("")]
    if row.data:
        parts += [data_table(row.data), Text("")]
    if row.sources:
        parts += [source_table(row.sources), Text("")]
    if row.groups:
        parts += [group_table(row.groups), Text("")]
    if row.stages:
        parts.append(stage_table(row.stages))
    return Group(*parts)


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        header_style="bold",
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=index == 0, overflow="fold")
    return table


def percent(score: Score) -> str:
    """A score as a reader wants it: value and interval, in percent."""
    return f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def score_table(scores: Sequence[Score]) -> Table:
    """One line a benchmark and k, one column a model, 95 % intervals in brackets."""
    models = list(dict.fromkeys(score.model for score in scores))
    table = _table("scores, % [95 % interval] and problems solved", "benchmark", "protocol", "of", *models)
    lines: dict[tuple[str, str, int], dict[str, Score]] = {}
    for score in scores:
        lines.setdefault((score.benchmark, score.protocol, score.k), {})[score.model] = score
    for (benchmark, protocol, k), found in lines.items():
        cells = [_cell(found[model]) if model in found else "not run" for model in models]
        name = f"  {benchmark.split('/', 1)[1]}" if "/" in benchmark else f"{benchmark} pass@{k}"
        table.add_row(escape(name), protocol if "/" not in benchmark else "", str(next(iter(found.values())).problems), *cells)
    return table


def _cell(score: Score) -> str:
    """With the count where it says the same as the share: one answer a problem."""
    return f"{percent(score)} {score.solved:>3}" if score.samples == score.problems else percent(score)


def power_lines(scores: Sequence[Score]) -> list[str]:
    """What each whole benchmark can show at all, said once a benchmark."""
    first = {score.benchmark: score for score in reversed(scores) if score.k == 1 and "/" not in score.benchmark}
    return [f"{name}: {power_sentence(score.problems, value=score.value)}" for name, score in reversed(first.items())]


# the classes of a column each: the paper's four, and ours
COLUMNS = {
    "pass\nall": (Outcome.all_tests_passed,),
    "pass\nsome": (Outcome.some_tests_passed,),
    "pass\nnone": (Outcome.no_test_passed,),
    "run\nerror": (Outcome.runtime_error,),
    "comp.\nerror": (Outcome.compile_error,),
    "over\nlimit": (Outcome.timeout, Outcome.memory_limit, Outcome.output_limit),
    "no\ncode": (Outcome.no_code,),
}


def source_table(sources: Sequence[SourceRow]) -> Table:
    """What became of each source's candidates, and on how many problems one passed; narrow enough for 80 columns."""
    table = _table("sources, the student first: outcomes, % of candidates", "source", "n", *COLUMNS, "tasks\nsolved")
    for row in sources:
        shares = [sum(row.outcomes.get(o.value, 0) for o in outcomes) / max(row.candidates, 1) for outcomes in COLUMNS.values()]
        cells = [f"{100 * share:.1f}" if 0 < share < 1 else "100" if share else "-" for share in shares]
        table.add_row(escape(row.source), str(row.candidates), *cells, f"{row.problems_solved}/{row.problems}")
    return table


def group_table(groups: Sequence[GroupRow]) -> Table:
    """How many groups are trained on, why the others are not, who is the target, and the score gaps; one column a round."""
    rounds = [f"round {number}" for number in range(1, len(groups) + 1)] if len(groups) > 1 else ["groups"]
    table = _table("groups", "", *rounds)
    table.add_row("kept for training", *(str(group.kept) for group in groups))
    for reason in dict.fromkeys(reason for group in groups for reason in group.dropped):
        table.add_row(escape(f"dropped: {reason}"), *(str(group.dropped.get(reason, 0)) for group in groups))
    for source in dict.fromkeys(source for group in groups for source in group.targets):
        table.add_row(escape(f"target written by {source}"), *(str(group.targets.get(source, 0)) for group in groups))
    if any(group.targets for group in groups):
        table.add_row("targets that pass every test", *(str(group.target_passes) for group in groups))
        table.add_row("pairs with a score gap", *(str(group.pairs) for group in groups))
        gaps = (f"{group.mean_gap:.2f} ({group.least_gap:.2f} to {group.most_gap:.2f})" for group in groups)
        table.add_row("score gap, mean (least to most)", *gaps)
    return table


def data_table(reports: Sequence[DataReport]) -> Table:
    """What the data work kept and dropped, by step and rule, with one example each; above them the step's own words."""
    table = _table("training problems: kept, and dropped by rule", "step", "problems", "%", "example")
    table.columns[-1].justify = "left"
    for report in reports:
        table.add_row(f"[bold]{escape(report.title)}[/bold]", str(report.total), "", Text(report.note, style="cyan"))
        for row in report.rows:
            example = Text(row.examples[0] if row.examples else "", no_wrap=True, overflow="ellipsis")
            table.add_row(f"  {escape(row.rule)}", str(row.count), f"{100 * row.share:.1f}", example)
    return table


def stage_table(stages: Sequence[StageRow]) -> Table:
    """Seconds of each step's own work; a step found done shows what it took when it was made. Reading problems is left out."""
    table = _table("time", "step", "seconds", "")
    for stage in (stage for stage in stages if stage.stage != "problems"):
        table.add_row(escape(stage.title), f"{stage.seconds:.1f}", "cached" if stage.cached else "")
    table.add_row("work of this run", f"{sum(stage.seconds for stage in stages if not stage.cached):.1f}", "", style="bold")
    return table


def runs_table(rows: Sequence[RunRow], *, benchmark: str, k: int = 1) -> Table:
    """Several runs on one benchmark: a line each, a column a model."""
    models = list(dict.fromkeys(s.model for row in rows for s in row.scores if s.benchmark == benchmark and s.k == k))
    table = _table(f"{escape(benchmark)} pass@{k}, % [95 % interval]", "run", "seed", *models, "difference", "p")
    for column in table.columns:  # in a narrow window a run's title breaks before its numbers do
        column.no_wrap = column is not table.columns[0]
    for row in rows:
        scores = [row.score(benchmark, model, k) for model in models]
        paired = [c for c in row.comparisons if (c.benchmark, c.k) == (benchmark, k) and c.second in models]
        difference = f"{100 * paired[-1].effect:+.1f}" if paired else "-"
        cells = [percent(score) if score else "not run" for score in scores]
        table.add_row(
            escape(row.title.replace(f" seed={row.seed}", "")),
            str(row.seed),
            *cells,
            difference,
            shown_p(paired[-1].p).removeprefix("p ").removeprefix("= ") if paired else "-",
        )
    return table
