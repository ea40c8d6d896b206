"""A run from settings to row, with a tiny random student: what the planner wires and what the row and table then say."""

import gzip
import io
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import hydra
import pytest
import tiny_models
from rich.console import Console

from rrtf.errors import ConfigurationError, DataError, MissingDataError, UserError
from rrtf.evaluation.settings import Benchmark, Protocol, ProtocolKind, Variant
from rrtf.judge.engine import Job, judge
from rrtf.judge.settings import Judge
from rrtf.overrides import check_overrides, options_first, override_mistakes
from rrtf.pipeline import plan
from rrtf.plan import Stage, execute
from rrtf.problems.load import load
from rrtf.problems.settings import ProblemSet, Source
from rrtf.profiles import Profile, Style
from rrtf.quantize.settings import Method, Quantization
from rrtf.records import Candidate, Group, Judged, Outcome, Problem, Role
from rrtf.report.ablation_figure import curves
from rrtf.report.logs import RunLogs
from rrtf.report.metrics import read_answers, read_metrics, read_steps
from rrtf.report.rows import RunRow, read
from rrtf.report.settings import Logger, WandbMode
from rrtf.run import execute_run
from rrtf.sampling.settings import Decoding, HuggingFace, Precision, Recorded, Reference
from rrtf.settings import Settings, build, register
from rrtf.store import file_digest, read_records, write_records
from rrtf.training.settings import Accelerator, Batching, Loss, Trainer
from rrtf.training.settings import Precision as Number


def heldout(variant: Variant = Variant.none, *, limit: int = 3) -> Benchmark:
    problems = ProblemSet(split="heldout", limit=limit)
    return Benchmark(problems=problems, variant=variant, protocol=Protocol(max_new_tokens=4), published="here")


def settings(folder: Path, **changes: object) -> Settings:
    student = HuggingFace(
        checkpoint=str(folder / "student"), precision=Precision.float32, profile=Profile(style=Style.plain), rows=2
    )
    places = {"store": str(folder / "store"), "run_dir": str(folder / "run")}
    return replace(Settings(student=student, rounds=0, logger=Logger(mode=WandbMode.disabled), **places), **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = tiny_models.save(tmp_path / "student") / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 4096}))  # bytes are many tokens
    return tmp_path


def trains(folder: Path, **changes: object) -> Settings:
    """A whole run that learns to prefer reference solutions to programs that return nothing."""
    problems = load(ProblemSet(split="train", limit=8))
    fixed = {"source": "wrong", "role": Role.teacher, "sample": 0, "temperature": 0.0, "seed": 0, "prompt": ""}
    texts = {problem.task_id: f"{problem.signature}\n    return None\n" for problem in problems}
    wrong = [Candidate(task_id=task, response=text, program=text, **fixed) for task, text in texts.items()]
    write_records(folder / "wrong.jsonl", wrong)
    teachers = {"reference": Reference(), "wrong": Recorded(path=str(folder / "wrong.jsonl"))}
    small = {"sampling": Decoding(n=1, temperatures=[0.8], max_new_tokens=4), "problems": ProblemSet(split="train", limit=8)}
    small |= {"trainer": Trainer(precision=Number.fp32, generations=2, generation_tokens=3), "validation_share": 0.3}
    small |= {"batching": Batching(prompts_per_step=4, epochs=2, max_length=4096), "teachers": teachers}
    return settings(folder, **({"rounds": 1} | small | changes))


def test_training_leaves_numbers_and_answers_to_held_out_prompts_also_where_it_was_done_before(folder: Path) -> None:
    row, _ = run(trains(folder))
    path = folder / "run" / "metrics.jsonl"
    series, answered = read_metrics(path), read_answers(path)
    assert [step for step, _ in series["train/loss"]] == [1, 2, 3, 4]
    assert [step for step, _ in series["validation/loss"]] == [0, 2, 4] and [step for step, _ in answered] == [2, 4]
    before, _, after = (value for _, value in series["validation/loss"])
    assert (row.measured["validation/loss/before"], row.measured["validation/loss/after"]) == (before, after)
    assert row.settings["run_dir"] == "run", "a row that is committed names no folder of this machine"
    assert all(len(texts) == 2 for _, texts in answered)
    run(trains(folder, run_dir=str(folder / "again")))
    assert read_answers(folder / "again" / "metrics.jsonl") == answered
    assert read_metrics(folder / "again" / "metrics.jsonl")["train/loss"] == series["train/loss"]


def test_data_that_is_not_trained_on_is_counted_and_said_before_the_first_step(folder: Path) -> None:
    plenty = trains(folder, validation_share=0.0)
    _, silent = run(plenty)
    assert "left out (" not in silent and "responses cut" not in silent
    series = read_metrics(folder / "run" / "metrics.jsonl")
    assert series["train/groups_left_out"] == series["train/responses_cut"] == [(0, 0.0)]
    encode = tiny_models.tokenizer().encode
    (ranked,) = [turn.ranked for turn in plan(plenty).rounds]
    groups = list(read_records(Group, ranked.path))
    prompts = sorted(len(encode(group.prompt)) for group in groups)
    limit = prompts[-2] + 1  # the longest prompt has no room, the next room for one token
    kept = [group for group in groups if len(encode(group.prompt)) < limit]
    long = [r for group in kept for r in group.responses if len(encode(group.prompt + r.text)) + 1 > limit]
    assert kept and len(kept) < len(groups) and long

    chosen = trains(folder, validation_share=0.0, run_dir=str(folder / "short"))
    chosen.batching.max_length = limit
    _, printed = run(chosen)
    left_out = len(groups) - len(kept)
    assert f"train: {left_out} of {len(groups)} groups left out (a prompt of batching.max_length={limit} tokens" in printed
    assert f"; {len(long)} responses cut" in printed
    series = read_metrics(folder / "short" / "metrics.jsonl")
    assert (series["train/groups_left_out"], series["train/responses_cut"]) == ([(0, left_out)], [(0, len(long))])


def run(chosen: Settings) -> tuple[RunRow, str]:
    """The row of a run, and all it printed."""
    console = Console(file=io.StringIO(), width=240)
    assert chosen.mistakes() == []
    execute_run(chosen, console, overrides=["experiment=x", "student.precision=float32"])
    return read(Path(chosen.run_dir) / "results.jsonl")[-1], console.file.getvalue()  # type: ignore[attr-defined]


def test_a_variant_is_what_is_asked_and_judged_and_its_references_pass(folder: Path) -> None:
    chosen = settings(folder, benchmarks={v.value: heldout(v, limit=5) for v in Variant})
    planned = plan(chosen)
    execute(planned.steps, Console(file=io.StringIO()), stages=[Stage.problems])
    asked = {e.benchmark: list(read_records(Problem, e.problems.path)) for e in planned.evaluations}
    plain = asked.pop("none")
    assert len({e.judged.key for e in planned.evaluations}) == len(Variant)
    for name, problems in asked.items():
        assert [problem.parent for problem in problems] == [problem.task_id for problem in plain]
        assert all(a.text != b.text or a.signature != b.signature for a, b in zip(problems, plain, strict=True)), name
        verdicts = judge((Job(problem, problem.reference) for problem in problems), Judge(workers=1))
        assert Counter(verdict.outcome for verdict in verdicts) == {Outcome.all_tests_passed: len(plain)}, name


def test_the_drop_of_a_variant_is_reported_beside_the_benchmark_itself(folder: Path) -> None:
    names = (Variant.none, Variant.renamed, Variant.examples_reordered)
    row, printed = run(settings(folder, benchmarks={v.value: heldout(v) for v in names}))
    assert [(c.benchmark, c.first, c.second) for c in row.comparisons] == [
        ("renamed", "student on original", "student on renamed")  # without `examples`, reordered ones have nothing beside them
    ]
    assert "student on renamed against student on original: within noise" in printed
    assert {score.benchmark.split("/")[0] for score in row.scores} == {"none", "renamed", "examples_reordered"}
    page = (folder / "run" / "page.html").read_text()
    assert f"<title>{row.title}</title>" in page and row.title == "rrtf student.precision=float32"


def test_one_command_reports_the_drop_of_every_variant_with_interval_and_verdict(folder: Path) -> None:
    register()
    student = [f"student.checkpoint={folder}/student", "student.precision=float32", "student.profile.style=plain"]
    places = [f"store={folder}/store", f"run_dir={folder}/run", "logger.mode=disabled"]
    few = [f"benchmarks.builtin_heldout.{what}" for what in ("problems.limit=3", "protocol.max_new_tokens=4")]
    with hydra.initialize_config_module("rrtf.conf", version_base="1.3"):
        chosen = build(hydra.compose("config", ["experiment=robustness", *student, *places, *few]))
    row, printed = run(chosen)
    assert {c.benchmark: c.first.removeprefix("student on ") for c in row.comparisons} == {
        "builtin_renamed": "original",
        "builtin_reworded": "original",
        "builtin_examples": "original",
        "builtin_examples_reordered": "examples",
    }
    for name in ("renamed", "reworded", "examples_reordered"):
        assert re.search(rf"builtin_{name}: .*: within noise, p = 1 \(\+0\.0 points \[-\d.*of 3\)", printed), name
    assert {score.problems for score in row.scores if "/" not in score.benchmark} == {3}


def test_batch_size_is_measured_with_answers_that_were_really_drawn_in_such_batches(folder: Path) -> None:
    plain, _ = run(settings(folder, benchmarks={"small": heldout()}))
    assert plain.batches == ()
    row, printed = run(settings(folder, benchmarks={"small": replace(heldout(), other_rows=1)}))
    assert [(b.benchmark, b.model, b.batch_sizes) for b in row.batches] == [("small", "student", (1, 2))]
    assert row.batches[0].sentence in printed and "small/student/batch_size/texts" in read_metrics(folder / "run/metrics.jsonl")
    # the answers of the first run were not taken for either batch size
    done = {stage.title: stage.cached for stage in row.stages if stage.title.startswith("sample")}
    assert done == {
        "sample student on builtin heldout": True,
        "sample student on builtin heldout, 1 at once": False,
        "sample student on builtin heldout, 2 at once": False,
    }
    for rows in (1, 2):
        assert len((folder / "store" / "cache" / f"samples-{rows}-at-once.jsonl").read_text().splitlines()) == 3


def test_a_batch_size_that_can_show_nothing_is_a_mistake(folder: Path) -> None:
    chosen = settings(folder, benchmarks={"small": replace(heldout(), other_rows=2)})
    assert chosen.mistakes() == ["benchmarks.small.other_rows: 2 is student.rows; name another batch size"]
    sampled = replace(heldout(), other_rows=1, protocol=Protocol(kind=ProtocolKind.samples))
    assert "only greedy ones" in sampled.mistakes()[0]


def test_each_epoch_of_one_training_run_is_scored_and_is_a_point_of_figure_4(folder: Path) -> None:
    chosen = trains(folder, benchmarks={"small": heldout()})
    chosen.trainer.snapshot_every, chosen.trainer.generations, chosen.batching.epochs = -1, 0, 3
    row, _ = run(chosen)
    assert list(dict.fromkeys(score.model for score in row.scores)) == ["student", "epoch 1", "epoch 2", "trained"]
    assert [point.epoch for point in curves([row], benchmark="small")["8 problems"]] == [0, 1, 2, 3]
    assert [(c.first, c.second) for c in row.comparisons] == [("student", m) for m in ("epoch 1", "epoch 2", "trained")]
    (kept,) = (folder / "store" / "train").glob("*/snapshots")
    weights = [file_digest(model / "model.safetensors") for model in (*sorted(kept.iterdir()), kept.parent / "model")]
    assert len(weights) == 4 and len(set(weights)) == 3 and weights[2] == weights[3]
    answers = {e.model: next(read_records(Judged, e.judged.path)) for e in plan(chosen).evaluations}
    assert len({answer.candidate.source_digest for answer in answers.values()}) == 4  # each answered with its own weights
    assert {stage.title for stage in row.stages if stage.stage == "train"} == {"train"}


def test_a_second_round_asks_the_newest_student_and_counts_its_steps_on(folder: Path) -> None:
    chosen = trains(folder, rounds=2, benchmarks={"small": heldout()})
    row, printed = run(chosen)
    assert list(dict.fromkeys(score.model for score in row.scores)) == ["student", "round 1", "trained"]
    assert {source.source: source.candidates for source in row.sources} == dict.fromkeys(
        ("student", "round 1", "reference", "wrong"), 8
    )
    assert len(row.groups) == 2 and "round 2" in printed
    assert [stage.title for stage in row.stages if stage.stage == "train"] == ["train round 1", "train round 2"]
    series = read_metrics(folder / "run" / "metrics.jsonl")
    assert [step for step, _ in series["train/loss"]] == list(range(1, 9))
    first, second = plan(chosen).rounds
    turns = ((first, "student"), (second, "round 1"))
    asked = [next(read_records(Judged, turn.judged[name].path)).candidate.source_digest for turn, name in turns]
    assert asked[0] != asked[1]

    for path in (second.trained.path, second.trained.path.with_name(f"{second.trained.key}.meta.json")):
        path.rename(folder / path.name)  # as if killed in the second round
    again, _ = run(replace(chosen, run_dir=str(folder / "again")))
    assert [stage.title for stage in again.stages if not stage.cached] == ["train round 2"]
    assert again.scores == row.scores  # the same weights, so the same answers
    repeated = read_metrics(folder / "again" / "metrics.jsonl")
    assert repeated["train/loss"] == series["train/loss"]


def test_a_run_that_goes_on_has_the_steps_from_before_in_its_own_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = trains(folder, trainer=Trainer(precision=Number.fp32, generations=0, save_every=2))
    keep = RunLogs.__call__

    def killed(logs: RunLogs, step: int, numbers: dict[str, float]) -> None:
        keep(logs, step, numbers)
        if step == 3:
            raise RuntimeError("killed")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="killed"):
        patched.setattr(RunLogs, "__call__", killed)
        run(chosen)
    # going on from step 2 in another folder, then in the first one when all is made, then once more
    for place, wanted in (("other", [1, 2, 3, 3, 4]), ("run", [1, 2, 3, 4]), ("other", [1, 2, 3, 3, 4])):
        run(replace(chosen, run_dir=str(folder / place)))
        logged = read_steps(folder / place / "metrics.jsonl")
        assert [step for step, numbers in logged if "train/loss" in numbers] == wanted


def test_points_over_training_settings_sample_and_judge_once(folder: Path) -> None:
    points = [trains(folder, loss=Loss(rank_weight=weight / 2), run_dir=str(folder / f"{weight}")) for weight in range(8)]
    keys: dict[Stage, set[str]] = {}
    for point in points:
        for step in plan(point).steps:
            keys.setdefault(step.stage, set()).add(step.key)
    once = {step.stage: len({s.key for s in plan(points[0]).steps if s.stage is step.stage}) for step in plan(points[0]).steps}
    assert {stage: len(found) for stage, found in keys.items()} == once | {Stage.train: 8}
    run(points[0])
    row, _ = run(points[1])
    assert [stage.title for stage in row.stages if not stage.cached] == ["train"]


def test_every_step_of_a_run_has_a_title_of_its_own(folder: Path) -> None:
    protocols = {"greedy": Protocol(), "beam": Protocol(kind=ProtocolKind.beam, num_beams=2)}
    protocols["hot"] = Protocol(kind=ProtocolKind.samples, n=2, temperature=1.2)
    chosen = trains(folder)
    problems = ProblemSet(split="heldout", limit=2)
    chosen.benchmarks = {name: Benchmark(problems=problems, protocol=protocol) for name, protocol in protocols.items()}
    titles = [step.title for step in plan(chosen).steps]
    assert len(set(titles)) == len(titles) and any("beam 2" in title for title in titles)


def previewed(chosen: Settings) -> str:
    console = Console(file=io.StringIO(), width=240)
    assert execute_run(replace(chosen, stages=[]), console, overrides=[]) is None
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_plan_says_what_training_would_hold_until_it_is_done(folder: Path) -> None:
    chosen = trains(folder)
    assert "memory plan" not in previewed(chosen)  # a CPU's memory is not planned
    chosen.trainer.accelerator = Accelerator.gpu
    text = previewed(chosen)
    assert "sample student on builtin train" in text and "on 1 x single" in text and "  total " in text
    assert not (folder / "store").exists() and not (folder / "run").exists()
    assert "memory plan" not in previewed(settings(folder))  # nothing is trained
    absent = previewed(replace(chosen, student=HuggingFace(checkpoint=str(folder / "absent"))))
    assert "absent: no such folder" in absent and "so its shape is not known" in absent


def from_file(folder: Path, name: str, text: str | None = None, **fields: object) -> Benchmark:
    """A benchmark whose file holds `text`; without one there is no file."""
    if text is not None:
        (folder / name).write_text(text)
    fetch = {"fetch": f"curl -o {{path}} {name}"}
    chosen = ProblemSet(name="own", source=Source.file, path=str(folder / name), **(fetch | fields))  # type: ignore[arg-type]
    return Benchmark(problems=chosen, protocol=Protocol(max_new_tokens=4), published="here")


def test_all_that_is_wrong_with_a_runs_files_is_said_at_once_by_the_plan_and_by_the_run(folder: Path) -> None:
    tests = {"kind": "check", "code": "def check(f):\n    assert f() == 1\n"}
    row = json.dumps({"task_id": "t/1", "text": "Return 1.", "entry_point": "f", "split": "test", "tests": tests}) + "\n"
    (folder / "cut.gz").write_bytes(gzip.compress(row.encode() * 9)[:-9])
    wrong = {
        "absent": (from_file(folder, "absent.jsonl"), "no such file.*curl -o .*absent.jsonl"),
        "empty": (from_file(folder, "empty.jsonl", ""), "empty.jsonl: holds no problem.*curl -o"),
        "cut": (from_file(folder, "cut.gz"), "truncated or damaged gzip.*curl -o"),
        "other": (from_file(folder, "other.jsonl", row, sha256="0" * 64), "not the version of own.*curl -o"),
        "page": (from_file(folder, "page.jsonl", "<!DOCTYPE html>"), "page.jsonl:1: not JSON.*curl -o"),
        "split": (from_file(folder, "split.jsonl", row, split="train"), r"no problem has split='train'; there are: test \(1\)"),
        "varied": (replace(from_file(folder, "varied.jsonl", row), variant=Variant.renamed), "t/1: variants need assert tests"),
        "shown": (replace(from_file(folder, "shown.jsonl", row), examples=["t/9"]), "examples: 't/9' is not in .*shown.jsonl"),
        "image": (replace(from_file(folder, "image.jsonl", row), image="no/such"), "no/such: "),
    }
    good = {"good": from_file(folder, "good.jsonl", row)}
    chosen = settings(folder, benchmarks=good | {name: benchmark for name, (benchmark, _) in wrong.items()})
    chosen.problems = from_file(folder, "training.jsonl").problems
    chosen.student.checkpoint = str(folder / "nobody")
    chosen.teachers = {"told": Recorded(path=str(folder / "told.jsonl"))}
    said = {f"benchmarks.{name}": words for name, (_, words) in wrong.items()}
    said |= {
        "problems": "training.jsonl: no such file",
        "student": "nobody: no such folder",
        "teachers.told": "told.jsonl: no such",
    }
    with pytest.raises(MissingDataError) as caught:
        execute_run(chosen, Console(file=io.StringIO()), overrides=[])
    for text in (str(caught.value), previewed(chosen)):
        told = dict(one.split(": ", 1) for one in text.split("\n  - ")[1:])
        assert set(told) == set(said)
        for name, words in said.items():
            assert re.search(words, told[name], re.DOTALL), (name, told[name])
    assert not (folder / "store").exists()


def test_every_problem_file_is_read_whole_before_anybody_is_asked(folder: Path) -> None:
    """The answers of teachers cost hours and money; that a benchmark's file ends too early must not be told after them."""
    row = native_row("t/1")
    late = from_file(folder, "late.jsonl", row + row.replace("t/1", "t/2")[:-20], fetch="")
    chosen = trains(folder, benchmarks={"good": heldout(), "late": late})
    with pytest.raises(DataError, match="late.jsonl:2: not JSON"):
        execute_run(chosen, Console(file=io.StringIO()), overrides=[])
    assert {path.name for path in (folder / "store").iterdir()} <= {"problems", "locks"}
    stages = [step.stage for step in plan(replace(chosen, benchmarks={"good": heldout()})).steps]
    assert stages == sorted(stages, key=lambda stage: stage is not Stage.problems)


def native_row(task: str) -> str:
    tests = {"kind": "asserts", "asserts": ["assert f() == 1"]}
    return json.dumps({"task_id": task, "text": "Return 1.", "entry_point": "f", "tests": tests}) + "\n"


@pytest.mark.slow
def test_the_papers_size_is_planned_without_weights_or_data() -> None:
    register()
    with hydra.initialize_config_module("rrtf.conf", version_base="1.3"):
        chosen = build(hydra.compose("config", ["scale=paper", "stages=[]", "run_dir=here"]))
    text = previewed(chosen)
    assert "evolved/problems.jsonl: no such file" in text
    assert "15.52 B weights, 15.52 B trained, on 8 x fsdp" in text and "step: 512 prompts" in text
    total = float(re.search(r"total +([0-9.]+)", text).group(1))  # type: ignore[union-attr]
    assert 20 < total < 75


def test_which_formats_can_be_made_is_said_before_anything_is_done_also_where_it_is_refused(folder: Path) -> None:
    chosen = settings(folder, quantize={"ct2_int8": Quantization(method=Method.ct2_int8)})
    assert re.search("LlamaForCausalLM +ct2_int8 +yes", previewed(chosen))
    chosen.student = replace(chosen.student, checkpoint=str(tiny_models.save(folder / "starcoder2", "starcoder2")))
    assert re.search("Starcoder2ForCausalLM +ct2_int8 +no +CTranslate2 has no loader", previewed(chosen))
    console = Console(file=io.StringIO(), width=240)
    with pytest.raises(UserError, match="ct2_int8 of Starcoder2ForCausalLM: CTranslate2 has no loader"):
        execute_run(chosen, console, overrides=[])
    assert "formats" in console.file.getvalue() and not (folder / "store").exists()  # type: ignore[attr-defined]


def test_what_a_chosen_benchmark_or_format_brings_can_be_set_in_the_same_command() -> None:
    register()
    chosen = ["benchmarks=[builtin_renamed]", "benchmarks.builtin_renamed.problems.limit=4"]
    assert override_mistakes([*chosen, "quantize=[ct2_int8]", "quantize.ct2_int8.seed=1"]) == []
    (mistake,) = override_mistakes([*chosen, "benchmarks.builtin_renamed.problems.limits=4"])
    assert "limits" in mistake


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("studnet.checkpoint=x", "student.checkpoint"),
        ("optim.learning_rat=1", "optim.learning_rate"),
        ("learning_rate=1", "optim.learning_rate"),
        ("benchmarks.humaneval.limit=3", "benchmarks.humaneval.problems.limit"),
        ("loss=rrrf", "rrtf"),
        ("teachers=[recored]", "recorded"),
        ("scale=cpuu", "cpu"),
    ],
)
def test_a_mistyped_override_is_told_once_with_what_was_meant(wrong: str, meant: str) -> None:
    register()
    (mistake,) = override_mistakes(["stages=[sample]", wrong, "seed=1"])
    assert mistake.startswith(f"{wrong}: ") and mistake.endswith(f"did you mean {meant}?")
    assert "_schema" not in mistake


def test_a_name_like_no_other_is_answered_with_the_names_there_are() -> None:
    register()
    (unlike,) = override_mistakes(["optim.xyz=1"])
    assert "optim.xyz among " in unlike and "learning_rate" in unlike
    (unchosen,) = override_mistakes(["teachers=[reference]", "teachers.recorded.path=x"])
    assert "(reference)" in unchosen and "teachers=[…,recorded]" in unchosen


def test_wrong_names_do_not_hide_wrong_values() -> None:
    register()
    found = override_mistakes(["loss.rank_wieght=2", "sampling.n=-3", "sampling.top_p=7", "batching.epochs=one"])
    assert len(found) == 4
    assert {mistake.split(":")[0] for mistake in found} >= {"sampling.n", "sampling.top_p"}


@pytest.mark.parametrize(
    "override",
    [
        "teachers.openai_compatible.key_variable=sk-hunter2hunter2",
        "teachers.openai_compatible.key_variable='hunter2Hunter2hunter2H'",
        "writer.base_url=https://me:hunter2@host/v1",
        "+writer.api_key=hunter2",
        "name=of-hunter2-in-the-environment",
    ],
)
def test_a_secret_among_the_overrides_is_refused_before_hydra_writes_it(override: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "of-hunter2-in-the-environment")
    with pytest.raises(ConfigurationError) as refused:
        check_overrides(["-m", "scale=cpu", override])
    assert len(refused.value.mistakes) == 1 and "hunter2" not in str(refused.value).lower()


def test_naming_the_variable_that_holds_a_key_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("my_key2_of_the_other_account", "something secret")
    register()
    for name in ("OPENAI_API_KEY", "''", "my_key2_of_the_other_account"):
        check_overrides(["teachers=[openai_compatible]", f"teachers.openai_compatible.key_variable={name}"])


def test_sweeps_over_ranges_and_intervals_are_no_mistakes_and_are_tried_at_what_they_hold() -> None:
    register()
    assert override_mistakes(["loss.rank_weight=interval(0.1,10)", "batching.epochs=range(1,4)", "seed=0,1"]) == []
    found = override_mistakes(["loss.rank_wieght=interval(0.1,10)", "batching.epochs=one,2"])
    assert any("loss.rank_wieght=0.1" in mistake for mistake in found)
    assert any("batching.epochs=one" in mistake for mistake in found)
    assert not any("batching.epochs=2" in mistake for mistake in found)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("stages=[] --config-dir d benchmarks=[a]", "--config-dir d stages=[] benchmarks=[a]"),
        ("-m a=1,2 -cd x=y b=3 --config-dir=z", "-m -cd x=y --config-dir=z a=1,2 b=3"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_options_may_stand_anywhere_among_overrides(given: str, meant: str) -> None:
    assert options_first(given.split()) == meant.split()
