"""The other way to learn from tests, for comparison: online RL (GRPO of TRL) with the same student, problems, judge and time.

    python -m rrtf.online_rl RUN      RUN is the folder of a finished `rrtf experiment=cost_vs_rl`; needs the extra `rl`

It trains for as long as that run sampled, judged, ranked and trained, measures the result as that run measured its own, and
leaves one row with both: scores, paired comparisons, and what each cost. Start it where the run was started.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import fsum
from pathlib import Path
from typing import Any

from rich.console import Console

from rrtf.checkpoints import resolve
from rrtf.errors import InfrastructureError, UserError
from rrtf.evaluation.comparison import compare
from rrtf.evaluation.settings import ProtocolKind
from rrtf.extraction import extract
from rrtf.judge.engine import Job, judge
from rrtf.plan import Stage
from rrtf.problems.load import load
from rrtf.profiles import stops
from rrtf.records import Outcome, Problem, from_row
from rrtf.report.metrics import read_metrics
from rrtf.report.rows import ComparisonRow, RunRow, append, read
from rrtf.report.tables import final_table
from rrtf.run import execute_run
from rrtf.sampling.local import Writer
from rrtf.sampling.stage import student_prompts
from rrtf.settings import Settings
from rrtf.training.meter import memory_gb
from rrtf.training.settings import Accelerator, AdapterKind, Precision

NAME = "online RL"
# what RRTF spends its time on and online RL's training stands for
_WORK = {Stage.sample.value, Stage.judge.value, Stage.rank.value, Stage.train.value}
# GRPO compares a prompt's answers with each other. TRL's default; RRTF's one or two would leave nothing to compare
_GROUP = 8


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What learning took: wall time, programs run and how many passed every test, steps, peak memory (0: not known).

    `groups` are the answers to one prompt taken together, `taught` those that training could learn from: the groups RRTF
    keeps, and those in which GRPO's rewards differ (equal ones have no gradient).
    """

    seconds: float
    programs: int
    passed: int
    groups: int
    taught: int
    steps: int
    memory_gb: float


def rrtf_cost(row: RunRow, numbers: Path) -> Cost:
    """What a run's own learning took, whenever its steps were made. `numbers` is its metrics.jsonl."""
    series = read_metrics(numbers)
    memory = series.get("train/memory_gb", [(0, 0.0)])
    return Cost(
        seconds=round(fsum(stage.seconds for stage in row.stages if stage.stage in _WORK), 1),
        programs=sum(source.candidates for source in row.sources),
        passed=sum(source.passed for source in row.sources),
        groups=sum(group.kept + sum(group.dropped.values()) for group in row.groups),
        taught=sum(group.kept for group in row.groups),
        steps=len(series.get("train/loss", [])),
        memory_gb=round(max(value for _, value in memory), 2),
    )


def settings_of(row: RunRow) -> Settings:
    """A row's settings, less those who only RRTF asks. Raises ValueError for a row of another version."""
    return from_row(Settings, row.settings | {"teachers": {}, "writer": None})


class Rewards:
    """GRPO's reward: the score RRTF's ranking gives a program's outcome. Counts what it runs."""

    __name__ = "test_outcome"

    def __init__(self, settings: Settings, problems: Sequence[Problem]) -> None:
        self.settings = settings
        self.problems = {problem.task_id: problem for problem in problems}
        self.programs = self.passed = self.groups = self.taught = 0

    def __call__(self, completions: Sequence[str], task_id: Sequence[str], **unused: Any) -> list[float]:
        """One reward a completion. Raises InfrastructureError where the judge failed, which is no reward."""
        asked = [self.problems[name] for name in task_id]
        programs = [self._program(text, problem) for text, problem in zip(completions, asked, strict=True)]
        jobs = (Job(problem, program) for problem, program in zip(asked, programs, strict=True))
        outcomes = [verdict.outcome for verdict in judge(jobs, self.settings.judge)]
        if Outcome.judge_error in outcomes:
            raise InfrastructureError("the judge failed on a completion: see rrtf-judge doctor")
        self.programs += len(outcomes)
        self.passed += outcomes.count(Outcome.all_tests_passed)
        found = [self.settings.ranking.scores[outcome.value] for outcome in outcomes]
        groups = [{reward for name, reward in zip(task_id, found, strict=True) if name == task} for task in set(task_id)]
        self.groups += len(groups)
        self.taught += sum(len(different) > 1 for different in groups)
        return found

    def _program(self, text: str, problem: Problem) -> str:
        """What the sample stage would take: TRL can't stop at a text, so it is cut here."""
        profile = self.settings.student.profile
        for stop in (*stops(problem, profile), *self.settings.sampling.stop):
            text = text.split(stop)[0]
        return extract(text, problem, profile).program


def arguments(settings: Settings, out: Path) -> dict[str, Any]:
    """GRPO's settings: the run's own where there is a counterpart, as many answers a step as RRTF draws; else TRL's."""
    decoding, optim, trainer = settings.sampling, settings.optim, settings.trainer
    group = max(_GROUP, decoding.n * len(decoding.temperatures))
    answers = settings.batching.prompts_per_step * decoding.n * len(decoding.temperatures)
    return {
        "output_dir": str(out / "trainer"),
        "num_generations": group,
        "per_device_train_batch_size": group,
        "gradient_accumulation_steps": max(1, answers // group),
        "max_completion_length": decoding.max_new_tokens,
        "temperature": max(decoding.temperatures),
        "top_p": decoding.top_p,
        "learning_rate": optim.learning_rate,
        # how many steps fit into the time is not known before, so there is nothing to let the rate fall along
        "lr_scheduler_type": "constant",
        "weight_decay": optim.weight_decay,
        "max_grad_norm": trainer.clip,
        "max_steps": 1_000_000,
        "bf16": trainer.precision in (Precision.bf16, Precision.bf16_weights),
        "fp16": trainer.precision is Precision.fp16,
        "gradient_checkpointing": trainer.gradient_checkpointing,
        "use_cpu": trainer.accelerator is Accelerator.cpu,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "seed": settings.seed,
    }


def train(settings: Settings, *, seconds: float, out: Path, log: Callable[[str], None]) -> Cost:
    """Train the student by GRPO until `seconds` are over (the step under way is finished); the model goes to out/model.

    Raises UserError where TRL is missing.
    """
    began = time.monotonic()
    problems = list(load(settings.problems))
    rewards = Rewards(settings, problems)

    def over(step: int) -> bool:
        spent = time.monotonic() - began
        seen = f"{rewards.programs} programs, {rewards.passed} passed, {rewards.taught} of {rewards.groups} groups teach"
        log(f"  step {step}: {seen}, {spent:.0f} of {seconds:.0f} s")
        return spent >= seconds

    trainer = _trainer(settings, rewards, over=over, out=out)
    trainer.train()
    cost = Cost(
        seconds=round(time.monotonic() - began, 1),
        programs=rewards.programs,
        passed=rewards.passed,
        groups=rewards.groups,
        taught=rewards.taught,
        steps=trainer.state.global_step,
        memory_gb=round(memory_gb(trainer.accelerator.device), 2),
    )
    trainer.save_model(str(out / "model"))
    (out / "cost.json").write_text(json.dumps(asdict(cost), indent=1) + "\n")
    return cost


def _trainer(settings: Settings, rewards: Rewards, *, over: Callable[[int], bool], out: Path) -> Any:
    """TRL's trainer on the prompts that RRTF's student is shown; it ends after the step for which `over` is true."""
    try:
        from trl import GRPOConfig, GRPOTrainer
    except ImportError as error:
        raise UserError(f"online RL needs TRL ({error}): pip install 'rrtf[rl]' (Python 3.11 or newer)") from None
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **unused: Any) -> Any:
            control.should_training_stop = over(state.global_step)
            return control

    path, adapter, functions = resolve(settings.student.checkpoint).path, settings.adapter, [rewards]
    texts = student_prompts(rewards.problems.values(), settings.student)
    beginning = Writer(path).beginning  # TRL's tokenizer puts it before a text itself
    prompts = [{"prompt": text.removeprefix(beginning), "task_id": name} for name, text in texts.items()]
    modules = "all-linear" if adapter.modules == ["all-linear"] else adapter.modules
    lora = LoraConfig(r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, target_modules=modules)
    chosen: dict[str, Any] = {"reward_funcs": functions, "peft_config": None if adapter.kind is AdapterKind.full else lora}
    config = GRPOConfig(**arguments(settings, out))
    return GRPOTrainer(str(path), args=config, train_dataset=Dataset.from_list(prompts), callbacks=[Stop()], **chosen)


def measured(settings: Settings, out: Path, console: Console) -> RunRow:
    """The row of the usual command on the trained model: `rrtf student.checkpoint=out/model rounds=0`."""
    student = replace(settings.student, checkpoint=str(out / "model"))
    own = replace(settings, student=student, rounds=0, run_dir=str(out / "measured"), stages=[Stage.evaluate, Stage.report])
    execute_run(own, console, overrides=["rounds=0"])
    return read(out / "measured" / "results.jsonl")[-1]


def joined(run: RunRow, found: RunRow, *, costs: dict[str, Cost]) -> RunRow:
    """One row with RRTF's run and online RL's model `found`: scores, comparisons with the student and with RRTF's, costs."""
    settings = settings_of(run)
    scores = tuple(replace(score, model=NAME) for score in found.scores)
    solved = run.solved | {f"{name.rpartition('/')[0]}/{NAME}": tasks for name, tasks in found.solved.items()}
    comparisons = []
    for name, benchmark in settings.benchmarks.items():
        if benchmark.protocol.kind is not ProtocolKind.samples:  # one answer a problem: solved or not
            tasks = [problem.task_id for problem in load(benchmark.problems)]
            for model in dict.fromkeys(score.model for score in run.scores if score.benchmark == name):
                before, after = ({task: float(task in solved[f"{name}/{who}"]) for task in tasks} for who in (model, NAME))
                comparisons.append(ComparisonRow.of(name, 1, compare(before, after, names=(model, NAME))))
    return replace(
        found,
        overrides=(*run.overrides, "online_rl"),
        settings=run.settings,
        scores=(*run.scores, *scores),
        comparisons=(*run.comparisons, *comparisons),
        solved=solved,
        measured={f"{who}/{name}": float(value) for who, cost in costs.items() for name, value in asdict(cost).items()},
        seconds=round(costs[NAME].seconds + found.seconds, 1),
    )


def compare_with(run: Path, *, out: Path, seconds: float, console: Console) -> RunRow:
    """Train and measure what is not there yet in `out`, and add the joined row to out/results.jsonl."""
    row = read(run / "results.jsonl")[-1]
    settings, own = settings_of(row), rrtf_cost(row, run / "metrics.jsonl")
    if not (seconds or own.seconds):
        raise UserError(f"{run}: nothing was trained in this run, so there is no time to give to online RL; name --seconds")
    out.mkdir(parents=True, exist_ok=True)
    done = out / "cost.json"
    cost = (
        Cost(**json.loads(done.read_text()))
        if done.is_file()
        else train(settings, seconds=seconds or own.seconds, out=out, log=console.print)
    )
    both = joined(row, measured(settings, out, console), costs={"RRTF": own, NAME: cost})
    append(out / "results.jsonl", both)
    return both


def main() -> None:
    """Entry point of `python -m rrtf.online_rl`."""
    parser = argparse.ArgumentParser(
        prog="python -m rrtf.online_rl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder of a finished run, with results.jsonl")
    parser.add_argument("--out", type=Path, help="where model, cost and row go (default: online_rl in that folder)")
    parser.add_argument("--seconds", type=float, default=0.0, help="train for so long instead of as long as the run did")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    console, out = Console(highlight=False), chosen.out or chosen.run / "online_rl"
    try:
        row = compare_with(chosen.run, out=out, seconds=chosen.seconds, console=console)
    except (UserError, InfrastructureError, ValueError) as error:
        sys.exit(f"rrtf.online_rl: {error}")
    console.print(final_table(row))
    for name, value in row.measured.items():
        console.print(f"  {name}: {value:g}")
    console.print(f"row of both: {out / 'results.jsonl'}")


if __name__ == "__main__":
    main()
