"""How each stage becomes a step of the plan: what it depends on, and the stage's function around its files."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rrtf import prompts
from rrtf.errors import UserError
from rrtf.evaluation.robustness import VARIANT_VERSION, vary
from rrtf.evaluation.settings import Benchmark, Protocol, ProtocolKind, Variant
from rrtf.judge.authors_image import image_id, judge_in_image
from rrtf.judge.engine import JUDGE_VERSION, Job, judge
from rrtf.plan import Stage, Step
from rrtf.problems.load import file_digest, load, locate
from rrtf.problems.settings import ProblemSet
from rrtf.progress import Report
from rrtf.rank import RANK_VERSION, rank
from rrtf.records import Candidate, Group, Judged, Problem, Role
from rrtf.sampling.settings import Decoding, Override, Source
from rrtf.sampling.stage import identity, sample, student_prompts
from rrtf.settings import Settings
from rrtf.store import Store, read_records, write_records


class Model(NamedTuple):
    """Somebody who answers: what tables call it, how it is asked, and the training step that makes it (() if none)."""

    name: str
    source: Source
    needs: tuple[Step, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What keys must hold of it; where a training step makes the weights, that step's key stands for them."""
        return dataclasses.asdict(self.source) | {"checkpoint": ""} if self.needs else identity(self.source)


class Evaluation(NamedTuple):
    """One model on one benchmark: the artifacts that hold the problems and the judged answers."""

    model: str
    benchmark: str
    problems: Step
    judged: Step
    # the same greedy answers drawn so many at once, where the benchmark asks how much that changes
    batches: tuple[tuple[int, Step], ...] = ()


class Planner:
    """Builds the steps of one run; each method adds the steps of one stage and returns the last of them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(Path(settings.store))
        self.steps: list[Step] = []

    def add(self, step: Step) -> Step:
        """Put a step into the plan unless the same step is in it already."""
        same = next((known for known in self.steps if known.key == step.key), None)
        if same is None:
            self.steps.append(step)
        return same or step

    def problems(self, chosen: ProblemSet, *, variant: Variant = Variant.none, untested: bool = False) -> Step:
        """The problems of one set, as native rows; with a variant, each in that other form; `untested` ones too."""

        def make(path: Path, report: Report) -> None:
            report(write_records(path, (vary(problem, variant) for problem in load(chosen, untested=untested))), 0, "")

        recipe: dict[str, Any] = {"problems": dataclasses.asdict(chosen), "file": file_digest(chosen)}
        title = f"problems {chosen.name} {chosen.split}".rstrip()
        if untested:
            recipe["untested"] = True
        if variant is not Variant.none:
            recipe["variant"] = {"name": variant.value, "version": VARIANT_VERSION}
            title = f"{title} {variant.value}"
        return self.add(Step(stage=Stage.problems, title=title, unit="problems", recipe=recipe, make=make, store=self.store))

    def sampled(
        self,
        problems: Step,
        model: Model,
        decoding: Decoding,
        *,
        role: Role,
        stage: Stage = Stage.sample,
        examples: Sequence[Problem] = (),
        rows: int = 0,
        protocol: str = "",
    ) -> Step:
        """The responses of one model to one set of problems; `examples` are shown solved before each.

        `protocol` tells the title what other samplings of the same problems do otherwise.

        With `rows` the answers are really drawn so many at once, and kept apart from those that were drawn anyhow.
        """
        cache = self.store.root / "cache" / (f"samples-{rows}-at-once.jsonl" if rows else "samples.jsonl")

        def make(path: Path, report: Report) -> None:
            asked = read_records(Problem, problems.path)
            options: dict[str, Any] = {
                "name": model.name,
                "role": role,
                "cache": cache,
                "examples": examples,
                "progress": report,
            }
            write_records(path, sample(asked, model.source, decoding, **options))

        recipe: dict[str, Any] = {
            "source": model.identity,
            "decoding": dataclasses.asdict(decoding),
            "prompts": prompts.VERSION,
            "name": model.name,
            "role": role.value,
            "examples": [example.task_id for example in examples],
        }
        recipe |= {"rows": rows} if rows else {}
        about = [problems.title.split(" ", 1)[1], protocol, f"{rows} at once" if rows else ""]
        title = f"sample {model.name} on {', '.join(filter(None, about))}"
        needs = (problems, *model.needs)
        return self.add(Step(stage=stage, title=title, unit="samples", recipe=recipe, make=make, store=self.store, needs=needs))

    def judged(self, problems: Step, candidates: Step, *, stage: Stage = Stage.judge, image: str = "") -> Step:
        """The verdict on each candidate, in the candidates' order; with `image`, of CoderEval's own runner in it."""
        settings = self.settings.judge
        cache = self.store.root / "cache" / "verdicts.jsonl"

        def make(path: Path, report: Report) -> None:
            known = {problem.task_id: problem for problem in read_records(Problem, problems.path)}
            # voting on tests leaves problems out that were answered already
            rows = [row for row in read_records(Candidate, candidates.path) if row.task_id in known]
            jobs = [Job(known[row.task_id], row.program) for row in rows]
            if image:
                verdicts = judge_in_image(jobs, image)
            else:
                verdicts = judge(jobs, settings, cache=cache, progress=lambda done: report(done, len(rows), ""))
            write_records(path, (Judged(candidate=c, verdict=v) for c, v in zip(rows, verdicts, strict=True)))

        recipe: dict[str, Any] = {"judge": dataclasses.asdict(settings), "version": JUDGE_VERSION}
        if image:
            recipe["image"] = image_id(image)
        title = f"judge {candidates.title.removeprefix('sample ')}"
        needs = (problems, candidates)
        return self.add(
            Step(stage=stage, title=title, unit="programs", recipe=recipe, make=make, store=self.store, needs=needs)
        )

    def ranked(self, problems: Step, judged: dict[str, Step], student: Model) -> Step:
        """One ranked group a problem, student and teachers together, prompts as the student reads them."""
        settings = self.settings

        def make(path: Path, report: Report) -> None:
            rows: dict[str, list[Judged]] = {}
            for step in judged.values():
                for row in read_records(Judged, step.path):
                    rows.setdefault(row.candidate.task_id, []).append(row)
            tasks = list(read_records(Problem, problems.path))
            rendered = student_prompts(tasks, student.source)
            groups = (self._group(task, rows.get(task.task_id, []), rendered[task.task_id]) for task in tasks)
            report(write_records(path, groups), len(tasks), "")

        recipe = {
            "ranking": dataclasses.asdict(settings.ranking),
            "seed": settings.seed,
            "version": RANK_VERSION,
            "prompts": prompts.VERSION,
            "student": student.identity,
        }
        needs = (problems, *judged.values(), *student.needs)
        return self.add(
            Step(stage=Stage.rank, title="rank", unit="groups", recipe=recipe, make=make, store=self.store, needs=needs)
        )

    def _group(self, problem: Problem, judged: list[Judged], prompt: str) -> Group:
        settings = self.settings

        def written(program: str) -> str:
            return prompts.completion(program, problem, settings.student.profile)

        return rank(problem, judged, settings.ranking, prompt=prompt, completion=written, seed=settings.seed)

    def answered(self, problems: Step, model: Model, *, role: Role) -> Step:
        """One source's responses to the training problems."""
        return self.sampled(problems, model, self.settings.sampling, role=role)

    def evaluated(self, model: Model, name: str, benchmark: Benchmark) -> Evaluation:
        """One model's judged answers to one benchmark."""
        source = dataclasses.replace(model.source, profile=benchmark.profile or model.source.profile, decoding=Override())
        problems = self.problems(benchmark.problems, variant=benchmark.variant)
        fixed: dict[str, Any] = {"role": Role.student, "stage": Stage.evaluate, "examples": examples(benchmark)}
        fixed["protocol"] = "" if benchmark.protocol.kind is ProtocolKind.greedy else benchmark.protocol.label

        def judged(rows: int = 0) -> Step:
            asked = dataclasses.replace(source, rows=rows) if rows else source  # type: ignore[call-arg]
            decoding = decoding_of(benchmark.protocol)
            answers = self.sampled(problems, model._replace(source=asked), decoding, rows=rows, **fixed)
            return self.judged(problems, answers, stage=Stage.evaluate, image=benchmark.image)

        sizes = {benchmark.other_rows, getattr(source, "rows", 0)} if benchmark.other_rows else set()
        return Evaluation(model.name, name, problems, judged(), tuple((rows, judged(rows)) for rows in sorted(sizes)))


def examples(benchmark: Benchmark) -> list[Problem]:
    """The solved problems a few-shot benchmark shows, in the order its settings name them. Raises UserError."""
    if not benchmark.examples:
        return []
    everything = dataclasses.replace(benchmark.problems, split="", difficulty="", topic="", limit=0)
    known = {problem.task_id: problem for problem in load(everything)}
    if unknown := [repr(task) for task in benchmark.examples if task not in known]:
        raise UserError(f"examples: {', '.join(unknown)} is not in {locate(everything)} ({next(iter(known))}, …)")
    return [known[task_id] for task_id in benchmark.examples]


def decoding_of(protocol: Protocol) -> Decoding:
    """A benchmark's protocol as the sample stage takes it."""
    sampled = protocol.kind is ProtocolKind.samples
    return Decoding(
        n=protocol.n if sampled else 1,
        temperatures=[protocol.temperature if sampled else 0.0],
        top_p=protocol.top_p if sampled else 1.0,
        max_new_tokens=protocol.max_new_tokens,
        num_beams=protocol.num_beams if protocol.kind is ProtocolKind.beam else 1,
        seed=protocol.seed,
    )
