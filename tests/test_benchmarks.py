import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from report_samples import judged, problems

from rrtf.errors import ConfigurationError, InfrastructureError, MissingDataError, UserError
from rrtf.evaluation.benchmarks import by_task, score, values
from rrtf.evaluation.settings import Benchmark, Protocol, ProtocolKind
from rrtf.overrides import check_overrides
from rrtf.problems.load import load
from rrtf.records import Outcome, TestKind
from rrtf.settings import build, register

CONF = Path(__file__).parents[1] / "conf"
NAMES = sorted(path.stem for path in (CONF / "benchmarks").glob("*.yaml"))
# problems of each benchmark, and whether its file is somewhere else than in an installed package
SIZES = {
    "builtin_examples": 76,
    "builtin_examples_reordered": 76,
    "builtin_heldout": 76,
    "builtin_renamed": 76,
    "builtin_reworded": 76,
    "codereval": 54,
    "codereval_full": 230,
    "humaneval": 164,
    "humaneval_plus": 164,
    "leetcode": 228,
    "mbpp": 500,
    "mbpp_3shot": 500,
    "mbpp_plus": 378,
}


@dataclass
class Root:
    """As much of the configuration as benchmarks need."""

    benchmarks: dict[str, Benchmark] = field(default_factory=dict)


def benchmark(name: str, *overrides: str) -> Benchmark:
    store = ConfigStore.instance()
    store.store(group="benchmark", name="benchmark_schema", node=Benchmark)
    store.store(name="benchmarks_only_schema", node=Root)
    store.store(name="benchmarks_only", node={"defaults": ["benchmarks_only_schema", {"benchmarks": []}, "_self_"]})
    with initialize_config_module("rrtf.conf", version_base="1.3"):
        config = compose("benchmarks_only", [f"benchmarks=[{name}]", *overrides])
    return OmegaConf.to_object(config).benchmarks[name]


def run(tasks, source, share, *, n=1, ks=(1,), name="set"):
    verdicts = by_task(row.verdict for row in judged(tasks, source, share, n=n))
    return score(name, tasks, verdicts, model=source, protocol="p", ks=list(ks))


def test_every_benchmark_is_listed_here():
    assert set(SIZES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_yaml_composes_without_a_mistake_and_names_source_licence_and_version(name):
    built = benchmark(name)
    assert built.mistakes() == []
    assert built.published
    assert built.problems.licence
    assert built.problems.sha256 or name.startswith("builtin")


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_reads_its_real_file_whole(name, shared):
    chosen = benchmark(name).problems
    chosen.data_dir = str(shared)
    found = list(load(chosen))
    assert len(found) == SIZES[name]
    assert len({problem.task_id for problem in found}) == len(found)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "humaneval" and not name.startswith("builtin")])
def test_a_missing_file_gets_the_way_to_fetch_it(name, tmp_path):
    chosen = benchmark(name).problems
    chosen.data_dir = str(tmp_path)
    with pytest.raises(MissingDataError, match="curl|data_dir") as caught:
        list(load(chosen))
    assert str(tmp_path / chosen.path) in str(caught.value)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "humaneval" and not name.startswith("builtin")])
def test_a_file_is_fetched_as_the_problems_of_that_file_are_and_a_page_of_words_is_no_file(name):
    """One file, one command; curl's -f keeps an error page from being written where the file belongs."""
    chosen = benchmark(name).problems
    rows = [OmegaConf.load(path) for path in (CONF / "problems").glob("*.yaml")]
    assert chosen.fetch in {row.get("fetch", "") for row in rows if row.get("path") == chosen.path} | {""}
    assert "curl" not in chosen.fetch or "curl -fL " in chosen.fetch


def test_mbpp_is_its_test_split_and_three_shot_has_three_other_problems(shared):
    few = benchmark("mbpp_3shot")
    few.problems.data_dir = str(shared)
    tested = {problem.task_id for problem in load(few.problems)}
    assert tested == {f"MBPP/{number}" for number in range(11, 511)}
    shown = {problem.task_id for problem in load(replace(few.problems, split="prompt"))}
    assert set(few.examples) <= shown
    assert not set(few.examples) & tested


def test_a_user_adds_a_benchmark_with_a_jsonl_file_alone(tmp_path):
    from rrtf.store import write_records

    write_records(tmp_path / "mine.jsonl", problems(5))
    built = benchmark(
        "builtin_heldout",
        "benchmarks.builtin_heldout.problems.source=file",
        f"benchmarks.builtin_heldout.problems.path={tmp_path}/mine.jsonl",
        "benchmarks.builtin_heldout.problems.split=''",
    )
    assert [p.task_id for p in load(built.problems)] == [f"set/{i}" for i in range(5)]


def test_a_user_adds_a_benchmark_with_one_yaml_and_one_jsonl_in_a_folder_of_their_own(tmp_path):
    """Through the checks that `rrtf` makes before Hydra: an installed package's own folder is no place for a user's files."""
    from rrtf.store import write_records

    write_records(tmp_path / "mine.jsonl", problems(5))
    (tmp_path / "benchmarks").mkdir()
    chosen = f"problems: {{source: file, path: {tmp_path}/mine.jsonl}}"
    yaml = f"defaults: [/benchmark@mine: benchmark_schema, _self_]\nmine: {{{chosen}}}\n"
    (tmp_path / "benchmarks" / "mine.yaml").write_text(yaml)
    register()
    chosen = ["benchmarks=[mine]", "benchmarks.mine.problems.limit=3"]
    for where in (["--config-dir", str(tmp_path)], [f"-cd={tmp_path}"], [f"hydra.searchpath=[file://{tmp_path}]"]):
        check_overrides([*where, *chosen])
        with pytest.raises(ConfigurationError, match="limits"):
            check_overrides([*where, *chosen, "benchmarks.mine.problems.limits=3"])
    with initialize_config_module("rrtf.conf", version_base="1.3"):
        config = compose("config", [f"hydra.searchpath=[file://{tmp_path}]", *chosen, "run_dir=here"])
    built = build(config).benchmarks["mine"].problems
    assert (built.name, len(list(load(built)))) == ("mine", 3)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("mine: {problems: {source: file}}", "problems.path: source=file needs the path"),
        ("mine: {problems: {source: files}}", "expected one of"),
        ("mine: {problem: {source: file}}", "Key 'problem' not in 'Benchmark'"),
        ("mine: {problems: {source: file", "not YAML: .*mine.yaml"),
        ("mine:\n\tproblems: {}", "not YAML: .*mine.yaml"),
    ],
)
def test_a_mistake_in_a_users_own_yaml_is_told_in_words(yaml, said, tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "mine.yaml").write_text(f"defaults: [/benchmark@mine: benchmark_schema, _self_]\n{yaml}\n")
    register()
    chosen = ["benchmarks=[mine]"]
    with pytest.raises(ConfigurationError, match=said):
        check_overrides([f"--config-dir={tmp_path}", *chosen])
        with initialize_config_module("rrtf.conf", version_base="1.3"):
            build(compose("config", [f"hydra.searchpath=[file://{tmp_path}]", *chosen, "run_dir=here"]))


OWN = "problems: {source: file, path: mine.jsonl}"


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("defaults: [/benchmark@mine: benchmark_schema, _self_]\nmy: {%s}", "benchmarks.mine: has no problems"),
        ("defaults: [/benchmark@my: benchmark_schema, _self_]\nmine: {%s}", "benchmarks.my: has no problems"),
        ("defaults: [/benchmark@mine: benchmark_schema, _self_]", "benchmarks.mine: has no problems"),
        ("defaults: [/benchmark@mine: benchmark_schema, _self_]\n%s", "Key 'source' not in 'Benchmark'"),
        ("defaults: [/benchmark@mine: benchmarks_schema, _self_]\nmine: {%s}", "no option 'benchmarks_schema'"),
        ("defaults: [problems_schema, _self_]\n%s", "no option 'problems_schema'"),
        ("benchmarks: {mine: {%s}}", "Key 'mine' not in 'Benchmark'"),
        ("mine:", "field 'benchmarks.mine' is not Optional"),
        ("- mine", "Cannot merge"),
        ("", "sets nothing"),
    ],
)
@pytest.mark.parametrize("more", [[], ["benchmarks.mine.problems.limit=1"]])
def test_a_users_yaml_that_calls_its_benchmark_by_two_names_is_told_what_to_write(yaml, said, more, tmp_path):
    """And nothing else: that a value of it can't be set either is no second mistake."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "mine.yaml").write_text(f"{yaml % OWN if '%' in yaml else yaml}\n")
    register()
    chosen = ["benchmarks=[humaneval,mine]", *more]
    with pytest.raises(ConfigurationError, match=said) as caught:
        check_overrides([f"--config-dir={tmp_path}", *chosen])
        with initialize_config_module("rrtf.conf", version_base="1.3"):
            build(compose("config", [f"hydra.searchpath=[file://{tmp_path}]", *chosen, "run_dir=here"]))
    assert len(caught.value.mistakes) == 1
    assert re.search(
        r"defaults: \[/benchmark@(\w+): benchmark_schema, _self_\] and has all of its settings under \1:", str(caught.value)
    )


def test_a_benchmark_that_its_yaml_calls_otherwise_is_set_by_that_name(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "mine.yaml").write_text(f"defaults: [/benchmark@my: benchmark_schema, _self_]\nmy: {{{OWN}}}\n")
    register()
    chosen = [f"--config-dir={tmp_path}", "benchmarks=[mine]"]
    check_overrides([*chosen, "benchmarks.my.problems.limit=1"])
    with pytest.raises(ConfigurationError, match="mine is chosen, but its YAML calls it my"):
        check_overrides([*chosen, "benchmarks.mine.problems.limit=1"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n": 0}, "protocol.n: 0 is below 1"),
        ({"n": 5}, "greedy gives one answer"),
        ({"kind": ProtocolKind.samples, "temperature": 0.0}, "must be above 0"),
        ({"kind": ProtocolKind.beam, "num_beams": 1}, "num_beams: 1 is below 2"),
        ({"top_p": 1.7}, "top_p: 1.7 is outside"),
        ({"max_new_tokens": 0}, "max_new_tokens: 0 is below 1"),
        ({"ks": []}, "ks: empty"),
        ({"ks": [1, 10]}, "pass@10 needs k from 1 to n, and n is 1"),
        ({"ks": [0]}, "pass@0"),
    ],
)
def test_each_mistake_of_a_protocol_is_named(changes, said):
    mistakes = Protocol(**changes).mistakes()
    assert any(said in mistake for mistake in mistakes), mistakes
    assert all(mistake.startswith("protocol.") for mistake in mistakes)


def test_several_mistakes_are_told_at_once():
    built = Benchmark(protocol=Protocol(n=0, top_p=2.0), examples=["MBPP/2"])
    built.problems.limit = -1
    assert len(built.mistakes()) >= 4


def test_labels_tell_protocols_apart():
    kinds = [Protocol(), Protocol(kind=ProtocolKind.beam), Protocol(kind=ProtocolKind.samples, n=200, temperature=1.2)]
    assert [p.label for p in kinds] == ["greedy", "beam 4", "n=200 T=1.2 top_p=0.95"]


def test_scores_count_what_the_judge_saw():
    tasks = problems(30)
    rows = judged(tasks, "student", 0.4)
    found = run(tasks, "student", 0.4)
    (whole,) = found.scores
    passed = {row.candidate.task_id for row in rows if row.verdict.outcome is Outcome.all_tests_passed}
    assert (whole.solved, whole.problems, whole.samples) == (len(passed), 30, 30)
    assert whole.value == len(passed) / 30
    assert whole.low < whole.value < whole.high
    assert whole.interval == "wilson"
    assert {r.task_id for r in found.problems if r.correct} == passed
    assert sum(sum(r.outcomes.values()) for r in found.problems) == 30


def test_groups_are_easy_medium_hard_and_add_up():
    found = run(problems(31), "student", 0.4)
    assert list(found.groups) == ["easy", "medium", "hard"]
    assert sum(s.solved for (s,) in found.groups.values()) == found.scores[0].solved
    assert [s.benchmark for (s,) in found.groups.values()] == ["set/easy", "set/medium", "set/hard"]
    assert run(problems(1), "student", 0.4).groups == {}


def test_sampled_scores_are_bootstrapped_over_problems_and_grow_with_k():
    found = run(problems(40), "student", 0.3, n=10, ks=(1, 5, 10))
    assert [s.k for s in found.scores] == [1, 5, 10]
    assert found.scores[0].value < found.scores[1].value < found.scores[2].value
    assert {s.interval for s in found.scores[:2]} == {"bootstrap over problems"}
    assert found.scores[0].samples == 400
    with pytest.raises(UserError, match="pass@11 needs at least 11"):
        run(problems(4), "student", 0.3, n=10, ks=(11,))


def test_the_order_of_problems_and_samples_does_not_matter():
    tasks = problems(20)
    rows = judged(tasks, "student", 0.4, n=5)
    there, back = (
        score("set", order, by_task(r.verdict for r in listed), model="m", protocol="p", ks=[1, 3]).scores
        for order, listed in ((tasks, rows), (tasks[::-1], rows[::-1]))
    )
    assert there == back


def test_a_judge_failure_is_never_a_score():
    tasks = problems(3)
    verdicts = [row.verdict for row in judged(tasks, "student", 1.0)]
    verdicts[1] = replace(verdicts[1], outcome=Outcome.judge_error, detail="worker died")
    with pytest.raises(InfrastructureError, match="set/1: the judge failed on 1 samples.*worker died"):
        score("set", tasks, by_task(verdicts), model="m", protocol="p", ks=[1])


def test_missing_and_unknown_problems_are_refused_in_words():
    tasks = problems(4)
    verdicts = by_task(row.verdict for row in judged(tasks, "student", 1.0))
    with pytest.raises(UserError, match="1 of 5 problems have no sample"):
        score("set", problems(5), verdicts, model="m", protocol="p", ks=[1])
    with pytest.raises(UserError, match="1 samples' tasks are not in the benchmark"):
        score("set", tasks[:3], verdicts, model="m", protocol="p", ks=[1])
    with pytest.raises(UserError, match="no problems"):
        score("set", [], {}, model="m", protocol="p", ks=[1])


def test_values_are_what_a_comparison_takes():
    found = run(problems(10), "student", 0.5, n=4)
    assert set(values(found.problems)) == {f"set/{i}" for i in range(10)}
    assert sum(values(found.problems).values()) / 10 == pytest.approx(found.scores[0].value)


def test_the_levels_of_codereval_come_through(shared):
    chosen = benchmark("codereval").problems
    chosen.data_dir = str(shared)
    tasks = list(load(chosen))
    assert {t.tests.kind for t in tasks} == {TestKind.program}
    found = run(tasks, "student", 0.3)
    assert "slib_runnable" in found.groups
