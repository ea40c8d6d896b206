"""One run from settings to results: plan, work, one row, and the row as table and picture."""

import dataclasses
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timezone
from itertools import combinations, permutations
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from rrtf import prompts
from rrtf.data_steps import reports
from rrtf.errors import ConfigurationError
from rrtf.evaluation.benchmarks import BenchmarkResult, by_task, score, values
from rrtf.evaluation.comparison import compare
from rrtf.evaluation.robustness import base_of, drop
from rrtf.evaluation.sensitivity import batch_sensitivity
from rrtf.evaluation.settings import Variant
from rrtf.judge.engine import JUDGE_VERSION
from rrtf.pipeline import Plan, plan
from rrtf.plan import Stage, Step, execute, show
from rrtf.preview import preview
from rrtf.quantize.agreement import Agreement
from rrtf.quantize.measure import Measured, flat
from rrtf.quantize.support import refuse
from rrtf.quantize_steps import checkpoint_of, outdated
from rrtf.rank import summarize
from rrtf.records import Group, Judged, Problem, to_row
from rrtf.report.data_figure import data_figure
from rrtf.report.drawing import save
from rrtf.report.logs import RunLogs
from rrtf.report.metrics import read_metrics
from rrtf.report.page import Section, write_page
from rrtf.report.pictures import benchmark_pictures
from rrtf.report.provenance import commit, hardware, versions
from rrtf.report.rows import BatchRow, ComparisonRow, GroupRow, RunRow, StageRow, append, epoch_of, source_rows
from rrtf.report.score_figures import run_figure
from rrtf.report.tables import final_table
from rrtf.settings import Settings
from rrtf.steps import Evaluation, Model
from rrtf.store import Store, digest, own_folder, read_records
from rrtf.together import leading, train_along
from rrtf.train_steps import Log, last_step
from rrtf.training.launched import helps, launch_mistakes


class Result(NamedTuple):
    """A model's numbers on a benchmark."""

    model: str
    benchmark: str
    found: BenchmarkResult


def execute_run(settings: Settings, console: Console, *, overrides: Sequence[str]) -> float | None:
    """Run what is missing and report; returns the score a sweeper maximizes, or None where nothing was evaluated.

    A process that was started only to train along (rrtf.together) does that and reports nothing.
    """
    if not settings.stages:
        preview(settings, console)
        return None
    # reading problems costs nothing, so nobody has to name that stage
    stages = {Stage.problems, *settings.stages}
    if helps(settings.trainer):
        train_along([turn.trained for turn in plan(settings).rounds if Stage.train in stages])
        return None
    with own_folder(Path(settings.run_dir)) as folder:
        return _lead(dataclasses.replace(settings, run_dir=str(folder)), console, stages=stages, overrides=overrides)


def _lead(settings: Settings, console: Console, *, stages: set[Stage], overrides: Sequence[str]) -> float | None:
    """Run what is missing of `stages` and report in the folder of the run, in which no other process works."""
    for line in outdated([settings.student, *settings.teachers.values()]):
        console.print(line, style="yellow", highlight=False, soft_wrap=True, markup=False)
    if settings.quantize:
        refuse(checkpoint_of(Model("student", settings.student)), list(settings.quantize.values()), show=console.print)
    begin, started = time.monotonic(), datetime.now(timezone.utc)
    with leading(Store(Path(settings.store)), settings.trainer), open_logs(settings, overrides) as logs:
        planned = feasible(plan(settings, log=Log(logs, logs.answers, logs.take, console.print)), stages)
        show(planned.steps, console, stages=stages)
        cached = {step.key for step in planned.steps if step.done}
        refuse_alone(settings, planned, stages=stages)
        execute(planned.steps, console, stages=stages)
        row = dataclasses.replace(
            run_row(settings, planned, cached=cached),
            overrides=tuple(overrides),
            started=started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - begin, 1),
        )
        report(settings, planned, row, logs=logs, cached=cached)
    console.print(final_table(row))
    console.print(f"table, picture, page and rows of this run: {settings.run_dir}", highlight=False)
    return objective(settings, row)


def refuse_alone(settings: Settings, planned: Plan, *, stages: Collection[Stage]) -> None:
    """Raise ConfigurationError, before hours of sampling, if training will need processes that were not started."""
    trains = Stage.train in stages and not all(turn.trained.done for turn in planned.rounds)
    if trains and (found := launch_mistakes(settings.trainer)):
        raise ConfigurationError(found)


def open_logs(settings: Settings, overrides: Sequence[str]) -> RunLogs:
    """The logs of this run; the same settings go on in the same W&B run, wherever the run's folder is."""
    config = to_row(dataclasses.asdict(settings))
    same = {name: value for name, value in config.items() if name not in ("run_dir", "stages")}
    return RunLogs(
        settings.logger,
        experiment=settings.name,
        overrides=overrides,
        config=config,
        identity=digest(same),
        folder=Path(settings.run_dir),
        job_type="train" if Stage.train in settings.stages else "evaluate",
    )


def feasible(planned: Plan, stages: Collection[Stage]) -> Plan:
    """The plan without the evaluations of models that these stages do not make and that are not there."""

    def made(step: Step) -> bool:
        return step.done or (step.stage in stages and all(made(needed) for needed in step.needs))

    kept = [evaluation for evaluation in planned.evaluations if made(evaluation.judged)]
    wanted = {step.key for evaluation in kept for step in (evaluation.judged, *evaluation.judged.needs)}
    late = (Stage.evaluate, Stage.quantize)
    steps = [step for step in planned.steps if step.stage not in late or step.key in wanted or made(step)]
    return planned._replace(steps=steps, evaluations=kept)


def run_row(settings: Settings, planned: Plan, *, cached: Collection[str]) -> RunRow:
    """Everything a table, a figure or a reader needs of this run, but when it ran."""
    results = [_result(settings, evaluation) for evaluation in planned.evaluations if evaluation.judged.done]
    turns = [turn for turn in planned.rounds if turn.ranked.done]
    judged = [row for step in planned.judged if step.done for row in read_records(Judged, step.path)]
    code = commit()
    return RunRow(
        experiment=settings.name,
        seed=settings.seed,
        scale=settings.scale,
        # the row is made to be committed, and the folders above the run's are this machine's business
        settings=to_row(dataclasses.asdict(settings)) | {"run_dir": Path(settings.run_dir).name},
        digests={f"{step.stage.value}: {step.title}": step.key for step in planned.steps},
        scores=tuple(
            found for r in results for found in (*r.found.scores, *(s for group in r.found.groups.values() for s in group))
        ),
        comparisons=(*_comparisons(settings, results), *_drops(settings, results)),
        batches=tuple(_batches(planned.evaluations)),
        sources=tuple(source_rows(judged)),
        groups=tuple(_group_row(turn.ranked) for turn in turns),
        data=tuple(reports(planned.steps)),
        stages=tuple(
            StageRow(stage=step.stage.value, title=step.title, seconds=step.seconds, cached=step.key in cached)
            for step in planned.steps
            if step.done
        ),
        measured=_measured(planned),
        solved={f"{r.benchmark}/{r.model}": tuple(p.task_id for p in r.found.problems if p.correct) for r in results},
        commit=code.commit,
        dirty=code.dirty,
        versions=versions() | {"judge": JUDGE_VERSION, "prompts": prompts.VERSION},
        hardware=hardware(),
    )


def _group_row(ranked: Step) -> GroupRow:
    return GroupRow(**dataclasses.asdict(summarize(list(read_records(Group, ranked.path)))))


def _measured(planned: Plan) -> dict[str, float]:
    """What training did to held-out groups, what the small formats cost and how far they agree: one number a name."""
    numbers = _validation(planned.rounds[-1].trained.path / "metrics.jsonl") if planned.rounds else {}
    if planned.measured and planned.measured.done:
        numbers |= {
            name: value for found in read_records(Measured, planned.measured.path) for name, value in flat(found).items()
        }
    for step in planned.agreements:
        for agreement in read_records(Agreement, step.path) if step.done else ():
            for name in ("drift", "drift_size", "same_text", "first_difference", "effect", "p"):
                numbers[f"{agreement.name}/{name}"] = getattr(agreement, name)
    return numbers


def _validation(path: Path) -> dict[str, float]:
    """The numbers of held-out groups before the last round's training (step 0) and after it; none before it has run."""
    numbers: dict[str, float] = {}
    for name, series in read_metrics(path).items():
        if name.startswith("validation/"):
            numbers |= {f"{name}/before": value for step, value in series if not step}
            numbers[f"{name}/after"] = series[-1][1]
    return numbers


def _result(settings: Settings, evaluation: Evaluation) -> Result:
    protocol = settings.benchmarks[evaluation.benchmark].protocol
    problems = read_records(Problem, evaluation.problems.path)
    verdicts = by_task(row.verdict for row in read_records(Judged, evaluation.judged.path))
    found = score(evaluation.benchmark, problems, verdicts, model=evaluation.model, protocol=protocol.label, ks=protocol.ks)
    return Result(evaluation.model, evaluation.benchmark, found)


def _comparisons(settings: Settings, results: Sequence[Result]) -> list[ComparisonRow]:
    """Each model against each earlier one on the same benchmark, at its first k; epochs only with what came before them."""
    rows = []
    for first, second in combinations(results, 2):
        if first.benchmark == second.benchmark and not epoch_of(first.model):
            k = settings.benchmarks[first.benchmark].protocol.ks[0]
            before, after = values(first.found.problems, k), values(second.found.problems, k)
            rows.append(ComparisonRow.of(first.benchmark, k, compare(before, after, names=(first.model, second.model))))
    return rows


def _batches(evaluations: Sequence[Evaluation]) -> Iterator[BatchRow]:
    """How far batch size alone moves each model's greedy answers, where it was measured."""
    for model, benchmark, _, _, batches in evaluations:
        if len(batches) == 2 and all(step.done for _, step in batches):
            (small, one), (large, other) = batches
            answers = (list(read_records(Judged, step.path)) for step in (one, other))
            yield BatchRow.of(benchmark, model, batch_sensitivity(*answers, batch_sizes=(small, large)))


def _drops(settings: Settings, results: Sequence[Result]) -> list[ComparisonRow]:
    """Each model on a benchmark's variant against the same model on the benchmark itself, where the run has both."""
    rows = []
    for plain, varied in permutations(results, 2):
        before, after = settings.benchmarks[plain.benchmark], settings.benchmarks[varied.benchmark]
        wanted = dataclasses.replace(after, variant=base_of(after.variant), published=before.published)
        if plain.model == varied.model and after.variant is not Variant.none and before == wanted:
            k = after.protocol.ks[0]
            numbers = values(plain.found.problems, k), values(varied.found.problems, k)
            rows.append(ComparisonRow.of(varied.benchmark, k, drop(*numbers, after.variant, model=varied.model)))
    return rows


def report(settings: Settings, planned: Plan, row: RunRow, *, logs: RunLogs, cached: Collection[str]) -> None:
    """Write the row, the picture and the page, and close the logs."""
    folder = Path(settings.run_dir)
    append(folder / "results.jsonl", row)
    pictures = {"run": save(run_figure(row), folder / "picture.png"), **benchmark_pictures([row], folder)}
    if row.data:
        pictures["data"] = save(data_figure(row.data), folder / "data.png")
    write_page(folder / "page.html", sections(planned), title=row.title)
    steps = 0
    for turn in planned.rounds:
        if turn.trained.key in cached:  # trained by an earlier run: its numbers belong to this one's logs too
            logs.take(turn.trained.path / "metrics.jsonl", steps)
        steps += last_step(turn.trained)
    judged = {name: section.judged for name, section in sections(planned).items()}
    logs.finish(row, judged=judged, pictures=pictures)


def sections(planned: Plan) -> dict[str, Section]:
    """What was judged, by the set of problems it belongs to: the training problems, and each benchmark."""
    judged: dict[str, list[Judged]] = {}
    problems = {"training": planned.problems}
    for step in planned.judged:
        if step.done:
            judged.setdefault("training", []).extend(read_records(Judged, step.path))
    for evaluation in planned.evaluations:
        if evaluation.judged.done:
            problems[evaluation.benchmark] = evaluation.problems
            judged.setdefault(evaluation.benchmark, []).extend(read_records(Judged, evaluation.judged.path))
    return {name: Section(list(read_records(Problem, problems[name].path)), rows) for name, rows in judged.items()}


def objective(settings: Settings, row: RunRow) -> float | None:
    """The pass@k a sweeper maximizes: of the last model on the benchmark `metric` names (the first one by default)."""
    if not settings.benchmarks:
        return None
    name = settings.metric or next(iter(settings.benchmarks))
    k = settings.benchmarks[name].protocol.ks[0]
    found = [score.value for score in row.scores if (score.benchmark, score.k) == (name, k)]
    return found[-1] if found else None
