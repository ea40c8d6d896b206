"""Online RL beside RRTF: rewards are the judge's, the time is the run's, and one row holds both."""

import dataclasses
import io
import json
import sys
from pathlib import Path

import pytest
import tiny_models
from rich.console import Console

from rrtf import online_rl
from rrtf.errors import UserError
from rrtf.evaluation.settings import Benchmark, Protocol
from rrtf.judge.settings import Judge
from rrtf.online_rl import NAME, Cost, Rewards, arguments, compare_with, joined, rrtf_cost, settings_of, train
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet
from rrtf.profiles import Profile, Style
from rrtf.records import Score, to_row
from rrtf.report.rows import GroupRow, RunRow, SourceRow, StageRow, append, read
from rrtf.report.settings import Logger, WandbMode
from rrtf.run import execute_run
from rrtf.sampling.settings import Decoding, HuggingFace, Reference
from rrtf.sampling.settings import Precision as Number
from rrtf.settings import Settings
from rrtf.training.settings import Adapter, AdapterKind, Batching, Optim, Precision, Trainer

COSTS = {
    "RRTF": Cost(seconds=10.0, programs=6, passed=3, groups=4, taught=3, steps=1, memory_gb=1.0),
    NAME: Cost(seconds=11.0, programs=64, passed=2, groups=8, taught=5, steps=4, memory_gb=2.0),
}
TAKEN = {"problems": 100.0, "sample": 1.0, "judge": 2.0, "rank": 0.5, "train": 4.0, "evaluate": 50.0}
HELDOUT = ProblemSet(split="heldout", limit=4)


def settings(folder: Path, **changes: object) -> Settings:
    """A run on a tiny student; chat, because that prompt opens the fence at which an answer ends."""
    student = HuggingFace(checkpoint=str(folder / "student"), precision=Number.float32, rows=2)
    chosen: dict[str, object] = {
        "student": student,
        "teachers": {"reference": Reference()},
        "problems": ProblemSet(split="train", limit=4),
        "sampling": Decoding(n=1, temperatures=[0.6, 1.0], max_new_tokens=8),
        "judge": Judge(workers=1),
        "batching": Batching(prompts_per_step=4, epochs=1),
        "benchmarks": {"heldout": Benchmark(problems=HELDOUT, protocol=Protocol(max_new_tokens=4), published="here")},
        "trainer": Trainer(precision=Precision.fp32),
        "validation_share": 0.0,
        "logger": Logger(mode=WandbMode.disabled),
        "store": str(folder / "store"),
        "run_dir": str(folder / "run"),
    }
    return Settings(**(chosen | changes))  # type: ignore[arg-type]


def row(folder: Path, **changes: object) -> RunRow:
    """The row of a run that solved the first of four held-out problems before training and the first two after it."""
    tasks = [problem.task_id for problem in load(HELDOUT)]
    known: dict[str, object] = {
        "experiment": "cost_vs_rl",
        "overrides": ("experiment=cost_vs_rl", "scale=cpu"),
        "settings": to_row(dataclasses.asdict(settings(folder))),
        "scores": (score("student", 1), score("trained", 2)),
        "solved": {"heldout/student": tuple(tasks[:1]), "heldout/trained": tuple(tasks[:2])},
        "sources": (source("student", 4, 1), source("reference", 2, 2)),
        "groups": (GroupRow(kept=3, dropped={"no teacher response": 1}),),
        "stages": tuple(
            StageRow(stage=name, title=name, seconds=taken, cached=name == "judge") for name, taken in TAKEN.items()
        ),
    }
    return RunRow(**(known | changes))  # type: ignore[arg-type]


def score(model: str, solved: int) -> Score:
    numbers = {"value": solved / 4, "low": 0.0, "high": 1.0, "problems": 4, "samples": 4, "solved": solved}
    return Score(benchmark="heldout", model=model, protocol="greedy", k=1, interval="wilson", **numbers)


def source(name: str, candidates: int, passed: int) -> SourceRow:
    counts = {"problems": 4, "problems_solved": passed, "outcomes": {}}
    return SourceRow(source=name, role="student", candidates=candidates, passed=passed, **counts)


def test_a_reward_is_the_score_ranking_gives_the_verdict_of_what_sampling_would_have_taken(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    problems = list(load(chosen.problems))
    rewards = Rewards(chosen, problems)
    first, second = problems[:2]
    right = f"{first.reference}\n```\nThis adds prose, and a second program:\n```python\nraise SystemExit\n```"
    nothing = f"{second.signature}\n    return None\n```"
    broken = "def (:\n"
    scores = chosen.ranking.scores
    asked = [first.task_id, second.task_id, second.task_id]
    found = rewards(completions=[right, nothing, broken], task_id=asked, prompts=["", "", ""], trainer_state=None)
    assert found[0] == scores["all_tests_passed"] and found[2] == min(scores.values())
    assert found[1] in (scores["no_test_passed"], scores["some_tests_passed"])
    assert (rewards.programs, rewards.passed, rewards.groups, rewards.taught) == (3, 1, 2, 1)
    rewards(completions=[right, right], task_id=[first.task_id] * 2)
    assert (rewards.programs, rewards.passed, rewards.groups, rewards.taught) == (5, 3, 3, 1)


def test_an_answer_ends_where_the_run_says_it_does(tmp_path: Path) -> None:
    chosen = settings(tmp_path, sampling=Decoding(stop=["# the end"]))
    (problem,) = load(ProblemSet(split="train", limit=1))
    undone = f"{problem.reference}\n{problem.signature}\n    return None\n"
    rewards = Rewards(chosen, [problem])
    ended = undone.replace(f"\n{problem.signature}\n    return", f"\n# the end\n{problem.signature}\n    return")
    assert rewards(completions=[ended], task_id=[problem.task_id]) == [1.0]
    assert rewards(completions=[undone], task_id=[problem.task_id]) != [1.0]


def test_a_style_that_is_continued_is_judged_with_what_it_continues(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    chosen.student.profile = Profile(style=Style.plain)
    problem = next(problem for problem in load(chosen.problems) if problem.reference.startswith(problem.signature))
    body = problem.reference[len(problem.signature) :]
    rewards = Rewards(chosen, [problem])
    assert rewards(completions=[body, f"{body}\ndef other(:"], task_id=[problem.task_id] * 2) == [1.0, 1.0]


def test_the_cost_of_a_run_is_that_of_its_own_work_whenever_it_was_done(tmp_path: Path) -> None:
    numbers = tmp_path / "metrics.jsonl"
    lines = [{"step": 1, "train/loss": 2.0, "train/memory_gb": 1.5}, {"step": 2, "train/loss": 1.0, "train/memory_gb": 2.5}]
    numbers.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert rrtf_cost(row(tmp_path), numbers) == Cost(
        seconds=7.5, programs=6, passed=3, groups=4, taught=3, steps=2, memory_gb=2.5
    )
    assert rrtf_cost(row(tmp_path), tmp_path / "none.jsonl").memory_gb == 0


def test_the_settings_of_a_row_are_those_of_the_run_without_whom_only_rrtf_asks(tmp_path: Path) -> None:
    own = settings(tmp_path)
    assert settings_of(row(tmp_path)) == dataclasses.replace(own, teachers={})
    with pytest.raises(ValueError, match="unknown field 'colour'"):
        settings_of(row(tmp_path, settings={"colour": "red"}))


def test_grpo_takes_the_runs_settings_and_as_many_answers_a_step_as_rrtf_draws(tmp_path: Path) -> None:
    found = arguments(settings(tmp_path, optim=Optim(learning_rate=3e-5), seed=7), tmp_path)
    assert (found["learning_rate"], found["seed"], found["max_completion_length"]) == (3e-5, 7, 8)
    assert (found["temperature"], found["top_p"], found["bf16"], found["use_cpu"]) == (1.0, 0.95, False, True)
    for prompts, n, group, groups in [(4, 1, 8, 1), (16, 1, 8, 4), (1, 1, 8, 1), (64, 8, 16, 64)]:
        decoding = Decoding(n=n, temperatures=[0.6, 1.0])
        found = arguments(settings(tmp_path, sampling=decoding, batching=Batching(prompts_per_step=prompts)), tmp_path)
        assert (found["num_generations"], found["gradient_accumulation_steps"]) == (group, groups), (prompts, n)
        assert found["per_device_train_batch_size"] == group


def test_one_row_holds_both_with_comparisons_and_costs_and_no_folder_of_this_machine(tmp_path: Path) -> None:
    run, tasks = row(tmp_path), [problem.task_id for problem in load(HELDOUT)]
    found = row(tmp_path, scores=(score("student", 3),), solved={"heldout/student": tuple(tasks[1:])}, seconds=5.0)
    both = joined(run, found, costs=COSTS)
    assert [(s.model, s.solved) for s in both.scores] == [("student", 1), ("trained", 2), (NAME, 3)]
    counts = {c.first: (c.second, c.gained, c.lost) for c in both.comparisons}
    assert counts == {"student": (NAME, 3, 1), "trained": (NAME, 2, 1)}
    assert both.measured[f"{NAME}/programs"] == 64 and both.measured["RRTF/seconds"] == 10 and both.seconds == 16
    assert both.overrides == (*run.overrides, "online_rl") and both.settings == run.settings
    append(tmp_path / "results.jsonl", both)
    assert read(tmp_path / "results.jsonl") == [both]


def test_a_run_that_trained_nothing_gives_no_time(tmp_path: Path) -> None:
    append(tmp_path / "results.jsonl", row(tmp_path, stages=()))
    with pytest.raises(UserError, match="nothing was trained"):
        compare_with(tmp_path, out=tmp_path / "out", seconds=0.0, console=Console(file=io.StringIO()))


def test_without_trl_or_a_run_the_command_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.setattr(sys, "argv", ["online_rl", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"results\.jsonl: no such file"):
        online_rl.main()
    append(tmp_path / "results.jsonl", row(tmp_path))
    with pytest.raises(SystemExit, match=r"pip install 'rrtf\[rl\]'"):
        online_rl.main()


@pytest.fixture
def student(tmp_path: Path) -> Path:
    config = tiny_models.save(tmp_path / "student") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 4096}))  # bytes are many tokens
    return tmp_path


# TRL, datasets and accelerate warn of each other's changes
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_a_run_and_online_rl_after_it_leave_one_row_and_the_second_time_nothing_is_trained(student: Path) -> None:
    pytest.importorskip("trl", reason="needs rrtf[rl]")
    console = Console(file=io.StringIO())
    # one hot token after `def …:` is a name or no code at all, so that rewards differ and there is something to learn
    hot = Decoding(n=1, temperatures=[0.6, 3.0], top_p=1.0, max_new_tokens=1)
    paper, name = Profile(style=Style.paper), str(student / "student")
    asked = HuggingFace(checkpoint=name, precision=Number.float32, rows=2, profile=paper)
    execute_run(settings(student, student=asked, sampling=hot), console, overrides=["scale=cpu"])
    out = student / "out"
    both = compare_with(student / "run", out=out, seconds=15.0, console=console)
    assert {score.model for score in both.scores} == {"student", "trained", NAME} and len(both.comparisons) == 3
    assert both.measured["RRTF/programs"] == 4 * 2 + 4 and both.measured["RRTF/steps"] == 1
    steps = both.measured[f"{NAME}/steps"]
    assert steps >= 1 and both.measured[f"{NAME}/programs"] == 8 * steps and both.measured[f"{NAME}/seconds"] >= 15
    assert both.measured[f"{NAME}/memory_gb"] > 0.1 and both.measured[f"{NAME}/taught"] >= 1
    assert (out / "model" / "model.safetensors").read_bytes() != (student / "student" / "model.safetensors").read_bytes()
    (out / "model" / "marker").write_text("")
    again = compare_with(student / "run", out=out, seconds=15.0, console=console)
    assert again.measured == both.measured and (out / "model" / "marker").is_file() and len(read(out / "results.jsonl")) == 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_a_low_rank_student_is_trained_too(student: Path) -> None:
    pytest.importorskip("trl", reason="needs rrtf[rl]")
    said: list[str] = []
    chosen = settings(student, adapter=Adapter(kind=AdapterKind.lora, rank=2))
    cost = train(chosen, seconds=0.1, out=student / "out", log=said.append)
    assert cost.steps == len(said) == 1 and "8 programs" in said[0]
    assert (student / "out" / "model" / "adapter_model.safetensors").is_file()
