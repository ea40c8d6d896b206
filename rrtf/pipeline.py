"""The order of the stages. `plan(settings)` names every step without running anything; `rrtf.plan.execute` runs them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from rrtf.checkpoints import at_hand
from rrtf.data_steps import prepared, voted
from rrtf.errors import MissingDataError, UserError
from rrtf.evaluation.robustness import vary
from rrtf.evaluation.settings import Benchmark, ProtocolKind
from rrtf.gptq_folders import require_gptqmodel
from rrtf.judge.authors_image import image_id
from rrtf.loading import refuse_quantized
from rrtf.plan import Step
from rrtf.problems.load import first
from rrtf.quantize_steps import agreed, measured, quantized
from rrtf.records import Role
from rrtf.sampling.settings import LocalModel, Source
from rrtf.sampling.stage import identity
from rrtf.settings import Settings
from rrtf.steps import Evaluation, Model, Planner, examples
from rrtf.train_steps import SILENT, Log, after, each_epoch, later, trained


class Round(NamedTuple):
    """One turn of sample, judge, rank, train (the paper is a single one)."""

    number: int
    judged: dict[str, Step]
    ranked: Step
    trained: Step


class Plan(NamedTuple):
    """Every step in order, and where to find what the report reads."""

    steps: list[Step]
    problems: Step
    rounds: list[Round]
    evaluations: list[Evaluation]
    measured: Step | None
    agreements: list[Step]

    @property
    def judged(self) -> list[Step]:
        """The judged answers to the training problems; teachers answer once and take part in every round."""
        return list({step.key: step for turn in self.rounds for step in turn.judged.values()}.values())


def plan(settings: Settings, *, log: Log = SILENT) -> Plan:
    """Every step of a run, nothing run yet. `log` gets each training step's numbers and answers while it trains."""
    require_files(settings)
    planner = Planner(settings)
    # all problems first: that a file ends too early is to be known before anybody is asked or paid
    untested = settings.test_votes is not None
    planner.problems(settings.problems, untested=untested)
    for benchmark in settings.benchmarks.values():
        planner.problems(benchmark.problems, variant=benchmark.variant)
    student = Model("student", settings.student)
    models = {name: Model(name, source) for name, source in settings.teachers.items()}
    seeds = prepared(planner)
    problems = tested(planner, seeds, models)
    teachers = {
        name: planner.judged(problems, planner.answered(seeds, model, role=Role.teacher)) for name, model in models.items()
    }
    evaluations = [planner.evaluated(student, name, benchmark) for name, benchmark in settings.benchmarks.items()]
    rounds: list[Round] = []
    for number in range(1, settings.rounds + 1):
        own = planner.answered(seeds, own_answers(settings) if number == 1 else student, role=Role.student)
        judged = {student.name: planner.judged(problems, own), **teachers}
        ranked = planner.ranked(problems, judged, student)
        newest = trained(planner, ranked, student, number, log=later(log, [turn.trained for turn in rounds]))
        rounds.append(Round(number, judged, ranked, newest))
        epochs = each_epoch(student, newest, number, settings)
        student = after(student, newest, number, settings.rounds)
        evaluations += [
            planner.evaluated(model, name, benchmark)
            for model in (*epochs, student)
            for name, benchmark in settings.benchmarks.items()
        ]
    whole = Plan(planner.steps, problems, rounds, evaluations, None, [])
    return with_formats(planner, whole, student, teachers) if settings.quantize else whole


def require_files(settings: Settings) -> None:
    """Raise MissingDataError that tells all at once what is wrong with the files and checkpoints a run reads, and the remedy.

    Checksums are compared; of a problem file's rows those up to the first one wanted are read.
    """
    read: dict[str, Callable[[], object]] = {
        "problems": partial(first, settings.problems, untested=settings.test_votes is not None)
    }
    read |= {f"benchmarks.{name}": partial(_try, benchmark) for name, benchmark in settings.benchmarks.items()}
    asked: dict[str, Source | None] = {f"teachers.{name}": teacher for name, teacher in settings.teachers.items()}
    asked["writer"] = settings.writer
    if settings.rounds or settings.benchmarks or settings.quantize:
        asked["student"] = settings.student
    if settings.student_responses.path:
        asked["student_responses"] = settings.student_responses
    trained = "student" if settings.rounds else ""
    read |= {name: partial(_ready, source, train=name == trained) for name, source in asked.items() if source}
    wrong = []
    for name, reader in read.items():
        try:
            reader()
        except UserError as error:
            wrong.append(f"{name}: {error}")
    if wrong:
        raise MissingDataError("\n  - ".join(["not all that this run reads is here and whole:", *wrong]))


def _ready(source: Source, *, train: bool) -> None:
    """Find a source's checkpoint, and what reading and training it needs. Raises UserError."""
    identity(source)
    if isinstance(source, LocalModel) and (folder := at_hand(source.checkpoint)):
        require_gptqmodel(folder)
        if train:
            refuse_quantized(folder)


def _try(benchmark: Benchmark) -> None:
    """Read as much of a benchmark as tells that it can be asked and judged. Raises UserError."""
    vary(first(benchmark.problems), benchmark.variant)
    examples(benchmark)
    if benchmark.image:
        image_id(benchmark.image)


def tested(planner: Planner, seeds: Step, teachers: dict[str, Model]) -> Step:
    """The problems with the tests they are judged by: their own, or those that teachers and student vote for."""
    settings = planner.settings
    if not settings.test_votes:
        return seeds
    answers = [planner.answered(seeds, model, role=Role.teacher) for model in teachers.values()]
    if settings.rounds:
        answers.append(planner.answered(seeds, own_answers(settings), role=Role.student))
    return voted(planner, seeds, answers, settings.test_votes)


def own_answers(settings: Settings) -> Model:
    """Who answers as the student in the first round: the student itself, or the record of what it said."""
    return Model("student", settings.student_responses if settings.student_responses.path else settings.student)


def with_formats(planner: Planner, whole: Plan, base: Model, teachers: dict[str, Step]) -> Plan:
    """The plan with the last student in every chosen small format, evaluated, measured and compared with the original."""
    settings = planner.settings
    if whole.rounds:
        ranked: Step | None = whole.rounds[-1].ranked
    else:  # nothing is trained, but GPTQ is calibrated on answers all the same
        gptq = any(quantization.gptq for quantization in settings.quantize.values())
        ranked = planner.ranked(whole.problems, teachers, base) if gptq else None
    small = [
        quantized(planner, base, quantization, problems=whole.problems, ranked=ranked)
        for quantization in settings.quantize.values()
    ]
    evaluations = whole.evaluations + [
        planner.evaluated(model, name, benchmark) for model in small for name, benchmark in settings.benchmarks.items()
    ]
    found = {(evaluation.model, evaluation.benchmark): evaluation for evaluation in evaluations}
    greedy = [name for name, benchmark in settings.benchmarks.items() if benchmark.protocol.kind is ProtocolKind.greedy]
    agreements = [agreed(planner, base, model, found, name) for model in small for name in greedy]
    step = measured(planner, [base, *small], whole.problems, settings.measurement)
    return whole._replace(steps=planner.steps, evaluations=evaluations, measured=step, agreements=agreements)


def inputs(settings: Settings) -> list[str]:
    """The keys of a run's steps; they hold the digests of every outside file and checkpoint, and each stage's version."""
    return [step.key for step in plan(settings).steps]
