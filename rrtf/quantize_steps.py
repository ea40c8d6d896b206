"""The quantize stage as steps: each format is made, answers the benchmarks like any model, and all are measured together."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from rrtf.checkpoints import resolve
from rrtf.plan import Stage, Step
from rrtf.progress import Report
from rrtf.quantize import sidecar
from rrtf.quantize.settings import Measurement, Quantization
from rrtf.records import Group, Judged, Problem
from rrtf.sampling.settings import CTranslate2, HuggingFace, LocalModel, Source
from rrtf.steps import Evaluation, Model, Planner
from rrtf.store import read_records, write_records

# raise when measuring or comparing the same formats would give other numbers
QUANTIZE_VERSION = "5"


def checkpoint_of(model: Model) -> Path:
    """The folder of a model's weights."""
    assert isinstance(model.source, LocalModel)
    return resolve(model.source.checkpoint).path


def outdated(sources: Sequence[Source]) -> list[str]:
    """A line for each model that is a quantized folder whose source has changed since."""
    names = [source.checkpoint for source in sources if isinstance(source, LocalModel)]
    return [line for name in names if (line := sidecar.outdated(Path(name).expanduser()))]


def quantized(planner: Planner, base: Model, settings: Quantization, *, problems: Step, ranked: Step | None) -> Model:
    """One format of `base`. GPTQ is calibrated on the groups of `ranked`, which hold no problem of a benchmark."""
    benchmarks = [planner.problems(benchmark.problems) for benchmark in planner.settings.benchmarks.values()]
    needs = (*base.needs, problems, ranked, *benchmarks) if settings.gptq and ranked else base.needs

    def make(path: Path, report: Report) -> None:
        from rrtf.quantize.convert import quantize  # torch loads here

        texts = _calibration(settings, problems=problems, ranked=ranked, benchmarks=benchmarks) if settings.gptq else []
        quantize(checkpoint_of(base), settings, texts, out=path, report=report)

    step = planner.add(
        Step(
            stage=Stage.quantize,
            title=f"quantize {base.name} to {settings.label}",
            unit="layers",
            recipe={"settings": dataclasses.asdict(settings), "source": base.identity, "version": QUANTIZE_VERSION},
            make=make,
            store=planner.store,
            needs=needs,
            suffix="",
        )
    )
    return Model(settings.label, _source(base, settings, step), (step,))


def _source(base: Model, settings: Quantization, step: Step) -> Source:
    """How a quantized folder is asked."""
    profile = base.source.profile
    if settings.gptq:
        return HuggingFace(checkpoint=str(step.path), profile=profile)
    return CTranslate2(checkpoint=str(step.path), compute_type="default", profile=profile)


def _calibration(settings: Quantization, *, problems: Step, ranked: Step | None, benchmarks: Sequence[Step]) -> list[str]:
    from rrtf.quantize.calibration import calibration_texts

    assert ranked is not None
    known = {problem.task_id: problem for problem in read_records(Problem, problems.path)}
    asked = [problem for step in benchmarks for problem in read_records(Problem, step.path)]
    return calibration_texts(read_records(Group, ranked.path), known, asked, settings)


def measured(planner: Planner, models: Sequence[Model], problems: Step, settings: Measurement) -> Step:
    """Memory and speed of every model, in turns, on the training problems' prompts as the student reads them."""

    def make(path: Path, report: Report) -> None:
        from rrtf.quantize.measure import Format, measure
        from rrtf.sampling.stage import student_prompts

        formats = [
            Format(model.name, checkpoint_of(model) if n == 0 else model.needs[0].path) for n, model in enumerate(models)
        ]
        texts = student_prompts(read_records(Problem, problems.path), models[0].source)
        write_records(path, measure(formats, list(texts.values()), settings, report=report))

    recipe = {"measurement": dataclasses.asdict(settings), "source": models[0].identity, "version": QUANTIZE_VERSION}
    needs = tuple({step.key: step for model in models for step in (*model.needs, problems)}.values())
    title = "measure memory and speed"
    return planner.add(
        Step(stage=Stage.quantize, title=title, unit="turns", recipe=recipe, make=make, store=planner.store, needs=needs)
    )


def scored(planner: Planner, model: Model, answers: Step, *, answered: str, name: str) -> Step:
    """The probabilities a model gives to the answers of the original, called `answered`, to the benchmark `name`."""

    def make(path: Path, report: Report) -> None:
        from rrtf.quantize.agreement import Scored, score_answers

        candidates = [row.candidate for row in read_records(Judged, answers.path)]
        found = score_answers(checkpoint_of(model), candidates, report=report)
        write_records(path, (Scored(task_id=task, scores=tuple(scores)) for task, scores in found.items()))

    title = f"score what {answered} wrote for {name} by {model.name}"
    recipe = {"model": model.identity, "version": QUANTIZE_VERSION}
    needs = (*model.needs, answers)
    return planner.add(
        Step(stage=Stage.quantize, title=title, unit="answers", recipe=recipe, make=make, store=planner.store, needs=needs)
    )


def agreed(
    planner: Planner, original: Model, small: Model, evaluations: Mapping[tuple[str, str], Evaluation], name: str
) -> Step:
    """How far a small model's greedy answers to a benchmark, and the probabilities it gives them, are the original's."""
    first, second = evaluations[original.name, name].judged, evaluations[small.name, name].judged
    scores = [scored(planner, model, first, answered=original.name, name=name) for model in (original, small)]

    def make(path: Path, report: Report) -> None:
        from rrtf.quantize.agreement import Scored, agree
        from rrtf.sampling.local import Writer

        before, after = (list(read_records(Judged, step.path)) for step in (first, second))
        one, two = ({row.task_id: row.scores for row in read_records(Scored, step.path)} for step in scores)
        encode = Writer(checkpoint_of(original)).ids
        write_records(path, [agree(before, after, original_scores=one, small_scores=two, encode=encode)])

    title = f"compare {small.name} with {original.name} on {name}"
    needs = (*original.needs, *small.needs, first, second, *scores)
    recipe = {"version": QUANTIZE_VERSION}
    return planner.add(
        Step(stage=Stage.quantize, title=title, unit="answers", recipe=recipe, make=make, store=planner.store, needs=needs)
    )
