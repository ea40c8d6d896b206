"""The train stage as steps: groups in, a folder of checkpoints and training numbers out."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rrtf.checkpoints import resolve
from rrtf.errors import UserError
from rrtf.plan import Stage, Step
from rrtf.progress import Report
from rrtf.records import Group
from rrtf.report.metrics import Metrics, read_steps
from rrtf.sampling.settings import LocalModel
from rrtf.settings import Settings
from rrtf.steps import Model, Planner
from rrtf.store import digest, read_records
from rrtf.together import announce
from rrtf.training.launched import helps
from rrtf.training.settings import Batching, Best

# raise when training the same groups with the same settings would give other weights
TRAIN_VERSION = "1"


class Log(NamedTuple):
    """Where training's numbers and its answers to held-out prompts go, each with the step they belong to.

    `again` takes a metrics.jsonl that an earlier process wrote, and how many steps came before its first; `say` a line for
    whoever watches.
    """

    numbers: Callable[[int, dict[str, float]], None] = lambda step, numbers: None
    answers: Callable[[int, dict[str, str]], None] = lambda step, answers: None
    again: Callable[[Path, int], None] = lambda path, before: None
    say: Callable[[str], None] = lambda line: None


SILENT = Log()
PARTS = ("loss", "adapter", "optim", "trainer", "batching")


def trained(planner: Planner, ranked: Step, student: Model, number: int, *, log: Log) -> Step:
    """The student's next checkpoint: a folder that holds `model` and `metrics.jsonl`."""
    settings = planner.settings

    def make(path: Path, report: Report) -> None:
        _train(settings, ranked, student, path, report=report, log=log)

    recipe = {name: dataclasses.asdict(getattr(settings, name)) for name in PARTS} | {
        "student": student.identity,
        "seed": settings.seed,
        "validation_share": settings.validation_share,
        "version": TRAIN_VERSION,
    }
    return planner.add(
        Step(
            stage=Stage.train,
            title="train" if settings.rounds == 1 else f"train round {number}",
            unit="steps",
            recipe=recipe,
            make=make,
            store=planner.store,
            needs=(ranked, *student.needs),
            suffix="",
        )
    )


def _train(settings: Settings, ranked: Step, student: Model, path: Path, *, report: Report, log: Log) -> None:
    """Make the folder `path`; a process that only trains along (rrtf.together) leaves files and logs to the first one."""
    from rrtf.training.fit import fit  # torch and Lightning load here, after all cheaper work

    groups = [group for group in read_records(Group, ranked.path) if not group.dropped]
    if not groups:
        raise UserError("ranking kept no group, so there is nothing to train on: see the rank stage's table")
    training, validation = _split(groups, settings.validation_share)
    unfinished = path.with_name(path.name + ".unfinished")
    kept, leads = SILENT, not helps(settings.trainer)
    if leads:
        kept = _kept(unfinished, report, log, batching=settings.batching, groups=len(training))
        log.again(unfinished / "metrics.jsonl", 0)
        if not (unfinished / "model").is_dir():
            announce(ranked.store, path.name, settings.trainer)
    assert isinstance(student.source, LocalModel)
    fit(
        training,
        resolve(student.source.checkpoint).path,
        validation=validation,
        seed=settings.seed,
        out=unfinished,
        log=kept.numbers,
        log_text=kept.answers,
        **{name: getattr(settings, name) for name in PARTS},
    )
    if leads:
        unfinished.rename(path)


def later(log: Log, earlier: Sequence[Step]) -> Log:
    """`log` for a round whose steps are counted on from those of the `earlier` rounds."""

    @functools.cache
    def before() -> int:
        return sum(map(last_step, earlier))

    return Log(
        lambda step, numbers: log.numbers(before() + step, numbers),
        lambda step, texts: log.answers(before() + step, texts),
        lambda path, more: log.again(path, before() + more),
        log.say,
    )


def last_step(trained: Step) -> int:
    """How many steps a finished training took."""
    return max((step for step, _ in read_steps(trained.path / "metrics.jsonl")), default=0)


def after(student: Model, trained: Step, number: int, rounds: int) -> Model:
    """The student as a training step leaves it."""
    name = "trained" if number == rounds else f"round {number}"
    assert isinstance(student.source, LocalModel)
    source = dataclasses.replace(student.source, checkpoint=str(trained.path / "model"))
    return Model(name, source, (trained,))


def each_epoch(student: Model, trained: Step, number: int, settings: Settings) -> list[Model]:
    """The student after each epoch, where training keeps them; the last is left out where it is what training returns."""
    if settings.trainer.snapshot_every != -1:
        return []
    assert isinstance(student.source, LocalModel)
    last = settings.batching.epochs - (settings.trainer.best is Best.last)
    prefix = "" if settings.rounds == 1 else f"round {number} "
    folders = {epoch: trained.path / "snapshots" / f"epoch-{epoch}" for epoch in range(1, last + 1)}
    return [
        Model(f"{prefix}epoch {epoch}", dataclasses.replace(student.source, checkpoint=str(folder)), (trained,))
        for epoch, folder in folders.items()
    ]


def _split(groups: Sequence[Group], share: float) -> tuple[list[Group], list[Group]]:
    """Those to train on, and about this share held out; a number in [0, 1) stands for a task, the same in every run."""
    held = {group.task_id for group in groups if int(digest(group.task_id)[:8], 16) / 16**8 < share}
    return [group for group in groups if group.task_id not in held], [group for group in groups if group.task_id in held]


def _steps(groups: int, batching: Batching) -> int:
    return math.ceil(groups / batching.prompts_per_step) * batching.epochs


def _kept(folder: Path, report: Report, log: Log, *, batching: Batching, groups: int) -> Log:
    """A log that also keeps each row in the artifact, says what is not trained on, and moves the progress line."""
    metrics, total = Metrics(folder / "metrics.jsonl"), _steps(groups, batching)

    def numbers(step: int, values: dict[str, float]) -> None:
        named = {_named(name): value for name, value in values.items()}
        metrics(step, named)
        if step == 0 and (line := _shortfall(values, groups, batching)):
            log.say(line)
        report(step, total, f"loss {named['train/loss']:.3f}" if "train/loss" in named else "")
        log.numbers(step, named)

    def answers(step: int, texts: dict[str, str]) -> None:
        metrics.answers(step, texts)
        log.answers(step, texts)

    return Log(numbers, answers)


def _shortfall(values: Mapping[str, float], groups: int, batching: Batching) -> str:
    """A line that says which data is left out or cut; "" where everything is trained on as it was written."""
    limit = f"batching.max_length={batching.max_length}"
    words = {
        "groups_left_out": f"of {groups} groups left out (a prompt of {limit} tokens or more, or nothing but empty responses)",
        "responses_left_out": "empty responses left out",
        "responses_cut": f"responses cut, with their prompts longer than {limit} tokens",
    }
    found = [f"{values[name]:.0f} {text}" for name, text in words.items() if values.get(name)]
    return f"  train: {'; '.join(found)}" if found else ""


def _named(name: str) -> str:
    """A number as reports group it: by whether it was measured on the groups trained on or on those held out."""
    return f"validation/{name.removeprefix('validation_')}" if name.startswith("validation_") else f"train/{name}"
